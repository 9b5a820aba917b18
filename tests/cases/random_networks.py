"""Random small networks as data, and composites to explain them with.

`networks()` draws a `Network`: a shape and a few steps, whose repr is the code that rebuilds it. `build` makes a module
of it, as it was drawn or in one spelling throughout; all spellings of one network have equal weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import lrp
from tests.cases import random_branches, random_layers  # noqa: F401  they enter what builds their steps
from tests.cases.networks import signed
from tests.cases.random_activations import ACTIVATIONS, HOMOGENEOUS
from tests.cases.random_moves import MOVES, VIEW_MOVES
from tests.cases.random_steps import SPELLINGS, Make, Step, step

CLASSES = 3
SHAPES = {"flat": (5,), "tokens": (3, 4), "sequence": (3, 6), "image": (2, 5, 4)}


@dataclass(frozen=True)
class Network:
    """A network as data.

    Args:
        kind: a key of SHAPES: the shape of one sample.
        steps: one after the other.
        second: how a second input joins behind the first step: "add", "cat", "mul"; "" for none.
        output: "logits", or "tuple" or "dict" with the logits among other outputs.
        seed: of weights and inputs.
        zeros: about a tenth of the inputs are exactly 0.
    """

    kind: str
    steps: tuple[Step, ...]
    second: str = ""
    output: str = "logits"
    seed: int = 0
    zeros: bool = True

    def build(self, spelling: str | None = None, *, unrolled: bool = False, merged: bool = False) -> nn.Module:
        """The network as a module in eval mode: as drawn, or in one spelling."""
        return RandomNet(self, Make(self.seed, spelling, unrolled, merged)).eval()

    def normalised(self) -> Network:
        """The same with one batch norm behind each of its linear layers and convolutions, and a ReLU for others."""
        return replace(self, steps=_normalised(self.steps))

    def inputs(self, samples: int = 3) -> Any:
        x = [signed(samples, *SHAPES[self.kind], seed=self.seed + i) for i in range(2 if self.second else 1)]
        if not self.zeros:
            x = [t + 0.01 * (t == 0) for t in x]
        return tuple(x) if self.second else x[0]

    def target(self, index: int = 1) -> Any:
        path = {"logits": "", "tuple": "1", "dict": "logits"}[self.output]
        return lrp.targets.At(path, index) if path else index


def _normalised(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    norm = step("batch_norm", affine=True, spelling="module")
    found: list[Step] = []
    for each in steps:
        each = step("activation", of="relu", spelling="module") if each.name == "batch_norm" else each
        found.append(replace(each, bodies=tuple(_normalised(body) for body in each.bodies)))
        found += [norm] if each.name in ("linear", "conv") else []
    return tuple(found)


class RandomNet(nn.Module):
    """`steps`, with `second` behind the first of them, and `head`."""

    def __init__(self, network: Network, make: Make) -> None:
        super().__init__()
        self.how, self.output = network.second, network.output
        h = torch.ones(2, *SHAPES[network.kind], dtype=torch.float64) * 0.5
        split = 1 if self.how else 0
        first, rest = network.steps[:split], network.steps[split:]
        before, y, owned = make.chain(first, h)
        self.second = make.branch((), h, y.shape) if self.how else None
        if self.how == "cat":
            y = torch.cat([y, y], 1)
        after, y, _ = make.chain(rest, y, owned or bool(self.how))
        self.steps = nn.Sequential(*before, *after)
        self.head = make.branch((), y, torch.Size([len(y), CLASSES + 1]))

    def forward(self, x: Tensor, other: Tensor | None = None) -> Any:
        h = x
        for number, each in enumerate(self.steps):
            h = each(h)
            if number == 0 and self.second is not None and other is not None:
                y = self.second(other)
                h = {"add": h.add, "mul": h.mul, "cat": lambda y, h=h: torch.cat([h, y], 1)}[self.how](y)
        out = self.head(h)
        logits = out[:, :CLASSES]
        return {"logits": logits, "tuple": (h, logits), "dict": {"mean": h.mean(), "logits": logits}}[self.output]


# --- steps ------------------------------------------------------------------------------------------------------------


def one(name: str, *bodies: st.SearchStrategy[Any], **options: Any) -> st.SearchStrategy[Step]:
    """A strategy for one step, spelled in some way; each option is chosen from a list."""
    drawn = {key: st.sampled_from(list(values)) for key, values in {**options, "spelling": SPELLINGS}.items()}
    return st.builds(lambda b, o: step(name, *b, **o), st.tuples(*bodies), st.fixed_dictionaries(drawn))


def _layers(kind: str) -> list[st.SearchStrategy[Step]]:
    yes = (True, False)
    layers = [
        one("linear", width=(2, 3, 4), bias=yes),
        one("batch_norm", affine=yes),
    ]
    if kind in ("sequence", "image"):
        modes = ("zeros", "zeros", "reflect", "replicate", "circular")
        more = {"kernel": (1, 2, 3), "width": (1, 2, 3), "bias": yes}
        strides = {"stride": (1, 2), "dilation": (1, 2), "padding": (0, 1), "mode": modes, "groups": (1, 2, "all")}
        layers += [one("conv", **more, **strides)] * 2
        layers += [one("conv_transpose", **more, stride=(1, 2), groups=(1, 2))]
        layers += [
            one("pool", kind=("avg", "max"), kernel=(1, 2, 3), stride=(1, 2), padding=(0, 1), ceil=yes, dilation=(1, 2))
        ]
        layers += [one("adaptive_pool", kind=("avg", "max"), size=(1, 2))]
    return layers


def _pointwise(names: Any) -> list[st.SearchStrategy[Step]]:
    return [one("activation", of=names)] * 2 + [one("part", of=names), one("prelu")]


def _moves(names: Any) -> list[st.SearchStrategy[Step]]:
    return [one("move", of=names), one("view", of=VIEW_MOVES), one("dropout")]


def _constants(thresholds: bool) -> list[st.SearchStrategy[Step]]:
    """A number that shifts is the threshold of the activation behind it."""
    shapes = ("sample", "channel")
    return [
        one("constant", how=("add", "sub", "rsub"), shape=(*shapes, "number") if thresholds else shapes),
        one("constant", how=("mul", "div"), shape=(*shapes, "number")),
        one("beside", first=(True, False)),
        one("write", how=("number", "zero", "constant", "data", "mask", "where")),
    ]


def _linear_branches(body: st.SearchStrategy[Any]) -> list[st.SearchStrategy[Step]]:
    return [
        one("residual", body, alpha=(1, -0.5)),
        one("concat", body),
        one("twice", body, in_a_row=(True, False)),
        one("overwritten", body),
    ]


def _gates(body: st.SearchStrategy[Any], closed: bool) -> list[st.SearchStrategy[Step]]:
    kinds = ("sigmoid", "softmax", *(("hardsigmoid",) if closed else ()))
    return [one("gated", body, kind=kinds, squeeze=(True, False))]


def _products(body: st.SearchStrategy[Any]) -> list[st.SearchStrategy[Step]]:
    return [
        one("product", body),
        one("product", body, body),
        one("contraction", body),
        one("divided", body, kind=("body", "length", "deviation")),
    ]


def _others() -> list[st.SearchStrategy[Step]]:
    return [
        one("norm", kind=("layer", "rms", "group", "instance"), affine=(True, False)),
        one("statistic", of=("norm", "std", "var", "logsumexp", "prod")),
        one("softmax", weights=(True, False)),
    ]


@cache
def steps_of(kind: str, only: str = "", depth: int = 2) -> st.SearchStrategy[Step]:
    """One step for data of a kind; see `networks`."""
    choices = _layers(kind)
    if only == LAYERS:
        return st.one_of(choices + _pointwise(HOMOGENEOUS))
    choices += _constants(thresholds=not only)
    if only == PIECEWISE_LINEAR:
        choices += _pointwise(HOMOGENEOUS) + _moves(MOVES)
    else:
        closing = ("hardsigmoid", "square", "cube") if only else ()
        choices += _pointwise(tuple(name for name in ACTIVATIONS if name not in closing)) + _moves(MOVES) + _others()
    if depth:
        body = st.lists(steps_of(kind, only, depth - 1), max_size=2)
        choices += _linear_branches(body) * 2
        if only != PIECEWISE_LINEAR:
            choices += _gates(body, closed=not only) * 2
        if not only:
            choices += _products(body) * 2
    return st.one_of(choices)


@cache
def networks_of(kind: str, only: str, zeros: bool, inputs: int) -> st.SearchStrategy[Network]:
    """Networks for data of a kind; see `networks`."""
    joins = ("add", "cat", "add" if only else "mul")
    return st.builds(
        Network,
        kind=st.just(kind),
        steps=st.lists(steps_of(kind, only), min_size=2, max_size=6).map(tuple),
        second=st.sampled_from(("", "", "", *joins) if inputs > 1 else ("",)),
        output=st.sampled_from(("logits", "logits", "tuple", "dict")),
        seed=st.integers(0, 99),
        zeros=st.booleans() if zeros else st.just(False),
    )


PIECEWISE_LINEAR = "piecewise linear"
OPEN = "open"
LAYERS = "layers"
KINDS = ("flat", "tokens", "sequence", "image", "image")
FOLDING = ("flat", "sequence", "image")
"""Kinds of data for which the channels of a batch norm are the outputs of the layer before it."""


def networks(
    only: str = "", *, kinds: tuple[str, ...] = KINDS, zeros: bool = True, inputs: int = 2
) -> st.SearchStrategy[Network]:
    """Networks of 2 to 6 steps, two in five of them on images.

    Args:
        only: `PIECEWISE_LINEAR`: LRP-0 is gradient times input. `OPEN`: no activation with `phi(0) != 0` is exactly 0
            anywhere, as a hard sigmoid is (or a sigmoid of what products made large): a multiplier tells its input
            and its offset apart there, a relevance of 0 cannot. `LAYERS`: what has weights, pooling and rectifiers.
        kinds: of data.
        zeros: some have inputs that are exactly 0.
        inputs: at most so many.
    """
    return st.one_of(*(networks_of(kind, only, zeros, inputs) for kind in kinds))
