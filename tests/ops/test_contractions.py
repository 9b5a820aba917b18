"""Products of any number of operands: with one that is data a linear call, with n of them a product of n factors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import lrp
from lrp import on, rules
from lrp.errors import UncoveredError
from tests.cases.networks import signed
from tests.ops.driving import assert_bit_equal, assert_books_balance, assert_same_map, drive, kept, multiplier_for

LEVELS = ["sinks", "calls"]
A, B, C = signed(3, 4, seed=1), signed(4, 5, seed=2), signed(5, 2, seed=3)
V, W = signed(4, seed=4), signed(4, seed=5)
BILINEAR = signed(6, 4, 4, seed=6)


def weighted(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.einsum("ij,jk,kl->il", a, b, c)


def bilinear(a: Tensor, b: Tensor) -> Tensor:
    return F.bilinear(a, b, BILINEAR)


def chain_matmul(*matrices: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*chain_matmul is deprecated", UserWarning)
        return torch.chain_matmul(*matrices)


# Functions that are linear in each of n data operands, with those operands: each gets 1/n of what arrives.
PRODUCTS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "einsum-three": (weighted, (A, B, C)),
    "einsum-numbers": (lambda a, b: torch.einsum(a, [0, 1], b, [1, 2], [2, 0]), (A, B)),
    "einsum-with-a-constant": (lambda a, b: torch.einsum("ij,jk,k->i", a, b, C[:, 0]), (A, B)),
    "multi_dot": (lambda *ms: torch.linalg.multi_dot(ms), (A, B, C)),
    "multi_dot-of-data-and-constant": (lambda a, c: torch.linalg.multi_dot([a, B, c]), (A, C)),
    "chain_matmul": (chain_matmul, (A, B, C)),
    "bilinear": (bilinear, (A, A.flip(0))),
    "outer": (torch.outer, (V, W)),
    "inner": (torch.inner, (V, W)),
    "vdot": (torch.vdot, (V, W)),
    "linalg.vecdot": (torch.linalg.vecdot, (A, A.flip(1))),
    "kron": (torch.kron, (A, B)),
    "tensordot": (lambda a, b: torch.tensordot(a, b, dims=1), (A, B)),
    "cross": (lambda a, b: torch.cross(a, b, dim=0), (A, A.flip(1))),
    "conv_transpose1d": (F.conv_transpose1d, (signed(2, 3, 4, seed=7), signed(3, 2, 2, seed=8))),
    "addmm": (lambda a, b: torch.addmm(torch.zeros(5, dtype=a.dtype), a, b, alpha=-2), (A, B)),
}


def shares(function: Callable[..., Tensor], operands: tuple[Tensor, ...], m: Tensor) -> list[Tensor]:
    """Autograd's gradient times each operand, over the number of operands."""
    points = [operand.clone().requires_grad_() for operand in operands]
    gradients = torch.autograd.grad((function(*points) * m).sum(), points)
    return [x * g / len(operands) for x, g in zip(operands, gradients, strict=True)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_each_of_n_factors_gets_the_same_share(name: str, level: Any) -> None:
    function, operands = PRODUCTS[name]
    z = function(*operands)
    m = multiplier_for(z)
    ours = drive(function, operands, m, ledger=level)
    for found, truth in zip(ours.input, shares(function, operands, m), strict=True):
        assert_same_map(found, truth)
    assert_books_balance(ours)
    assert_bit_equal(ours.output, z)


@pytest.mark.parametrize(
    "product",
    [
        lambda a, b: torch.einsum("bi,bj,ij->bi", a, b, BILINEAR[0]),
        lambda a, b: F.bilinear(a, b, BILINEAR[:4]),
        lambda a, b: torch.cat([torch.linalg.cross(a[:, :3], b[:, 1:]), a[:, :1]], 1),
    ],
    ids=["einsum", "bilinear", "cross"],
)
def test_a_product_with_signs_of_its_own_is_not_taken_for_nonnegative(product: Callable[..., Tensor]) -> None:
    h = product(A.relu(), A.flip(0).relu())
    assert h.min() < 0
    entries = [(on.linear, rules.ZPlus(0.1))]
    m = multiplier_for(F.linear(h, B.T))
    ours = drive(lambda x: F.linear(product(x.relu(), x.flip(0).relu()), B.T), A, m, entries)
    truth = drive(lambda h: F.linear(h, B.T), h, m, entries)
    assert float(ours.input.sum()) == pytest.approx(float(truth.input.sum()), rel=1e-12)


TWO, THREE, FOUR = (torch.tensor([value], dtype=torch.float64) for value in (2, 3, 4))
THREES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "(a*b)*c": lambda a, b, c: (a * b) * c,
    "a*(b*c)": lambda a, b, c: a * (b * c),
    "einsum": lambda a, b, c: torch.einsum("i,i,i->i", a, b, c),
    "einsum of a product": lambda a, b, c: torch.einsum("i,i->i", a * c, b),
    "inner of a product": lambda a, b, c: torch.inner(a, b * c).reshape(1),
    "multi_dot": lambda a, b, c: torch.linalg.multi_dot([a, b[None], c]).reshape(1),
    "bilinear": lambda a, b, c: F.bilinear(a, b, c.reshape(1, 1, 1)),
}


@pytest.mark.parametrize("name", THREES)
def test_two_times_three_times_four_is_eight_each(name: str) -> None:
    ours = drive(THREES[name], (TWO, THREE, FOUR), torch.ones(1, dtype=torch.float64))
    assert [float(r) for r in ours.input] == pytest.approx([8, 8, 8], rel=1e-14)


# Functions of one data tensor that stands in several places: it counts as often.
REPEATED: dict[str, tuple[Callable[[Tensor], Tensor], int, Tensor]] = {
    "einsum-twice": (lambda x: torch.einsum("i,i->", x, x), 2, V),
    "einsum-thrice": (lambda x: torch.einsum("i,j,i->j", x, x, x), 3, V),
    "dot": (lambda x: torch.dot(x, x), 2, V),
    "matrix_power": (lambda x: torch.matrix_power(x, 3), 3, signed(3, 3, seed=9)),
    "matrix_power-1": (lambda x: x.matrix_power(1), 1, signed(3, 3, seed=9)),
    "linalg.matrix_power": (lambda x: torch.linalg.matrix_power(x, 2), 2, signed(2, 3, 3, seed=9)),
    "multi_dot": (lambda x: torch.linalg.multi_dot([x, x, x, x]), 4, signed(3, 3, seed=9)),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", REPEATED)
def test_an_operand_counts_as_often_as_it_stands_there(name: str, level: Any) -> None:
    function, degree, x = REPEATED[name]
    z = function(x)
    m = multiplier_for(z)
    ours = drive(function, x, m, ledger=level)
    assert_same_map(ours.input, shares(function, (x,), m)[0] / degree)
    assert_books_balance(ours)
    assert_bit_equal(ours.output, z)


def test_negative_matrix_powers_are_refused() -> None:
    with pytest.raises(UncoveredError, match="inv"):
        drive(lambda x: torch.matrix_power(x, -2), signed(3, 3, seed=9), torch.ones(3, 3))


def added_in_place(b: Tensor, x: Tensor, y: Tensor) -> Tensor:
    z = b.clone()
    z.addmm_(x, y, beta=0.5, alpha=2)
    return z


D = signed(3, 5, seed=10)
# What is added is data too: (function, the same in two calls, operands).
ADDED: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "addmm": (
        lambda b, x, y: torch.addmm(b, x, y, beta=0.5, alpha=-2),
        lambda b, x, y: 0.5 * b + -2 * (x @ y),
        (D, A, B),
    ),
    "addmm_": (added_in_place, lambda b, x, y: 0.5 * b + 2 * (x @ y), (D, A, B)),
    "addmm-input-alone": (lambda b: torch.addmm(b, A, B), lambda b: b + A @ B, (D,)),
    "addmm-input-and-factor": (lambda b, x: torch.addmm(b, x, B), lambda b, x: b + x @ B, (D, A)),
    "addmm-input-unread": (lambda b, x: torch.addmm(b, x, B, beta=0) + b, lambda b, x: x @ B + b, (D, A)),
    "addmv": (lambda b, x, y: torch.addmv(b, x, y), lambda b, x, y: b + x @ y, (A[:, 0], A, V)),
    "addr": (lambda b, x, y: b.addr(x, y), lambda b, x, y: b + torch.outer(x, y), (A, A[:, 1], V)),
    "addbmm": (
        lambda b, x, y: torch.addbmm(b, x[None], y[None]),
        lambda b, x, y: b + x @ y,
        (D, A, B),
    ),
    "baddbmm": (
        lambda b, x, y: torch.baddbmm(b[None], x[None], y[None], alpha=3),
        lambda b, x, y: (b + 3 * (x @ y))[None],
        (D, A, B),
    ),
    "linear": (
        lambda b, x: F.linear(x, B.T, b),
        lambda b, x: x @ B + b,
        (D[0], A),
    ),
    "bilinear": (
        lambda b, x, y: F.bilinear(x, y, BILINEAR, b),
        lambda b, x, y: F.bilinear(x, y, BILINEAR) + b,
        (signed(6, seed=11), A, A.flip(0)),
    ),
    "conv_transpose1d": (
        lambda b, x, w: F.conv_transpose1d(x, w, b, stride=2),
        lambda b, x, w: F.conv_transpose1d(x, w, stride=2) + b[:, None],
        (signed(2, seed=12), signed(2, 3, 4, seed=7), signed(3, 2, 2, seed=8)),
    ),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ADDED)
def test_data_that_is_added_is_a_sum_behind_the_product(name: str, level: Any) -> None:
    given, clean, operands = ADDED[name]
    z = given(*operands)
    m = multiplier_for(z)
    ours, truth = drive(given, operands, m, ledger=level), drive(clean, operands, m)
    for found, expected in zip(ours.input, truth.input, strict=True):
        assert_same_map(found, expected)
    assert_books_balance(ours)
    assert_bit_equal(ours.output, z)


def test_addmm_with_a_constant_input_is_one_linear_call_with_its_bias() -> None:
    """transformers' Conv1D."""
    weight, bias = B, signed(5, seed=13)
    m = multiplier_for(D)
    entries = [(on.first & on.linear, rules.Epsilon(0.3))]
    ours = drive(lambda x: torch.addmm(bias, x, weight), A, m, entries, ledger="calls")
    layer = drive(lambda x: F.linear(x, weight.T, bias), A, m, entries)
    assert_same_map(ours.input, layer.input)
    assert kept(ours, "bias") == pytest.approx(kept(layer, "bias"), rel=1e-12)
    assert [row.family for row in ours.plan if row.operation == "addmm"] == ["linear"]


def test_grouped_mm_is_a_linear_call_of_each_expert() -> None:
    """transformers' mixtures of experts; torch has it in float32 alone on the CPU."""
    x, w = signed(5, 8, seed=14).float(), signed(2, 8, 16, seed=15).float()
    ends = torch.tensor([2, 5], dtype=torch.int32)
    functions = [torch._grouped_mm] + ([F.grouped_mm] if hasattr(F, "grouped_mm") else [])
    for function in functions:
        for rule in (rules.Zero(), rules.Epsilon(0.3), rules.ZPlus(0.3), rules.Flat()):
            m = multiplier_for(torch.empty(5, 16)).float()
            ours = drive(lambda x, f=function: f(x, w, offs=ends), x, m, [(on.linear, rule)])
            truth = drive(lambda x: torch.cat([x[:2] @ w[0], x[2:] @ w[1]]), x, m, [(on.linear, rule)])
            assert_same_map(ours.input, truth.input, 1e-6)
            assert abs(float(ours.ledger.residual)) <= 1e-6 * float(ours.ledger.scale)


def test_contractions_of_one_operand_are_sums() -> None:
    for equation in ("ij->ji", "ij->j", "ii->", "ii->i"):
        x = signed(3, 3, seed=16)
        z = torch.einsum(equation, x)
        m = multiplier_for(z)
        ours = drive(lambda x, e=equation: torch.einsum(e, x), x, m, lrp.presets.epsilon(0.1), ledger="calls")
        assert {row.family for row in ours.plan if row.operation == "einsum"} == {"reduce"}
        assert_books_balance(ours)
        zero = drive(lambda x, e=equation: torch.einsum(e, x), x, m)
        assert_same_map(zero.input, shares(lambda x, e=equation: torch.einsum(e, x), (x,), m)[0])
