"""Every rule against its slow twin (twins.py): relevance form, dense matrices, plain loops."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lrp import on, rules
from lrp.rules.linear import InputRule
from tests.cases.linear_calls import LINEAR_CALLS, LinearCall
from tests.ops.driving import (
    assert_bit_equal,
    assert_books_balance,
    assert_kept_as_the_twin,
    assert_same_map,
    drive,
    kept,
    multiplier_for,
    twin_of,
)
from tests.rules.twins import Dense, joined, matrix, share

# Every rule of linear calls. A new rule is one line here, and its formula in twins.py.
ALL_RULES: list[rules.Rule] = [
    rules.Zero(),
    *(rules.Epsilon(epsilon) for epsilon in (0.0, 1e-6, 0.3, 10.0)),
    *(rules.ZPlus(epsilon) for epsilon in (0.0, 1e-6, 0.3)),
    *(rules.Gamma(gamma, epsilon) for gamma, epsilon in ((0.0, 0.1), (0.25, 0.0), (0.25, 1e-6), (3.0, 0.3))),
    *(rules.AlphaBeta(*abe) for abe in ((1, 0), (2, 1, 0.0), (2, 1), (1.5, 0.5, 0.3))),
    *(rules.Flat(epsilon) for epsilon in (0.0, 1e-6, 1.0)),
    *(rules.WSquare(epsilon) for epsilon in (0.0, 1e-6, 1.0)),
    *(rules.Box(low, high, epsilon) for low, high, epsilon in ((-4.0, 4.0, 0.0), (-4.0, 5.0, 1e-6), (0.0, 1.0, 0.3))),
]
HIDDEN_RULES = [rule for rule in ALL_RULES if not isinstance(rule, InputRule)]


@cache
def dense(name: str) -> Dense:
    """A case as a dense matrix."""
    case = LINEAR_CALLS[name]
    z = case.apply(case.x, case.weight, None)
    bias = case.apply(torch.zeros_like(case.x), case.weight, case.bias) if case.bias is not None else 0 * z
    ones = torch.ones_like(case.weight)
    return Dense(
        matrix(lambda x: case.apply(x, case.weight, None), case.x),
        bias.flatten().tolist(),
        joined(lambda x: case.apply(x, ones, None), case.x),
    )


def run(case: LinearCall, x: Tensor) -> Tensor:
    return case.apply(x, case.weight, case.bias)


@pytest.mark.parametrize("rule", ALL_RULES, ids=str)
@pytest.mark.parametrize("name", LINEAR_CALLS)
def test_linear_calls(name: str, rule: rules.Rule) -> None:
    case = LINEAR_CALLS[name]
    z = run(case, case.x)
    m = multiplier_for(z)
    truth = twin_of(rule, dense(name), case.x, m)
    ours = drive(lambda x: run(case, x), case.x, m, [(on.conv | on.linear, rule)])
    assert_same_map(ours.input, truth.relevance)
    assert_kept_as_the_twin(ours, truth)
    assert_books_balance(ours)
    assert_bit_equal(ours.output, z)


@pytest.mark.parametrize("rule", HIDDEN_RULES, ids=str)
@pytest.mark.parametrize("name", LINEAR_CALLS)
def test_inputs_that_are_nonnegative_by_structure(name: str, rule: rules.Rule) -> None:
    """Behind a ReLU, where rules may leave out the negative half; at the ledger level that names op calls."""
    case = LINEAR_CALLS[name]
    m = multiplier_for(run(case, case.x))
    truth = twin_of(rule, dense(name), case.x.relu(), m)
    ours = drive(lambda x: run(case, x.relu()), case.x, m, [(on.conv | on.linear, rule)], ledger="calls")
    assert_same_map(ours.input, truth.relevance)
    assert_kept_as_the_twin(ours, truth)
    assert_books_balance(ours)


@pytest.mark.parametrize("behind", [lambda x: x, torch.relu], ids=["signed", "nonnegative"])
@pytest.mark.parametrize("rule", HIDDEN_RULES, ids=str)
@pytest.mark.parametrize("name", ["linear", "linear-one-unit", "x@w", "conv1d", "conv2d-groups"])
def test_outputs_that_are_read_by_relu_alone(name: str, rule: rules.Rule, behind: Callable[[Tensor], Tensor]) -> None:
    """Nothing arrives at negative outputs, so Gamma may leave out its mirrored half."""
    case = LINEAR_CALLS[name]
    z = run(case, behind(case.x))
    m = multiplier_for(z)
    truth = twin_of(rule, dense(name), behind(case.x), m * (z > 0))
    ours = drive(lambda x: run(case, behind(x)).relu(), case.x, m, [(on.conv | on.linear, rule)], ledger="calls")
    assert_same_map(ours.input, truth.relevance)
    assert_kept_as_the_twin(ours, truth)
    assert_books_balance(ours)


@pytest.mark.parametrize("rule", ALL_RULES, ids=str)
@pytest.mark.parametrize("name", ["linear", "linear-3d", "w@x-3d", "conv1d-same", "conv2d-groups", "conv3d"])
def test_op_calls_lose_nothing(name: str, rule: rules.Rule) -> None:
    case = LINEAR_CALLS[name]
    m = multiplier_for(run(case, case.x))
    sinks, calls = (
        drive(lambda x: run(case, x), case.x, m, [(on.conv | on.linear, rule)], ledger=level)
        for level in ("sinks", "calls")
    )
    assert_same_map(calls.input, sinks.input)
    assert len(calls.ledger.lost) >= 1
    assert_books_balance(calls)


# Where the units of the output of a call lie; None for a single unit.
UNITS: dict[str, int | None] = {
    **{"linear": 1, "linear-3d": 2, "linear-vector": 0, "linear-one-unit": 1, "x@w": 1, "w@x": 0, "w@x-3d": 1},
    **{"x@w-batched-weight": 2, "w@x-batched-weight": 1, "mv-left": None, "mv-right": 0, "dot": None, "rmatmul": 0},
    **{"conv1d": 1, "conv1d-unbatched": 0, "conv2d-groups": 1, "conv2d-unbatched": 0, "conv3d": 1},
}


@pytest.mark.parametrize("name", UNITS)
def test_relative_epsilon_is_a_share_of_the_spread_over_units(name: str) -> None:
    case, units = LINEAR_CALLS[name], UNITS[name]
    z = run(case, case.x)
    m = multiplier_for(z)
    spread = z.abs() if units is None else (z**2).mean(units, keepdim=True).sqrt().expand_as(z)
    truth = share("Epsilon", dense(name), case.x, m, epsilon=(0.3 * spread).flatten().tolist())
    for level in ("sinks", "calls"):
        entries = [(on.conv | on.linear, rules.Epsilon(0.3, relative=True))]
        ours = drive(lambda x: run(case, x), case.x, m, entries, ledger=level)
        assert_same_map(ours.input, truth.relevance)
        assert_kept_as_the_twin(ours, truth)
        assert_books_balance(ours)


def minus_one_in_place(x: Tensor) -> Tensor:
    h = x.relu()
    h += -1
    return h


def part_set(x: Tensor) -> Tensor:
    h = x.relu()
    h[:, 2] = -1
    return h


def view_changed(x: Tensor) -> Tensor:
    h = x.relu()
    h[:, 1:].sub_(1)
    return h


def changed_behind_a_view(x: Tensor) -> Tensor:
    h = x.relu()
    view = h.view_as(h)
    h.mul_(-1)
    return view


# Affine in `relu(x)`, and negative in places.
NOT_NONNEGATIVE: dict[str, Callable[[Tensor], Tensor]] = {
    "minus-number": lambda x: x.relu() - 1,
    "plus-negative-number": lambda x: x.relu() + (-1),
    "plus-negative-number-keyword": lambda x: torch.add(x.relu(), other=-1),
    "plus-negative-number-times": lambda x: x.relu().add(1, alpha=-2),
    "+=-1": minus_one_in_place,
    "minus-constant": lambda x: x.relu() - 0.5 * torch.ones_like(x),
    "plus-constant": lambda x: torch.full_like(x, -1.0) + x.relu(),
    "number-minus": lambda x: 1 - x.relu(),
    "sub": lambda x: x.relu() - x.flip(1).relu(),
    "add-alpha": lambda x: torch.add(x.relu(), x.flip(1).relu(), alpha=-1),
    "neg": lambda x: -x.relu(),
    "times-number": lambda x: -2 * x.relu(),
    "divided": lambda x: x.relu() / -2.0,
    "pad-value": lambda x: F.pad(x.relu()[:, 1:], (1, 0), value=-1.0),
    "pad-constant": lambda x: torch.cat([torch.full_like(x[:, :1], -1.0), x.relu()[:, 1:]], 1),
    "masked_fill": lambda x: x.relu().masked_fill(torch.arange(5) == 2, -1.0),
    "where-number": lambda x: torch.where(torch.arange(5) == 2, -1.0, x.relu()),
    "setitem": part_set,
    "view-changed": view_changed,
    "changed-behind-a-view": changed_behind_a_view,
}


@pytest.mark.parametrize("rule", [rules.ZPlus(0.1), rules.Gamma(0.5, 0.1), rules.AlphaBeta(2, 1, 0.1)], ids=str)
@pytest.mark.parametrize("name", NOT_NONNEGATIVE)
def test_what_is_negative_again_is_not_taken_for_nonnegative(name: str, rule: rules.Rule) -> None:
    case, before = LINEAR_CALLS["linear"], NOT_NONNEGATIVE[name]
    h = before(case.x)
    assert h.min() < 0
    m = multiplier_for(run(case, h))
    truth = twin_of(rule, dense("linear"), h, m)
    ours = drive(lambda x: run(case, before(x)), case.x, m, [(on.linear, rule)], ledger="calls")
    # what the linear call hands on is divided between the data and the constants before it
    assert float(ours.input.sum()) + kept(ours, "constant") == pytest.approx(float(truth.relevance.sum()), rel=1e-12)
    assert kept(ours, "bias") == pytest.approx(truth.kept["bias"], rel=1e-12)
    assert kept(ours, "stabiliser") == pytest.approx(truth.kept["stabiliser"], rel=1e-12)
    assert_books_balance(ours)
