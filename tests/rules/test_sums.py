"""ResidualGamma: sums of two tensors, shared so that near-cancelling summands do not blow relevance up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import lrp
from lrp import on, rules
from tests.cases.networks import signed
from tests.ops.driving import assert_bit_equal, assert_books_balance, assert_same_map, drive, multiplier_for, twin_of
from tests.rules.test_slow_twins_folded import affine_twin


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[:, :2], x[:, 2:]


def in_place(x: Tensor) -> Tensor:
    a, b = halves(x)
    y = a.clone()
    y += b
    return y


def in_place_times(x: Tensor) -> Tensor:
    a, b = halves(x)
    return a.clone().sub_(b, alpha=0.5)


def into_a_view(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, :2] += x[:, 2:].clone()
    return y


def in_place_to_itself(x: Tensor) -> Tensor:
    y = x.clone()
    y += y
    return y


SUMS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "a+b": (lambda x: halves(x)[0] + halves(x)[1], (2, 4, 3)),
    "a-b": (lambda x: halves(x)[0] - halves(x)[1], (2, 4, 3)),
    "radd": (lambda x: halves(x)[0].__radd__(halves(x)[1]), (2, 4, 3)),
    "operator rsub": (lambda x: halves(x)[0].__rsub__(halves(x)[1]), (2, 4, 3)),
    "a+a": (lambda x: x + x, (2, 3)),
    "add-alpha": (lambda x: torch.add(*halves(x), alpha=3), (2, 4, 3)),
    "add-keywords": (lambda x: torch.add(other=halves(x)[0], input=halves(x)[1], alpha=-2), (2, 4, 3)),
    "subtract": (lambda x: torch.subtract(*halves(x), alpha=0.5), (2, 4, 3)),
    "rsub": (lambda x: torch.rsub(*halves(x), alpha=2), (2, 4, 3)),
    "broadcast": (lambda x: x[:, :1] + x[:, 1:], (2, 4, 3)),
    "broadcast both": (lambda x: x[:1, :, None] - x[1:, None, :], (2, 4)),
    "+=": (in_place, (2, 4, 3)),
    "sub_": (in_place_times, (2, 4, 3)),
    "into a view": (into_a_view, (2, 4, 3)),
    "y+=y": (in_place_to_itself, (2, 4)),
}


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("name", SUMS)
def test_sums(name: str, gamma: float) -> None:
    function, shape = SUMS[name]
    x = signed(*shape, seed=len(name))
    z = function(x)
    m = multiplier_for(z)
    for level in ("sinks", "calls"):
        ours = drive(function, x, m, [("(target)", rules.Zero()), (on.sum, rules.ResidualGamma(gamma))], ledger=level)
        if name != "into a view":  # elements that are not summed there have no unit of their own in the twin
            truth = twin_of(rules.ResidualGamma(gamma), affine_twin(function, x), x, m)
            assert_same_map(ours.input, truth.relevance)
        assert_books_balance(ours)
        assert_bit_equal(ours.output, z)
        assert {row.kind for row in ours.ledger.rows} == set()


@pytest.mark.parametrize("name", SUMS)
def test_with_gamma_0_it_is_the_native_sum_bit_for_bit(name: str) -> None:
    function, shape = SUMS[name]
    x = signed(*shape, seed=len(name))
    m = multiplier_for(function(x))
    native = drive(function, x, m)
    assert_bit_equal(drive(function, x, m, [(on.sum, rules.ResidualGamma(0))]).input, native.input)


def pairs() -> tuple[Tensor, Tensor]:
    """A million pairs: random ones, near-cancelling ones down to the last bit, of all sizes, and with zeros."""
    g = torch.Generator().manual_seed(3)
    a = torch.randn(1_000_000, generator=g, dtype=torch.float64) * 10.0 ** torch.randint(
        -12, 12, (1_000_000,), generator=g
    )
    b = torch.randn(1_000_000, generator=g, dtype=torch.float64)
    nearly = -a * (1 + 2.0 ** -torch.randint(1, 54, (1_000_000,), generator=g).double() * torch.sign(b))
    kind = torch.arange(1_000_000) % 5
    b = torch.where(kind < 3, nearly, torch.where(kind == 3, b * a.abs(), -a))
    a[::50], b[25::50] = 0, 0
    a[:4], b[:4] = torch.tensor([0.0, 1.0, -1.0, 0.0]), torch.tensor([0.0, -1.0, 1.0, 2.0])
    return a, b


@pytest.mark.parametrize("gamma", [0.01, 1.0, 10.0])
def test_a_million_pairs_that_nearly_cancel(gamma: float) -> None:
    a, b = pairs()
    z, m = a + b, torch.randn(a.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert (z == 0).sum() > 100_000
    r = drive(torch.add, (a, b), m, [(on.sum, rules.ResidualGamma(gamma))], ledger="calls")
    assert_books_balance(r)
    to_a, to_b = r.input
    arrived = z * m
    assert to_a.isfinite().all()
    assert to_b.isfinite().all()
    # pair by pair: nothing is made or lost, and no share is larger than 1 + 1/gamma
    lost = (arrived - to_a - to_b).abs()
    assert (lost <= 1e-12 * torch.maximum(arrived.abs(), to_a.abs() + to_b.abs())).all()
    for each in (to_a, to_b):
        assert (each[z != 0].abs() <= (1 + 1 / gamma) * (1 + 1e-15) * arrived[z != 0].abs()).all()
    # (0, 0) and (1, -1): LRP-0
    assert to_a[:2].tolist() == [0, m[1]]
    assert to_b[:2].tolist() == [0, -m[1]]


def test_where_the_last_bit_is_all_that_is_left() -> None:
    # 1 and -(1 - 2^-53): z = 2^-53, and LRP-0 would hand on 2^53 times what arrived
    a, b = torch.tensor([1.0], dtype=torch.float64), torch.tensor([2.0**-53 - 1], dtype=torch.float64)
    r = drive(torch.add, (a, b), torch.tensor([2.0**53], dtype=torch.float64), [(on.sum, rules.ResidualGamma(1))])
    assert r.explained.tolist() == [1]
    assert [float(each) for each in r.input] == [2.0, pytest.approx(-1, rel=1e-15)]


@pytest.mark.parametrize("form", ["multipliers", "relevance"])
def test_residual_blocks_balance(form: str) -> None:
    """In a network with three additions; also where a hidden Flat makes the run carry relevance."""
    w = [signed(4, 4, seed=i) for i in range(4)]

    def model(x: Tensor) -> Tensor:
        h = (x @ w[0]).relu()
        h = h + (h @ w[1]).relu()
        h -= 0.5 * (h @ w[2])
        return h + (h @ w[3])[:, :1]

    entries: list[Any] = [(on.sum, rules.ResidualGamma(1)), (on.linear, rules.Epsilon(0.1))]
    if form == "relevance":
        entries = [(on.last, rules.Flat()), *entries]
    composite = lrp.Composite(entries)
    r = lrp.explain(model, signed(3, 4, seed=9), target=1, composite=composite, ledger="calls")
    assert {row.rule for row in r.plan if row.family == "sum"} == {"ResidualGamma(gamma=1)"}
    assert_books_balance(r)


def test_mixed_types_and_batched_backward() -> None:
    a = torch.randn(3, 2, generator=torch.Generator().manual_seed(1))
    b = torch.randn(2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with lrp.record(lrp.Composite([(on.sum, rules.ResidualGamma(1))])) as tape:
        x, y = tape.source(a), tape.source(b)
        z = x + y
    seeds = torch.eye(6, dtype=torch.float64).view(6, 3, 2)
    together = torch.autograd.grad(z, (x, y), seeds, is_grads_batched=True, retain_graph=True)
    singly = [torch.autograd.grad(z, (x, y), seed, retain_graph=True) for seed in seeds]
    for both, each in zip(together, zip(*singly, strict=True), strict=True):
        torch.testing.assert_close(both, torch.stack(each), rtol=0, atol=0)


def test_complex_sums_are_native_and_the_plan_says_so() -> None:
    def function(x: Tensor) -> Tensor:
        z = torch.view_as_complex(x)
        return torch.view_as_real(z - 0.5 * z)

    x = torch.tensor([[[1.0, 2.0], [-3.0, 4.0]]], dtype=torch.float64)
    r = drive(function, x, torch.ones_like(x), [(on.sum, rules.ResidualGamma(1))])
    assert_same_map(r.input, x / 2)
    (row,) = [row for row in r.plan if row.family == "sum"]
    assert (row.rule, row.note) == ("Zero()", "complex data")
