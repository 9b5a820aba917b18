"""Rules with parameters that make no sense are refused at once, with what was seen and the cure."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import lrp
from lrp import on, rules

BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "epsilon": (lambda: rules.Epsilon(-1e-6), "epsilon=-1e-06"),
    "zplus": (lambda: rules.ZPlus(nan), "epsilon=nan"),
    "flat": (lambda: rules.Flat(inf), "epsilon=inf"),
    "wsquare": (lambda: rules.WSquare(-1), "epsilon=-1"),
    "gamma": (lambda: rules.Gamma(-0.25), "gamma=-0.25"),
    "gamma infinite": (lambda: rules.Gamma(inf), "gamma=inf"),
    "gamma epsilon": (lambda: rules.Gamma(0.25, -1), "epsilon=-1"),
    "gamma text": (lambda: rules.Gamma("0.25"), "gamma='0.25'"),
    "alpha and beta": (lambda: rules.AlphaBeta(2, 2), "alpha=2, beta=2"),
    "alpha + beta": (lambda: rules.AlphaBeta(2, -1), "beta=-1"),
    "alpha alone": (lambda: rules.AlphaBeta(1), "alpha=1, beta=1"),
    "box upside down": (lambda: rules.Box(1, 0), "low=1, high=0"),
    "box upside down in a channel": (lambda: rules.Box((0, 2, 0), (1, 1, 1)), "low=(0, 2, 0)"),
    "box without end": (lambda: rules.Box(-inf, 1), "low=-inf"),
    "box of words": (lambda: rules.Box("black", "white"), "str"),
    "box of unequal bounds": (lambda: rules.Box((0, 0), (1, 1, 1)), "size"),
    "box epsilon": (lambda: rules.Box(0, 1, -1), "epsilon=-1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_parameters_are_refused(name: str) -> None:
    make, seen = BAD[name]
    with pytest.raises(lrp.errors.CompositeError) as caught:
        make()
    message = str(caught.value)
    assert seen in message
    assert "where: rules." in message
    assert "cure:  rules." in message


@pytest.mark.parametrize(
    "low", [(0, 0), torch.zeros(3, 1, 1), torch.zeros(2, 1, 3, 4, 4)], ids=["channels", "C11", "rank"]
)
def test_bounds_that_do_not_fit_the_input_are_refused(low: Any) -> None:
    x, w = torch.ones(1, 4, 4, 4), torch.ones(2, 4, 3, 3)
    composite = lrp.Composite([(on.first, rules.Box(low, 1))])
    with pytest.raises(lrp.errors.CompositeError, match="low does not fit the input") as caught:
        lrp.explain(lambda x: F.conv2d(x, w).sum((2, 3)), x, composite=composite)
    assert "input (1, 4, 4, 4)" in str(caught.value)


def test_rules_are_values() -> None:
    """Equal parameters make equal rules, bounds of any spelling too."""
    spellings = [(0, (1, 2)), (0.0, [1, 2]), (torch.tensor(0), torch.tensor([1.0, 2.0]))]
    assert len({rules.Box(low, high) for low, high in spellings}) == 1
    assert rules.Gamma(0.25) == rules.Gamma(gamma=0.25) != rules.Gamma(0.5)
    assert str(rules.Box(0, torch.ones(3, 8, 8))) == "Box(low=0, high=(3 x 8 x 8 numbers), epsilon=1e-06)"
