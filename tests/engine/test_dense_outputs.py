"""Models with dense outputs or several parts: U-Nets, boxes, two towers, made weights, estimates of noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import presets, targets
from tests.cases.networks import prepare, signed
from tests.engine.checks import assert_balanced, assert_blameless, assert_same

UPSAMPLING = ("transposed", "nearest", "linear")
LINEAR_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


class UNet(nn.Module):
    """One step down and up in any number of dimensions, with a skip."""

    def __init__(self, dimensions: int, upsampling: str = "transposed") -> None:
        super().__init__()
        conv, norm = getattr(nn, f"Conv{dimensions}d"), getattr(nn, f"BatchNorm{dimensions}d")
        transposed = getattr(nn, f"ConvTranspose{dimensions}d")
        self.dimensions, self.upsampling = dimensions, upsampling
        self.down = nn.Sequential(conv(2, 3, 3, padding=1), norm(3), nn.ReLU(inplace=True))
        self.pool = getattr(nn, f"MaxPool{dimensions}d")(2)
        self.middle = nn.Sequential(conv(3, 4, 3, padding=1), norm(4), nn.ReLU(inplace=True))
        self.up = transposed(4, 3, 2, 2) if upsampling == "transposed" else conv(4, 3, 1)
        self.out = nn.Sequential(conv(6, 3, 3, padding=1), nn.ReLU(inplace=True), conv(3, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        x = self.middle(self.pool(skip))
        if self.upsampling != "transposed":
            mode = "nearest" if self.upsampling == "nearest" else LINEAR_MODES[self.dimensions]
            x = F.interpolate(x, scale_factor=2, mode=mode)
        return self.out(torch.cat([self.up(x), skip], 1))


@pytest.mark.parametrize("upsampling", UPSAMPLING)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_region_of_a_segmentation(dimensions: int, upsampling: str):
    """LRP-0 is the gradient times the input; under other presets the books balance, and a batch is its samples."""
    model = prepare(UNet(dimensions, upsampling), seed=60)
    x = signed(2, 2, *[4] * dimensions, seed=61).requires_grad_()
    region = torch.zeros([4] * dimensions, dtype=torch.bool)
    region[1:3] = True
    target = targets.Region(region, 1)
    (gradient,) = torch.autograd.grad((model(x)[:, 1] * region).sum(), x)
    x = x.detach()
    assert_same(lrp.explain(model, x, target=target, composite=presets.zero()).input, x * gradient)
    for composite in (None, presets.epsilon_plus_flat()):
        r = lrp.explain(model, x, target=target, composite=composite, ledger="calls")
        assert_balanced(r)
        assert_blameless(r)
        singles = [lrp.explain(model, one[None], target=target, composite=composite).input for one in x]
        assert_same(r.input, torch.cat(singles))


class Detector(nn.Module):
    """Queries that attend to patches of a picture, with classes and boxes for each."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.queries = nn.Conv2d(2, 8, 2, 2), nn.Parameter(signed(3, 8, seed=80))
        self.decoder = nn.TransformerDecoderLayer(8, 2, 12, batch_first=True)
        self.classes, self.boxes = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        memory = self.patches(pixels).flatten(2).mT
        h = self.decoder(self.queries.expand(len(pixels), -1, -1), memory)
        return {"logits": self.classes(h), "boxes": self.boxes(h).sigmoid()}


@pytest.mark.parametrize(
    ("target", "by_hand"),
    [
        (targets.At("logits", targets.Token(2, 1)), lambda output: output["logits"][:, 2, 1]),
        (targets.At("boxes", lambda boxes: boxes[:, 2, 0]), lambda output: output["boxes"][:, 2, 0]),
    ],
    ids=["class of a box", "side of a box"],
)
def test_one_box_of_a_detector(target: Any, by_hand: Callable[[Any], Tensor]):
    model, x = prepare(Detector(), seed=62), signed(2, 2, 4, 4, seed=63)
    ours, truth = (lrp.explain(model, x, target=each, ledger="calls") for each in (target, by_hand))
    assert_same(ours.input, truth.input)
    assert_balanced(ours)
    assert_blameless(ours)


class Towers(nn.Module):
    """Similarity of a picture and a text, each by its own encoder, as CLIP has it."""

    def __init__(self) -> None:
        super().__init__()
        self.picture, self.text = nn.Linear(6, 4), nn.Embedding(9, 4)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, pixels: Tensor, ids: Tensor) -> dict[str, Tensor]:
        a, b = self.picture(pixels).relu(), self.text(ids).sum(1)
        a, b = (each / each.norm(dim=-1, keepdim=True) for each in (a, b))
        return {"similarity": self.scale.exp() * a @ b.T}


def test_picture_and_text_get_half_of_their_similarity_each():
    model, given = prepare(Towers(), seed=64), {"pixels": signed(2, 6, seed=65), "ids": torch.tensor([[1, 4], [2, 7]])}
    r = lrp.explain(model, given, target=lambda output: output["similarity"].diagonal(), ledger="calls")
    assert_balanced(r)
    assert_blameless(r)
    (bias,) = [float(row.amount) for row in r.ledger.rows]
    assert_same(r.input["pixels"].sum()[None] + bias, r.explained.sum()[None] / 2)
    assert_same(r.input["ids"].sum(1), r.explained / 2)


@dataclass
class Answer:
    scores: Tensor
    rest: Any = None


def test_parts_of_any_structure_in_and_out():
    first, second, table = (signed(*shape, seed=66 + i) for i, shape in enumerate([(3, 2), (4, 2), (5, 2)]))

    def model(pair: tuple[Tensor, Tensor], more: dict[str, Tensor], scale: float) -> Answer:
        h = pair[0] @ first + scale * pair[1] @ second
        return Answer(h + table[more["ids"]].mean(1), ("unused", [h]))

    given = {
        "pair": (signed(2, 3, seed=70), signed(2, 4, seed=71)),
        "more": {"ids": torch.tensor([[0, 3], [4, 4]])},
        "scale": 0.5,
    }
    r = lrp.explain(model, given, target=targets.At("scores", 1), ledger="calls")
    assert_same(r.input["pair"][0], given["pair"][0] * first[:, 1])
    assert_same(r.input["pair"][1], 0.5 * given["pair"][1] * second[:, 1])
    assert_same(r.input["more"]["ids"], table[given["more"]["ids"], 1] / 2)
    assert r.input["scale"] is None
    assert_balanced(r)


class MadeWeights(nn.Module):
    """A convolution whose weights another input makes."""

    def __init__(self, grouped: bool) -> None:
        super().__init__()
        self.weights, self.bias, self.grouped = nn.Linear(3, 2 * 2 * 9), nn.Linear(3, 2), grouped

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        n, w, b = len(x), self.weights(code).view(-1, 2, 2, 3, 3), self.bias(code)
        if self.grouped:
            y = F.conv2d(x.flatten(0, 1)[None], w.flatten(0, 1), b.flatten(), groups=n).unflatten(1, (n, 2))[0]
        else:
            y = torch.cat([F.conv2d(x[i : i + 1], w[i], b[i]) for i in range(n)])
        return y.relu().mean((2, 3))


def test_weights_made_by_a_network_get_half_however_they_are_used():
    x, code = signed(2, 2, 4, 4, seed=72), signed(2, 3, seed=73)
    each, together = (
        lrp.explain(prepare(MadeWeights(grouped), seed=74), (x, code), target=1, ledger="calls")
        for grouped in (False, True)
    )
    for ours, truth in zip(together.input, each.input, strict=True):
        assert_same(ours, truth)
    for r in (each, together):
        assert_balanced(r)
        assert_blameless(r)


def test_a_layer_whose_weights_are_made_of_the_data_shares_with_them():
    """`F.linear` with made weights: of each `w_ij x_j` half goes to `x_j` and half to `w_ij`, as of any product."""
    maker, x = prepare(nn.Linear(3, 4 * 3), seed=78), signed(2, 3, seed=79)

    def used(x: Tensor) -> Tensor:
        return torch.cat([F.linear(one[None], maker(one).view(4, 3)) for one in x])

    def written_out(x: Tensor) -> Tensor:
        return (maker(x).view(-1, 4, 3) * x[:, None]).sum(2)

    ours, twin = (lrp.explain(model, x, target=2, ledger="calls") for model in (used, written_out))
    weights, rows = maker(x).view(-1, 4, 3)[:, 2].detach(), maker.weight.view(4, 3, 3)[2].detach()
    assert_same(ours.input, x * weights / 2 + x * (x @ rows) / 2)
    assert_same(twin.input, ours.input)
    for r in (ours, twin):
        assert_balanced(r)
        assert_blameless(r)
    assert_same(ours.input, torch.cat([lrp.explain(used, one[None], target=2).input for one in x]))


def test_the_noise_a_diffusion_model_finds():
    """A step of the clock as a number is a source, as an integer it shifts the picture."""
    net, clock = prepare(UNet(2, "nearest"), seed=75), prepare(nn.Linear(4, 2), seed=76)

    def model(sample: Tensor, step: Tensor) -> dict[str, Tensor]:
        angles = step[:, None].double() * torch.tensor([1.0, 0.25], dtype=torch.float64)
        shift = F.silu(clock(torch.cat([angles.sin(), angles.cos()], 1)))
        return {"sample": net(sample + shift[..., None, None])}

    given = {"sample": signed(2, 2, 4, 4, seed=77), "step": torch.tensor([3, 7])}
    target = targets.At("sample", targets.Region(torch.ones(4, 4), 0))
    options = {"target": target, "composite": presets.zero(), "ledger": "calls"}
    r = lrp.explain(model, given, **options)
    assert r.input["step"] is None
    assert_balanced(r)
    assert_blameless(r)
    timed = lrp.explain(model, {**given, "step": given["step"].double()}, **options)
    assert_same(timed.input["sample"], r.input["sample"])
    assert timed.input["step"].abs().min() > 0
    assert_balanced(timed)
