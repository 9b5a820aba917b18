"""What rules are told of signs by the structure of the model: inputs nowhere negative, outputs that a ReLU alone reads.

Wrong answers would be wrong numbers; a missing one costs time: twice the convolutions of `ZPlus` and `Gamma`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import on, rules
from lrp.rules.base import Kept
from lrp.rules.linear import LinearOp
from tests.cases.networks import prepare
from tests.engine.checks import normal

FIRST, LAST = prepare(nn.Linear(8, 6), seed=15), prepare(nn.Linear(6, 4), seed=16)
X = normal(3, 8, seed=10)


@dataclass(frozen=True)
class Listening(rules.ZPlus):
    """`ZPlus`, and what it was told: (nonnegative, rectified), by the number of units."""

    heard: dict[int, tuple[bool, bool]] = field(default_factory=dict, compare=False)

    def propagate(self, op: LinearOp, x: Tensor, z: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        self.heard[len(op.weight)] = op.nonnegative, op.rectified
        return super().propagate(op, x, z, relevance_out)


def told(between: Callable[[Tensor], Tensor]) -> tuple[bool, bool]:
    """Whether the first layer is told that ReLUs alone read it, and the last that its input is nowhere negative."""
    rule = Listening()
    lrp.explain(lambda x: LAST(between(FIRST(x))), X, composite=lrp.Composite([(on.linear, rule)]))
    return rule.heard[6][1], rule.heard[4][0]


RECTIFIERS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "ReLU": nn.ReLU(inplace=True),
    "relu6": F.relu6,
    "ReLU6": nn.ReLU6(),
    "ReLU6-in-place": nn.ReLU6(inplace=True),
    "hardtanh": lambda h: F.hardtanh(h, 0, 1),
    "clamp": lambda h: h.clamp(0, 1),
    "clamp-min": lambda h: h.clamp(min=0),
    "clamp_min": lambda h: h.clamp_min(0.0),
}
NONNEGATIVE: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda h: h.sigmoid(),
    "from-above-zero": lambda h: h.clamp(0.5, 1),
    "read-by-others": lambda h: h.relu() + (h * 0).relu(),
}
NEITHER: dict[str, Callable[[Tensor], Tensor]] = {
    "hardtanh": F.hardtanh,
    "clamp": lambda h: h.clamp(-0.5, 1),
    "clamp-max": lambda h: h.clamp(max=1),
    "bounds-crossed": lambda h: h.clamp(0, -0.5),
    "tensor": lambda h: h.clamp(min=h.new_zeros(6)),
    "silu": F.silu,
}
AFTER_RELU: dict[str, tuple[bool, Callable[[Tensor], Tensor]]] = {
    "pad": (True, lambda h: F.pad(h.relu()[:, :4], (1, 1))),
    "pad-value": (True, lambda h: F.pad(h.relu()[:, :4], (1, 1), value=0.5)),
    "pad-mode": (True, lambda h: F.pad(h.relu()[:, None, :4], (1, 1), "reflect")[:, 0]),
    "pad-negative": (False, lambda h: F.pad(h.relu()[:, :4], (1, 1), "constant", -0.5)),
}


@pytest.mark.parametrize("name", RECTIFIERS)
def test_rectifiers(name: str) -> None:
    assert told(RECTIFIERS[name]) == (True, True)


@pytest.mark.parametrize("name", NONNEGATIVE)
def test_nonnegative_and_no_rectifier(name: str) -> None:
    assert told(NONNEGATIVE[name]) == (False, True)


@pytest.mark.parametrize("name", NEITHER)
def test_neither(name: str) -> None:
    assert told(NEITHER[name]) == (False, False)


@pytest.mark.parametrize("name", AFTER_RELU)
def test_padding_behind_a_relu(name: str) -> None:
    nonnegative, between = AFTER_RELU[name]
    assert told(between)[1] == nonnegative
