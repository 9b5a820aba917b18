"""Every rule against its slow twin (twins.py): relevance form, dense matrices, plain loops."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from lrp import on, rules
from tests.cases.linear_calls import LINEAR_CALLS, LinearCall
from tests.ops.driving import assert_bit_equal, assert_books_balance, assert_same_map, drive, kept, multiplier_for
from tests.rules.twins import Dense, matrix, share

RULES = {
    "Zero": [rules.Zero()],
    "Epsilon": [rules.Epsilon(epsilon) for epsilon in (0.0, 1e-6, 0.3, 10.0)],
    "ZPlus": [rules.ZPlus(epsilon) for epsilon in (0.0, 1e-6, 0.3)],
    "Flat": [rules.Flat(epsilon) for epsilon in (0.0, 1e-6, 1.0)],
}
ALL_RULES = [rule for variants in RULES.values() for rule in variants]
HIDDEN_RULES = [rule for rule in ALL_RULES if not isinstance(rule, rules.Flat)]


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
        matrix(lambda x: case.apply(x, ones, None), case.x),
    )


def run(case: LinearCall, x: Tensor) -> Tensor:
    return case.apply(x, case.weight, case.bias)


def epsilon_of(rule: rules.Rule) -> float:
    return getattr(rule, "epsilon", 0.0)


@pytest.mark.parametrize("rule", ALL_RULES, ids=str)
@pytest.mark.parametrize("name", LINEAR_CALLS)
def test_linear_calls(name: str, rule: rules.Rule) -> None:
    case = LINEAR_CALLS[name]
    z = run(case, case.x)
    m = multiplier_for(z)
    truth = share(type(rule).__name__, epsilon_of(rule), dense(name), case.x, m)
    ours = drive(lambda x: run(case, x), case.x, m, [(on.conv | on.linear, rule)])
    assert_same_map(ours.input, truth.relevance)
    scale = float(ours.ledger.scale)
    assert kept(ours, "bias") == pytest.approx(truth.bias, abs=1e-12 * scale)
    assert kept(ours, "stabiliser") == pytest.approx(truth.stabiliser, abs=1e-12 * scale)
    assert {row.kind for row in ours.ledger.rows} <= {"bias", "stabiliser"}
    assert_books_balance(ours)
    assert_bit_equal(ours.output, z)


@pytest.mark.parametrize("rule", HIDDEN_RULES, ids=str)
@pytest.mark.parametrize("name", LINEAR_CALLS)
def test_inputs_that_are_nonnegative_by_structure(name: str, rule: rules.Rule) -> None:
    """Behind a ReLU, where rules may leave out the negative half; at the ledger level that names op calls."""
    case = LINEAR_CALLS[name]
    m = multiplier_for(run(case, case.x))
    truth = share(type(rule).__name__, epsilon_of(rule), dense(name), case.x.relu(), m)
    ours = drive(lambda x: run(case, x.relu()), case.x, m, [(on.conv | on.linear, rule)], ledger="calls")
    assert_same_map(ours.input, truth.relevance)
    assert kept(ours, "bias") == pytest.approx(truth.bias, abs=1e-12 * float(ours.ledger.scale))
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
