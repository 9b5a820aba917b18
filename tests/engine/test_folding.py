"""Batch norm behind a linear operation: folded per call, for every rule but LRP-0; the model keeps its weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from tests.cases.networks import prepare
from tests.engine.checks import PRESETS, assert_balanced, assert_same, assert_same_explanation, each_preset, normal

X = normal(3, 2, 9, seed=1)
CONV, NORM, OTHER = (
    prepare(module, seed=30 + i) for i, module in enumerate((nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.BatchNorm1d(4)))
)
TAIL = prepare(nn.Conv1d(4, 3, 3), seed=33)


def merged(layer: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """The weight and bias of the layer with the norm behind it, worked out by hand."""
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    weight = layer.weight.detach() * scale.view(-1, *[1] * (layer.weight.dim() - 1))
    return weight, ((layer.bias - norm.running_mean) * scale + norm.bias).detach()


def end(h: Tensor) -> Tensor:
    return TAIL(F.relu(h)).flatten(1)


def by_hand(x: Tensor) -> Tensor:
    return F.conv1d(x, *merged(CONV, NORM))


def _both_norms(x: Tensor) -> Tensor:
    z = CONV(x)
    return NORM(z) + OTHER(z)


def _input_overwritten(x: Tensor) -> Tensor:
    h = F.relu(x)
    z = CONV(h)
    h.mul_(-1)
    return NORM(z) + h.sum() * 0


def _raw(x: Tensor) -> Tensor:
    z = CONV(x)
    return NORM(z) + z


FOLDED: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "module": (lambda x: NORM(CONV(x)), by_hand),
    "F.batch_norm": (
        lambda x: F.batch_norm(CONV(x), NORM.running_mean, NORM.running_var, NORM.weight, NORM.bias, eps=NORM.eps),
        by_hand,
    ),
    "torch.batch_norm": (
        lambda x: torch.batch_norm(
            CONV(x), NORM.weight, NORM.bias, NORM.running_mean, NORM.running_var, False, 0.1, NORM.eps, False
        ),
        by_hand,
    ),
    "dropout and identity between": (lambda x: NORM(nn.Identity()(F.dropout(CONV(x), 0.5, False))), by_hand),
    "two norms of one output": (_both_norms, lambda x: by_hand(x) + F.conv1d(x, *merged(CONV, OTHER))),
    "the raw output is read too": (_raw, lambda x: by_hand(x) + CONV(x)),
    "in-place ReLU behind": (lambda x: NORM(CONV(x)).relu_(), lambda x: F.relu(by_hand(x))),
    "input overwritten before the norm": (_input_overwritten, lambda x: by_hand(F.relu(x)) + F.relu(x).sum() * 0),
}


@each_preset
@pytest.mark.parametrize("spelling", FOLDED)
def test_folded_equals_merged_by_hand(spelling: str, preset: str):
    given, clean = FOLDED[spelling]
    assert_same_explanation(lambda x: end(given(x)), lambda x: end(clean(x)), X, preset)


def _conv2d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(x, weight, bias, 2, 1, 1, 2)


def _conv3d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv3d(x, weight, bias, dilation=2)


LAYERS = {
    "linear": (nn.Linear(5, 4), nn.BatchNorm1d(4), F.linear, (3, 5)),
    "conv2d": (nn.Conv2d(2, 4, 3, 2, 1, groups=2), nn.BatchNorm2d(4), _conv2d, (2, 2, 5, 6)),
    "conv3d": (nn.Conv3d(2, 4, 2, dilation=2), nn.BatchNorm3d(4), _conv3d, (2, 2, 4, 3, 3)),
}


@each_preset
@pytest.mark.parametrize("kind", LAYERS)
def test_folding_into_every_kind_of_layer(kind: str, preset: str):
    layer, norm, function, shape = LAYERS[kind]
    layer, norm = prepare(layer, seed=34), prepare(norm, seed=35)

    def clean(x: Tensor) -> Tensor:
        return F.gelu(function(x, *merged(layer, norm))).flatten(1)

    assert_same_explanation(lambda x: F.gelu(norm(layer(x))).flatten(1), clean, normal(*shape, seed=2), preset)


def test_folded_equals_unfolded_under_zero():
    """A clone between them keeps the two apart; LRP-0 does not tell the difference."""
    given = lrp.explain(lambda x: end(NORM(CONV(x))), X, composite=PRESETS["zero"]())
    apart = lrp.explain(lambda x: end(NORM(CONV(x).clone())), X, composite=PRESETS["zero"]())
    assert_same(given.input, apart.input)
    assert_same(given.input, lrp.explain(lambda x: end(by_hand(x)), X, composite=PRESETS["zero"]()).input)


@pytest.mark.parametrize("preset", ["epsilon", "epsilon_plus"])
def test_folding_matters_for_the_other_presets(preset: str):
    given = lrp.explain(lambda x: end(NORM(CONV(x))), X, composite=PRESETS[preset]())
    apart = lrp.explain(lambda x: end(NORM(CONV(x).clone())), X, composite=PRESETS[preset]())
    apart_by = (given.input - apart.input).abs().max() / given.input.abs().max()
    assert apart_by > (1e-7 if preset == "epsilon" else 1e-2)


@each_preset
def test_norm_of_what_was_changed_is_not_folded(preset: str):
    def given(x: Tensor) -> Tensor:
        z = CONV(x)
        z[:, 0].mul_(2)
        return end(NORM(z))

    def clean(x: Tensor) -> Tensor:
        z = CONV(x)
        return end(NORM(torch.cat([z[:, :1] * 2, z[:, 1:]], 1)))

    assert_same_explanation(given, clean, X, preset)


@each_preset
def test_norm_without_affine_parameters(preset: str):
    norm = nn.BatchNorm1d(4, affine=False, dtype=torch.float64).eval()
    norm.running_mean.copy_(NORM.running_mean)
    norm.running_var.copy_(NORM.running_var)
    full = nn.BatchNorm1d(4, eps=norm.eps, dtype=torch.float64).eval()
    full.load_state_dict({**full.state_dict(), **norm.state_dict()})
    assert_same_explanation(lambda x: end(norm(CONV(x))), lambda x: end(full(CONV(x))), X, preset)


@each_preset
def test_unbatched_convolution_is_not_folded_along_the_wrong_axis(preset: str):
    """`(C, L)` from a convolution without a batch axis is `(N, C)` to the norm behind it."""
    conv, norm = prepare(nn.Conv1d(1, 4, 3), seed=36), prepare(nn.BatchNorm1d(4), seed=37)
    x = normal(1, 6, seed=3)
    assert_same_explanation(lambda x: norm(conv(x)), lambda x: norm(conv(x).clone()), x, preset)


def test_norm_alone_is_an_exact_affine_map_with_its_shift_in_the_books():
    norm = prepare(nn.BatchNorm1d(5), seed=38)
    x = normal(3, 5, seed=4)
    r = lrp.explain(norm, x, target=2, composite=PRESETS["zero"]())
    scale = (norm.weight / torch.sqrt(norm.running_var)).detach()
    assert_same(r.input[:, 2], x[:, 2] * scale[2])
    (row,) = r.ledger.rows
    assert row.kind == "shift"
    assert_same(row.amount, 3 * (norm.bias.detach() - norm.running_mean * scale)[2])
    assert_balanced(r)


def test_relevance_at_a_folded_convolution_is_at_the_folded_output():
    model = nn.Sequential(CONV, NORM, nn.ReLU(), TAIL, nn.Flatten())
    r = lrp.explain(model, X, composite=PRESETS["epsilon_plus"](), keep=["0", "1"])
    assert_same(r["0"], r["1"])


def test_the_model_keeps_its_weights():
    model = nn.Sequential(CONV, NORM, TAIL, nn.Flatten())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    lrp.explain(model, X, composite=PRESETS["epsilon_plus"]())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def as_tokens(h: Tensor) -> Tensor:
    """The same numbers with the strides that transposed tokens have."""
    return h.flatten(2).transpose(1, 2).contiguous().transpose(1, 2).view_as(h)


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("before", [False, True], ids=["", "strides before"])
@pytest.mark.parametrize("after", [False, True], ids=["", "strides after"])
def test_strides_do_not_matter(samples: int, reference: bool, before: bool, after: bool) -> None:
    """torch's own gradient of a batch norm is wrong for one sample with the strides of transposed tokens."""
    norm = prepare(nn.BatchNorm2d(4), seed=5)
    x, head = normal(samples, 4, 3, 2, seed=6), normal(5, 4, seed=7)

    def model(x: Tensor) -> Tensor:
        h = norm(as_tokens(x) if before else x)
        return F.linear(h.flatten(2).transpose(1, 2) if after else h.flatten(2).mT.contiguous(), head).sum(1)

    given = {"reference": torch.zeros_like(x)} if reference else {}
    r = lrp.explain(model, x, target=1, composite=lrp.presets.zero(), **given)
    scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
    assert_same(r.input, x * (scale * head[1]).view(-1, 1, 1))
    assert_balanced(r)
