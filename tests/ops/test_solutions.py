"""The solution of `A X = B` is `B` divided by a matrix; one of data counts as a constant, as a denominator does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import lrp
from lrp.errors import UncoveredError
from tests.cases.networks import signed
from tests.ops.driving import assert_books_balance, assert_same_map, drive, multiplier_for
from tests.ops.operations import SQUARE

A, B = SQUARE, signed(4, 3, seed=2)
M = multiplier_for(B)
SOLVED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "solve": torch.linalg.solve,
    "by name": lambda a, b: torch.linalg.solve(A=a, B=b),
    "in parts": lambda a, b: torch.linalg.solve_ex(a, b)[0],
    "from the right": lambda a, b: torch.linalg.solve(a, b.mT, left=False).mT,
    "triangular": lambda a, b: torch.linalg.solve_triangular(a, b, upper=False, unitriangular=True),
    "tensors": lambda a, b: torch.stack([torch.linalg.tensorsolve(a, column) for column in b.mT], -1),
}


@pytest.mark.parametrize("how", SOLVED)
def test_a_matrix_of_data_counts_as_a_constant(how: str) -> None:
    both = drive(lambda a, b: SOLVED[how](a, b), (A, B), M, ledger="calls")
    assert both.input[0] is None
    assert_same_map(both.input[1], drive(lambda b: SOLVED[how](A, b), B, M).input)
    assert_books_balance(both)
    assert not both.plan.identical_to_gradient


def test_one_number_by_another_is_a_division() -> None:
    a, b = signed(1, 1, seed=3), signed(1, 1, seed=4)
    m = multiplier_for(b)
    solved = drive(lambda x: torch.linalg.solve(x * x + a, x), b, m)
    assert_same_map(solved.input, drive(lambda x: x / (x * x + a), b, m).input)


def test_a_constant_over_a_matrix_of_data_is_refused() -> None:
    with pytest.raises(UncoveredError, match="a constant over a matrix of data has no rule"):
        lrp.explain(lambda a: torch.linalg.solve(a, B), A, target=0)
