"""Homogeneous functions, powers, distances and normalisers: books balance, and closed forms are met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lrp
from lrp import on, rules
from tests.cases.networks import signed
from tests.engine.checks import assert_balanced, assert_blameless, assert_same, normal
from tests.ops.driving import assert_bit_equal, drive, kept, multiplier_for

Function = Callable[..., Tensor]

DEGREES: dict[str, tuple[Function, int]] = {
    "square": (torch.square, 2),
    "pow": (lambda x: torch.pow(x, 3), 3),
    "pow, keyword": (lambda x: torch.pow(x, exponent=2), 2),
    "**": (lambda x: x**2.0, 2),
    "**= ": (lambda x: (x * 1.0).pow_(3), 3),
    "float_power": (lambda x: torch.float_power(x, 2), 2),
    "var": (lambda x: x.var(1), 2),
    "var, all": (lambda x: torch.var(x, correction=0), 2),
    "std": (lambda x: x.std(1, unbiased=False), 1),
    "std, all": (lambda x: torch.std(x), 1),
    "var_mean": (lambda x: torch.var_mean(x, 1)[0], 2),
    "var_mean, keywords": (lambda x: torch.var_mean(x, dim=(0, 2), correction=0, keepdim=True)[0], 2),
    "var_mean, unbiased": (lambda x: torch.var_mean(x, 1, False, True)[0], 2),
    "mean of var_mean": (lambda x: torch.var_mean(x, 1)[1], 1),
    "mean of var_mean, all": (lambda x: torch.var_mean(x, False)[1], 1),
    "std_mean": (lambda x: sum(torch.std_mean(x, dim=1)), 1),
    "prod": (lambda x: x.prod(1), 3),
    "prod, all": (lambda x: torch.prod(x[0, 1]), 4),
    "norm": (lambda x: x.norm(dim=1), 1),
    "norm, p=3": (lambda x: torch.norm(x, p=3, dim=2), 1),
    "norm, all": (torch.norm, 1),
    "linalg.norm": (lambda x: torch.linalg.norm(x, ord=2, dim=(1, 2)), 1),
    "vector_norm": (lambda x: torch.linalg.vector_norm(x, 1.5, dim=1), 1),
    "vector_norm, inf": (lambda x: torch.linalg.vector_norm(x, float("inf"), dim=1), 1),
    "matrix_norm": (lambda x: torch.linalg.matrix_norm(x), 1),
    "nuclear": (lambda x: torch.linalg.matrix_norm(x, "nuc"), 1),
    "svdvals": (torch.linalg.svdvals, 1),
    "abs": (torch.abs, 1),
    "sqrt": (lambda x: torch.sqrt(x.abs()), 0),
}

LAPACK = {"linalg.norm", "nuclear", "svdvals"}
"""Where a gradient is wanted torch computes singular vectors too, by another routine."""


@pytest.mark.parametrize("level", ["sinks", "calls"])
@pytest.mark.parametrize("name", DEGREES)
def test_euler(name: str, level: str) -> None:
    """The relevance of a homogeneous function is gradient times input over the degree, and sums to the output."""
    function, degree = DEGREES[name]
    x = signed(2, 3, 4, seed=len(name)) + 0.05
    z = function(x).detach()
    m = multiplier_for(z)
    ours = drive(function, x, m, ledger=level)
    if degree:
        point = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((function(point) * m).sum(), point)
        assert_same(ours.input, gradient * x / degree)
    assert float(ours.input.sum()) == pytest.approx(float((z * m).sum()), abs=1e-12)
    assert kept(ours) == 0
    assert_balanced(ours)
    assert level == "sinks" or assert_blameless(ours) is None
    if name in LAPACK:
        assert_same(ours.output, z)
    else:
        assert_bit_equal(ours.output, z)


def test_one_map_for_every_way_to_multiply() -> None:
    """2 * 3 * 4 = 24 gives 8 to each."""
    factors = tuple(torch.tensor([[v]], dtype=torch.float64) for v in (2.0, 3.0, 4.0))
    ways: list[Function] = [
        lambda a, b, c: (a * b) * c,
        lambda a, b, c: a * (b * c),
        lambda a, b, c: torch.einsum("ij,ij,ij->ij", a, b, c),
        lambda a, b, c: torch.stack([a, b, c]).prod(0),
        lambda a, b, c: torch.cat([a, b, c], 1).cumprod(1)[:, 2:],
        lambda a, b, c: torch.addcmul(torch.zeros(1, 1, dtype=a.dtype), a * b, c),
        lambda a, b, c: (a * b) @ c,
        lambda a, b, c: torch.lerp(0 * a, a * b, c),
    ]
    for way in ways:
        r = lrp.explain(way, factors, composite=lrp.presets.zero())
        assert [float(each) for each in r.input] == pytest.approx([8, 8, 8])
        assert_balanced(r)


POWERS: list[Function] = [
    lambda x, y: x * x * x * y,
    lambda x, y: x.pow(3) * y,
    lambda x, y: y * x**3,
    lambda x, y: x.square() * (y * x),
    lambda x, y: torch.stack([x, x, x, y]).prod(0),
    lambda x, y: torch.float_power(x, 3) * y,
    lambda x, y: (x * 1.0).pow_(2).mul_(x) * y,
    lambda x, y: 2 * (x * x) / 2 * x.reshape(-1).view(3, 4) * y,
]


@pytest.mark.parametrize("number", range(len(POWERS)))
def test_powers_count_their_factors(number: int) -> None:
    x, y = signed(3, 4, seed=1), signed(3, 4, seed=2)
    z = x**3 * y
    m = multiplier_for(z)
    ours = drive(POWERS[number], (x, y), m, ledger="calls")
    assert_same(ours.input[0], z * m * 3 / 4)
    assert_same(ours.input[1], z * m / 4)
    assert_balanced(ours)


def test_a_variance_by_hand_counts_as_the_fused_one() -> None:
    x, y = normal(3, 4, seed=1), normal(3, 1, seed=2)
    by_hand = drive(lambda x, y: (x - x.mean(1, True)).square().mean(1, True) * y, (x, y), torch.ones(3, 1))
    fused = drive(lambda x, y: x.var(1, unbiased=False, keepdim=True) * y, (x, y), torch.ones(3, 1))
    for ours, truth in zip(fused.input, by_hand.input, strict=True):
        assert_same(ours, truth)


def test_products_with_zeros() -> None:
    x = torch.tensor([[2.0, 0.0, 3.0], [0.0, 0.0, 1.0], [2.0, 1.0, 3.0]], dtype=torch.float64)
    ours = drive(lambda x: x.prod(1), x, torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64), ledger="calls")
    assert_same(ours.input, torch.tensor([[0.0] * 3, [0.0] * 3, [2.0] * 3], dtype=torch.float64))
    ours = drive(lambda x: x.cumprod(1), x, torch.ones_like(x), ledger="calls")
    # 2 + 2 + 6 = 2 / 1 + 2 / 2 + 6 / 3 and 2 / 2 + 6 / 3 and 6 / 3
    truth = torch.tensor([[2.0, 0.0, 0.0], [0.0] * 3, [5.0, 3.0, 2.0]], dtype=torch.float64)
    assert_same(ours.input, truth)
    assert_blameless(ours)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_cumulative_products_along_every_axis(axis: int) -> None:
    x = signed(2, 3, 4, seed=4) + 0.05
    z = x.cumprod(axis)
    m = multiplier_for(z)
    ours = drive(lambda x: torch.cumprod(x, axis), x, m, ledger="calls")
    each = (z * m).movedim(axis, 0)
    parts = torch.zeros_like(each)
    for last in range(len(each)):
        for position in range(last + 1):
            parts[position] += each[last] / (last + 1)
    assert_same(ours.input, parts.movedim(0, axis))
    assert_blameless(ours)


def test_a_spread_of_zero_hands_on_nothing() -> None:
    x = torch.ones(2, 3, dtype=torch.float64)
    x[1, 0] = 2
    ours = drive(lambda x: x.std(1), x, torch.ones(2, dtype=torch.float64))
    assert not ours.input[0].any()
    assert_balanced(ours)


NORMS: dict[str, tuple[Function, Function]] = {
    "normalize": (lambda x: F.normalize(x), lambda x: x / x.norm(dim=1, keepdim=True)),
    "normalize, p=1": (lambda x: F.normalize(x, p=1, dim=-1), lambda x: x / x.abs().sum(-1, keepdim=True)),
    "RMS by hand": (
        lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
        lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
    ),
    "reciprocal": (lambda x: 3 * x * (1 / x.abs().sum(1, True)), lambda x: 3 * x / x.abs().sum(1, True)),
    "scaled reciprocal": (
        lambda x: x * (2 * x.exp().sum(1, True).reciprocal()).expand(2, 3, 4),
        lambda x: x * 2 / x.exp().sum(1, True),
    ),
    "within 0 and 1": (lambda x: x * (1 / (1 + x[:, :1].relu())), lambda x: x / (1 + x[:, :1].relu())),
    "power": (lambda x: x * (x.square().sum(1, True) + 1) ** -0.5, lambda x: x / (x.square().sum(1, True) + 1).sqrt()),
    "local response": (
        lambda x: F.local_response_norm(x, 2, alpha=0.3, beta=0.6, k=1.5),
        lambda x: F.local_response_norm(x, 2, alpha=0.3, beta=0.6, k=1.5),
    ),
}


@pytest.mark.parametrize("level", ["sinks", "calls"])
@pytest.mark.parametrize("name", NORMS)
def test_a_denominator_of_data_counts_as_a_constant(name: str, level: str) -> None:
    function, truth = NORMS[name]
    x = signed(2, 3, 4, seed=3)
    z = truth(x)
    m = multiplier_for(z)
    ours = drive(function, x, m, ledger=level)
    assert_same(ours.input, z * m)
    assert_balanced(ours)
    assert level == "sinks" or assert_blameless(ours) is None
    assert_bit_equal(ours.output, function(x))


@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 5, 3, 4), (2, 5, 2, 3, 4)])
def test_local_response_norm_in_every_number_of_dimensions(shape: tuple[int, ...]) -> None:
    from lrp.ops.decompositions import local_response_norm

    x = signed(*shape, seed=5)
    for size in (1, 2, 3, 5):
        assert_same(local_response_norm(x, size, 0.2, 0.5, 2.0), F.local_response_norm(x, size, 0.2, 0.5, 2.0))


def test_distances() -> None:
    a, b = normal(2, 3, 4, seed=6), normal(2, 5, 4, seed=7)
    both: list[tuple[Function, Tensor, Tensor]] = [
        (torch.cdist, a, b),
        (lambda a, b: torch.cdist(a, b, p=1.0), a, b),
        (lambda a, b: torch.dist(a, b[:, :3]), a, b),
        (torch.hypot, a, b[:, :3]),
        (lambda a, b: F.pairwise_distance(a, b[:, :3], eps=0.0), a, b),
    ]
    for function, x, y in both:
        z = function(x, y)
        m = multiplier_for(z)
        ours = drive(function, (x, y), m, ledger="calls")
        total = sum(float(each.sum()) for each in ours.input)
        assert total == pytest.approx(float((z * m).sum()), abs=1e-12)
        assert_balanced(ours)
        assert_bit_equal(ours.output, z)
        one = drive(lambda x, function=function, y=y: function(x, y), x, m, ledger="calls")
        assert_balanced(one)
        assert_blameless(one)
        assert_bit_equal(one.output, z)


def test_a_distance_to_a_prototype_by_hand() -> None:
    """|x - c| for x = (3, 1), c = (0, 5): 5 = (3 (3 - 0) + 1 (1 - 5)) / 5 + (-5 (1 - 5)) / 5."""
    x, c = torch.tensor([[3.0, 1.0]], dtype=torch.float64), torch.tensor([[0.0, 5.0]], dtype=torch.float64)
    for distance in (torch.cdist, lambda x, c: (x - c).norm(dim=1, keepdim=True)):
        ours = drive(lambda x, distance=distance: distance(x, c), x, torch.ones(1, 1, dtype=torch.float64))
        assert_same(ours.input, torch.tensor([[9 / 5, -4 / 5]], dtype=torch.float64))
        assert kept(ours, "constant") == pytest.approx(4)


def test_cosine_similarity_halves() -> None:
    a, b = normal(3, 4, seed=8), normal(3, 4, seed=9)
    z = F.cosine_similarity(a, b)
    ours = drive(F.cosine_similarity, (a, b), torch.ones_like(z), ledger="calls")
    parts = a * b / (a.norm(dim=1, keepdim=True) * b.norm(dim=1, keepdim=True)) / 2
    assert_same(ours.input[0], parts)
    assert_same(ours.input[1], parts)
    one = drive(lambda x: F.cosine_similarity(x, b), a, torch.ones_like(z), ledger="calls")
    assert_same(one.input, 2 * parts)
    assert_blameless(one)


def test_fused_arithmetic() -> None:
    a, b, c = (normal(3, 4, seed=10 + i) for i in range(3))
    m = multiplier_for(a)
    ours = drive(lambda a, b, c: torch.addcmul(a, b, c, value=0.5), (a, b, c), m, ledger="calls")
    for relevance, truth in zip(ours.input, (a * m, b * c * m / 4, b * c * m / 4), strict=True):
        assert_same(relevance, truth)
    ours = drive(lambda a, b, c: torch.addcdiv(a, b, c, value=2), (a, b, c), m, ledger="calls")
    assert_same(ours.input[1], 2 * b / c * m)
    assert ours.input[2] is None or not ours.input[2].any()
    ours = drive(lambda a, b: torch.lerp(a, b, 0.25), (a, b), m, ledger="calls")
    assert_same(ours.input[0], 0.75 * a * m)
    assert_same(ours.input[1], 0.25 * b * m)
    assert_balanced(ours)


@pytest.mark.parametrize("level", ["sinks", "calls"])
def test_logsumexp_keeps_the_entropy(level: Any) -> None:
    x = signed(2, 3, 4, seed=13)
    x[0, 1, 2] = -torch.inf
    for dim, keepdim in ((1, False), (2, True), ((1, 2), False)):
        z = torch.logsumexp(x, dim, keepdim)
        m = multiplier_for(z)
        ours = drive(lambda x, dim=dim, k=keepdim: torch.logsumexp(torch.relu(x) + x, dim, k), x.clamp(min=-9), m)
        assert_balanced(ours)
        finite = x.clamp(min=-9)
        z = torch.logsumexp(finite, dim, keepdim)
        ours = drive(lambda x, dim=dim, k=keepdim: torch.logsumexp(x, dim, k), finite, m, ledger=level)
        full, whole = (
            torch.logsumexp(finite, dim, True),
            m if keepdim else m.reshape(torch.logsumexp(x, dim, True).shape),
        )
        p = (finite - full).exp()
        assert_same(ours.input, p * finite * whole)
        entropy = -(p * p.log()).sum(dim, keepdim)
        assert kept(ours, "softmax") == pytest.approx(float((entropy * m).sum()), abs=1e-12)
        assert_balanced(ours)


def test_logaddexp() -> None:
    a, b = signed(3, 4, seed=14), signed(3, 4, seed=15)
    for function, base in ((torch.logaddexp, 1.0), (torch.logaddexp2, 0.6931471805599453)):
        z = function(a, b)
        m = multiplier_for(z)
        ours = drive(function, (a, b), m, ledger="calls")
        assert_same(ours.input[0], torch.sigmoid((a - b) * base) * a * m)
        assert_balanced(ours)
        one = drive(lambda x, function=function: function(x, b), a, m, ledger="calls")
        assert_same(one.input, (z - function(torch.zeros_like(a), b)) * m)
        assert_balanced(one)


# --- gates and softmax --------------------------------------------------------------------------------------------


GATES: dict[str, Function] = {
    "sigmoid": lambda a, b: a * torch.sigmoid(b),
    "hardsigmoid": lambda a, b: F.hardsigmoid(b) * a,
    "1 - gate": lambda a, b: a * (1 - torch.sigmoid(b)),
    "scaled, moved": lambda a, b: a * (2 * torch.sigmoid(b))[:, None].expand(3, 1, 4).squeeze(1),
    "sliced": lambda a, b: a[:, :2] * torch.sigmoid(b)[:, 1:3],
    "softmax": lambda a, b: a * torch.softmax(b, 1),
    "exp": lambda a, b: a * torch.exp(b),
    "exp of a difference": lambda a, b: torch.exp(b - b.amax(1, keepdim=True)) * a,
    "exp, shifted": lambda a, b: a * torch.exp(b - 1),
    "exp2": lambda a, b: a * torch.exp2(b),
    "power of a constant": lambda a, b: 3**b * a,
    "what a decay leaves": lambda a, b: a * (1 - torch.exp(-4 * torch.sigmoid(b))).sqrt(),
    "in place": lambda a, b: torch.sigmoid(b).mul_(a),
    "signal in place": lambda a, b: (a * 1.0).mul_(torch.sigmoid(b)),
    "weights @ values": lambda a, b: torch.softmax(b, 1) @ a.T,
    "glu": lambda a, b: F.glu(torch.cat([a, b], 1)),
}


@pytest.mark.parametrize("level", ["sinks", "calls"])
@pytest.mark.parametrize("name", GATES)
def test_the_signal_takes_all(name: str, level: Any) -> None:
    a, b = normal(3, 4, seed=16), normal(3, 4, seed=17)
    z = GATES[name](a, b)
    m = multiplier_for(z)
    ours = drive(GATES[name], (a, b), m, [(on.product, rules.SignalTakesAll())], ledger=level)
    assert float(ours.input[0].sum()) == pytest.approx(float((z * m).sum()), abs=1e-12)
    assert ours.input[1] is None or not ours.input[1].any()
    assert_balanced(ours)
    assert level == "sinks" or assert_blameless(ours) is None
    assert_bit_equal(ours.output, z)


def test_without_a_gate_it_is_uniform_and_says_so() -> None:
    a, b = normal(3, 4, seed=18), normal(3, 4, seed=19)
    entries = [(on.product, rules.SignalTakesAll())]
    for function, note in (
        (lambda a, b: torch.tanh(a) * b, "no factor is a gate"),
        (lambda a, b: torch.expm1(a) * b, "no factor is a gate"),
        (lambda a, b: (torch.exp(a) - 1) * b, "no factor is a gate"),
        (lambda a, b: (torch.exp(a) + 1) * b, "no factor is a gate"),
        (lambda a, b: (torch.sin(a) + 0.5) * b, "no factor is a gate"),
        (lambda a, b: torch.sigmoid(a) * torch.sigmoid(b), "every factor is a gate"),
    ):
        m = multiplier_for(a)
        ours = drive(function, (a, b), m, entries)
        truth = drive(function, (a, b), m)
        assert_same(ours.input[0], truth.input[0])
        assert note in str(ours.plan)


def test_the_signal_by_number() -> None:
    a, b = normal(3, 4, seed=18), normal(3, 4, seed=19)
    m = multiplier_for(a)
    for signal in (0, 1):
        ours = drive(lambda a, b: a * b, (a, b), m, [(on.product, rules.SignalTakesAll(signal=signal))])
        assert_same(ours.input[signal], a * b * m)
        assert ours.input[1 - signal] is None or not ours.input[1 - signal].any()
    with pytest.raises(lrp.errors.CompositeError, match="no such operand"):
        drive(lambda a, b: a * b, (a, b), m, [(on.product, rules.SignalTakesAll(signal=2))])


def test_softmax_weights_as_constants() -> None:
    """CP-LRP: with SignalTakesAll nothing reaches the weights; with Uniform their half stays as `gate`."""
    s, v = normal(2, 3, 4, seed=20), normal(2, 4, 5, seed=21)
    constant = (on.softmax, rules.Constant())

    def attend(s: Tensor, v: Tensor) -> Tensor:
        return torch.softmax(s, -1) @ v

    z = attend(s, v)
    m = multiplier_for(z)
    whole = (torch.softmax(s, -1).mT @ m) * v
    ours = drive(attend, (s, v), m, [constant, (on.product, rules.SignalTakesAll())], ledger="calls")
    assert_same(ours.input[1], whole)
    assert kept(ours, "gate") == 0
    assert_balanced(ours)
    ours = drive(attend, (s, v), m, [constant], ledger="calls")
    assert_same(ours.input[1], whole / 2)
    assert not ours.input[0].any()
    assert kept(ours, "gate") == pytest.approx(float((z * m).sum()) / 2, abs=1e-12)
    assert_balanced(ours)
    assert_blameless(ours)


def test_log_softmax_is_no_weight() -> None:
    x = normal(2, 3, seed=22)
    with pytest.raises(lrp.errors.UncoveredError, match="log_softmax is no weight"):
        drive(lambda x: F.log_softmax(x, 1), x, torch.ones_like(x), [(on.softmax, rules.Constant())])
