"""The solution of `A X = B` is `B` divided by a matrix: linear in `B`, and a matrix of data counts as a constant."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import lrp
from lrp.errors import UncoveredError
from tests.cases.networks import signed
from tests.ops.driving import assert_books_balance, assert_same_map, drive, multiplier_for

SOLVED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "solve": torch.linalg.solve,
    "solve, by name": lambda a, b: torch.linalg.solve(A=a, B=b),
    "solve_ex": lambda a, b: torch.linalg.solve_ex(a, b)[0],
    "solve_triangular": lambda a, b: torch.linalg.solve_triangular(a.tril(), b, upper=False),
    "unitriangular": lambda a, b: torch.linalg.solve_triangular(a.triu(), b, upper=True, unitriangular=True),
    "from the right": lambda a, b: torch.linalg.solve(a, b.mT, left=False).mT,
    "lu_solve": lambda a, b: torch.linalg.lu_solve(*torch.linalg.lu_factor(a.detach()), b),
    "cholesky_solve": lambda a, b: torch.cholesky_solve(b, torch.linalg.cholesky(a.detach())),
    "tensorsolve": lambda a, b: torch.stack([torch.linalg.tensorsolve(a, column) for column in b.mT], -1),
}


def matrix() -> Tensor:
    """A symmetric positive definite matrix, for every way to solve by it."""
    root = signed(4, 4, seed=1)
    return root @ root.mT + torch.eye(4, dtype=torch.float64)


def used(kind: str, a: Tensor) -> Tensor:
    """The matrix that a function solves by."""
    if kind == "unitriangular":
        return a.triu(1) + torch.eye(4, dtype=a.dtype)
    return a.tril() if kind == "solve_triangular" else a


@pytest.mark.parametrize("kind", SOLVED)
def test_by_a_constant_matrix_it_is_the_product_with_the_inverse(kind: str) -> None:
    a, b = matrix(), signed(4, 3, seed=2)
    m = multiplier_for(b)
    ours = drive(lambda b: SOLVED[kind](a, b), b, m, ledger="calls")
    theirs = drive(lambda b: torch.linalg.inv(used(kind, a)) @ b, b, m)
    assert_same_map(ours.input, theirs.input)
    assert_books_balance(ours)


@pytest.mark.parametrize("kind", [kind for kind in SOLVED if kind not in ("lu_solve", "cholesky_solve")])
def test_a_matrix_of_data_counts_as_a_constant(kind: str) -> None:
    a, b = matrix(), signed(4, 3, seed=2)
    m = multiplier_for(b)
    both = drive(lambda a, b: SOLVED[kind](a, b), (a, b), m, ledger="calls")
    alone = drive(lambda b: SOLVED[kind](a, b), b, m)
    assert_same_map(both.input[1], alone.input)
    assert both.input[0] is None
    assert_books_balance(both)


def test_one_number_by_another_is_a_division() -> None:
    a, b = signed(1, 1, seed=3), signed(1, 1, seed=4)
    m = multiplier_for(b)
    solved = drive(lambda a, b: torch.linalg.solve(a * a, b), (a, b), m)
    divided = drive(lambda a, b: b / (a * a), (a, b), m)
    assert solved.input[0] is None
    assert divided.input[0] is None
    torch.testing.assert_close(solved.input[1], divided.input[1], rtol=1e-14, atol=0)


def test_a_constant_over_a_matrix_of_data_is_refused() -> None:
    b = signed(4, 3, seed=2)
    with pytest.raises(UncoveredError, match="a constant over a matrix of data has no rule"):
        lrp.explain(lambda a: torch.linalg.solve(a, b), matrix(), target=lambda x: x[:, 0])
