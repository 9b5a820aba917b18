"""Batch norm folded into the linear call above it, and rules on sums and pooling, against slow twins."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lrp import on, rules
from tests.cases.linear_calls import LINEAR_CALLS
from tests.cases.networks import signed
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
from tests.rules.twins import Dense, Matrix, joined, matrix, share

# Rules that batch norm is folded for; the composite gives the batch norm itself a rule that must not matter.
FOLDED_RULES: list[rules.Rule] = [
    *(rules.Epsilon(0.0), rules.Epsilon(0.3), rules.ZPlus(0.0), rules.ZPlus(0.3), rules.Flat(), rules.Flat(1)),
    *(rules.Gamma(0.25), rules.Gamma(2.0, 0.3), rules.AlphaBeta(2, 1), rules.AlphaBeta(1.5, 0.5, 0.3)),
    *(rules.WSquare(0.1), rules.Box(-4.0, 4.0), rules.Box(-3.0, 5.0, 0.3)),
]
FOLDED_CALLS = [
    *("linear", "linear-no-bias", "x@w", "conv1d", "conv1d-same", "conv1d-depthwise"),
    *("conv2d-groups", "conv2d-no-bias", "conv3d", "conv3d-groups"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose2d-no-bias", "conv_transpose2d-groups"),
    *("conv_transpose2d-depthwise", "conv_transpose3d-groups", "convolution", "convolution-transposed"),
    *("addmm", "addmm-factors"),
]


def batch_norm(channels: int, *, affine: bool, seed: int = 5) -> Callable[[Tensor], Tensor]:
    """Batch norm in eval with random statistics, some of its scales negative."""
    mean, var, weight, bias = (signed(channels, seed=seed + i) for i in range(4))
    arguments = (weight, bias) if affine else (None, None)
    return lambda z: F.batch_norm(z, mean, var.abs() + 0.5, *arguments, eps=1e-3)


@cache
def folded(name: str, *, affine: bool) -> tuple[Callable[[Tensor], Tensor], Dense]:
    """A linear call with a batch norm behind it, and its dense twin on merged weights."""
    case = LINEAR_CALLS[name]
    norm, ones = batch_norm(case.apply(case.x, case.weight, None).shape[1], affine=affine), torch.ones_like(case.weight)

    def function(x: Tensor) -> Tensor:
        return norm(case.apply(x, case.weight, case.bias))

    return function, affine_twin(function, case.x, joined(lambda x: case.apply(x, ones, None), case.x))


def affine_twin(function: Callable[[Tensor], Tensor], like: Tensor, connected: Matrix | None = None) -> Dense:
    """The dense matrix and bias of an affine function; `connected` matters to Flat alone."""
    bias = function(torch.zeros_like(like))
    weight = matrix(lambda x: function(x) - bias, like)
    return Dense(weight, bias.flatten().tolist(), connected or weight)


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("rule", FOLDED_RULES, ids=str)
@pytest.mark.parametrize("name", FOLDED_CALLS)
def test_folded_batch_norm_is_the_rule_on_merged_weights(name: str, rule: rules.Rule, affine: bool) -> None:
    (function, twin), x = folded(name, affine=affine), LINEAR_CALLS[name].x
    z = function(x)
    m = multiplier_for(z)
    truth = twin_of(rule, twin, x, m)
    for level in ("sinks", "calls"):
        ours = drive(function, x, m, [(on.conv | on.linear, rule), (on.norm, rules.Pass())], ledger=level)
        assert_same_map(ours.input, truth.relevance)
        assert_kept_as_the_twin(ours, truth)
        assert_books_balance(ours)
        assert_bit_equal(ours.output, z)


@pytest.mark.parametrize("name", FOLDED_CALLS)
def test_zero_is_the_rule_on_merged_weights_without_folding(name: str) -> None:
    (function, twin), x = folded(name, affine=True), LINEAR_CALLS[name].x
    m = multiplier_for(function(x))
    ours = drive(function, x, m, ledger="calls")
    truth = share("Zero", twin, x, m)
    assert_same_map(ours.input, truth.relevance)
    assert_kept_as_the_twin(ours, truth)
    assert_books_balance(ours)


def test_a_hidden_batch_norm_is_folded_too() -> None:
    """Behind a ReLU, and the linear output has a second reader, which keeps the plain rule."""
    conv = LINEAR_CALLS["conv1d"]
    norm, rule = batch_norm(4, affine=True), rules.ZPlus(0.1)

    def function(x: Tensor) -> Tensor:
        z = conv.apply(x.relu(), conv.weight, conv.bias)
        return torch.cat([norm(z), z], 1)

    m = multiplier_for(function(conv.x))
    ours = drive(function, conv.x, m, [(on.conv, rule)])
    merged = affine_twin(lambda x: norm(conv.apply(x, conv.weight, conv.bias)), conv.x)
    plain = affine_twin(lambda x: conv.apply(x, conv.weight, conv.bias), conv.x)
    parts = [
        twin_of(rule, twin, conv.x.relu(), part) for twin, part in zip((merged, plain), m.chunk(2, 1), strict=True)
    ]
    assert_same_map(ours.input, parts[0].relevance + parts[1].relevance)
    assert_books_balance(ours)


def doubled_in_place(z: Tensor) -> Tensor:
    z.mul_(2)
    return batch_norm(4, affine=True)(z)


def part_doubled_in_place(z: Tensor) -> Tensor:
    z[:, :1].mul_(2)
    return batch_norm(4, affine=True)(z)


# What stands between a linear call and a batch norm, or a batch norm along another axis, keeps the two apart.
NOT_FOLDED: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "changed-in-place": ("conv1d", doubled_in_place),
    "changed-in-part": ("conv1d", part_doubled_in_place),
    "shifted": ("conv1d", lambda z: batch_norm(4, affine=True)(z + 1)),
    "moved": ("conv1d", lambda z: batch_norm(5, affine=True)(z.transpose(1, 2))),
    "linear-3d": ("linear-3d", batch_norm(3, affine=True)),
    "unbatched-conv1d": ("conv1d-unbatched", batch_norm(6, affine=True)),
    "unbatched-conv2d": ("conv2d-unbatched", batch_norm(4, affine=True)),
    "unbatched-conv-transpose": ("conv_transpose1d-unbatched", batch_norm(9, affine=True)),
    "addmm-right": ("addmm-right", batch_norm(4, affine=True)),
    "w@x": ("w@x", batch_norm(3, affine=True)),
}


@pytest.mark.parametrize("rule", [rules.Epsilon(0.3), rules.ZPlus(0.3), rules.Flat()], ids=str)
@pytest.mark.parametrize("name", NOT_FOLDED)
def test_batch_norm_elsewhere_is_not_folded(name: str, rule: rules.Rule) -> None:
    case, after = LINEAR_CALLS[NOT_FOLDED[name][0]], NOT_FOLDED[name][1]

    def linear(x: Tensor) -> Tensor:
        return case.apply(x, case.weight, case.bias)

    z = linear(case.x).requires_grad_()
    y = after(z.clone())
    m = multiplier_for(y.detach())
    (arriving,) = torch.autograd.grad(y, z, m)
    ones = joined(lambda x: case.apply(x, torch.ones_like(case.weight), None), case.x)
    truth = twin_of(rule, affine_twin(linear, case.x, ones), case.x, arriving)
    ours = drive(lambda x: after(linear(x)), case.x, m, [(on.conv | on.linear, rule)], ledger="calls")
    assert_same_map(ours.input, truth.relevance)
    assert kept(ours, "stabiliser") == pytest.approx(truth.kept["stabiliser"], abs=1e-12 * float(ours.ledger.scale))
    assert_books_balance(ours)


def first(x: Tensor) -> Tensor:
    return x[:, :2]


def second(x: Tensor) -> Tensor:
    return x[:, 2:]


def in_place_sum(x: Tensor) -> Tensor:
    y = first(x).clone()
    y += second(x)
    return y


# One op call each that adds up data without weights, or batch norm on its own: a function, and its input's shape.
SUMMING: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "a+b": (lambda x: first(x) + second(x), (2, 4, 3)),
    "a-b": (lambda x: first(x) - second(x), (2, 4, 3)),
    "a+=b": (in_place_sum, (2, 4, 3)),
    "a+a": (lambda x: x + x, (2, 3)),
    "add-alpha": (lambda x: torch.add(first(x), second(x), alpha=3), (2, 4, 3)),
    "sub-alpha": (lambda x: torch.sub(first(x), second(x), alpha=0.5), (2, 4, 3)),
    "rsub": (lambda x: torch.rsub(first(x), second(x), alpha=2), (2, 4, 3)),
    "broadcast": (lambda x: x[:, :1] + x[:, 1:], (2, 4, 3)),
    "stack-sum": (lambda x: torch.stack([first(x), second(x)]).sum(0), (2, 4, 3)),
    "sum-axes": (lambda x: x.sum((1, 3), keepdim=True), (2, 3, 2, 2)),
    "mean": (lambda x: torch.mean(x, dim=1), (2, 4, 3)),
    "mean-axes": (lambda x: x.mean([2, 3]), (2, 3, 2, 3)),
    "cumsum": (lambda x: x.cumsum(1), (2, 5)),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 3, 2, padding=1), (2, 2, 6)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2, padding=1), (2, 2, 4, 4)),
    "avg_pool2d-uncounted": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), (2, 2, 4, 5)),
    "avg_pool2d-ceil": (lambda x: F.avg_pool2d(x, 2, ceil_mode=True), (2, 2, 3, 5)),
    "avg_pool2d-divisor": (lambda x: F.avg_pool2d(x, 2, divisor_override=3), (2, 2, 4, 4)),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, (1, 2, 2)), (2, 2, 2, 2, 4)),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 2), (2, 2, 5)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (2, 1)), (2, 2, 3, 3)),
    "adaptive_avg_pool3d": (lambda x: F.adaptive_avg_pool3d(x, 1), (2, 2, 2, 2, 3)),
    "batch_norm": (batch_norm(3, affine=True), (2, 3, 4)),
    "batch_norm-plain": (batch_norm(3, affine=False), (4, 3)),
}


@pytest.mark.parametrize("rule", [rules.Zero(), rules.Epsilon(0.0), rules.Epsilon(0.3)], ids=str)
@pytest.mark.parametrize("name", SUMMING)
def test_sums_pooling_and_batch_norm_on_its_own(name: str, rule: rules.Rule) -> None:
    """With Epsilon this is zennit's `Norm`."""
    function, shape = SUMMING[name]
    x = signed(*shape, seed=len(name))
    z = function(x)
    m = multiplier_for(z)
    truth = twin_of(rule, affine_twin(function, x), x, m)
    for level in ("sinks", "calls"):
        entries = [("(target)", rules.Zero()), (on.sum | on.pool | on.norm, rule)]
        ours = drive(function, x, m, entries, ledger=level)
        assert_same_map(ours.input, truth.relevance)
        assert_kept_as_the_twin(ours, truth)
        assert_books_balance(ours)
        assert_bit_equal(ours.output, z)
