"""Pointwise islands: every activation written by hand gives the map of its fused twin, and its books balance."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import on, rules
from tests.cases.networks import signed
from tests.engine.checks import assert_balanced, assert_blameless, assert_same, normal
from tests.ops.driving import assert_bit_equal, drive, kept, multiplier_for

Function = Callable[[Tensor], Tensor]

POINTS = torch.tensor([0.0, 1e-12, -1e-7, 1e-4, -3e-3, 0.02, -0.5, 3.0, -3.0, 9.0], dtype=torch.float64)
BETA = nn.Parameter(torch.tensor(1.702, dtype=torch.float64))
STEEP = torch.linspace(0.5, 2, 10, dtype=torch.float64)
THREE = torch.tensor(3.0, dtype=torch.float64)


def in_place(x: Tensor) -> Tensor:
    y = torch.sigmoid(x)
    return y.mul_(x)


def in_place_on_the_root(x: Tensor) -> Tensor:
    x = x * 1.0
    gate = torch.sigmoid(x)
    return x.mul_(gate)


def overwritten(x: Tensor) -> Tensor:
    x = x * 1.0
    z = torch.exp(-x).add_(1).reciprocal_()
    x.add_(1).mul_(3)
    return z


def hardswish_in_place(x: Tensor) -> Tensor:
    y = x * 1.0
    return y.add_(3).clamp_(0, 6).mul_(x).div_(6)


def new_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


def logistic(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


SPELLINGS: dict[str, tuple[Function, Function]] = {
    "x * sigmoid(x)": (lambda x: x * torch.sigmoid(x), F.silu),
    "sigmoid(x) * x": (lambda x: torch.sigmoid(x) * x, F.silu),
    "x / (1 + exp(-x))": (lambda x: x / (1 + torch.exp(-x)), F.silu),
    "x * (1 / (1 + exp(-x)))": (lambda x: x * logistic(x), F.silu),
    "x * (1 + exp(-x)) ** -1": (lambda x: x * (1 + torch.exp(-x)) ** -1, F.silu),
    "y = sigmoid(x); y *= x": (in_place, F.silu),
    "x *= sigmoid(x)": (in_place_on_the_root, F.silu),
    "cast": (lambda x: x * torch.sigmoid(x.float().double()).to(x.dtype), F.silu),
    "clone": (lambda x: x.clone() * torch.sigmoid(x), F.silu),
    "quick GELU": (lambda x: x * torch.sigmoid(BETA * x), lambda x: F.silu(BETA * x) / BETA),
    "sigmoid": (logistic, torch.sigmoid),
    "sigmoid, numbers as tensors": (lambda x: torch.tensor(1.0, dtype=x.dtype) / (1 + torch.exp(-x)), torch.sigmoid),
    "sigmoid, reciprocal": (lambda x: (1 + torch.exp(-x)).reciprocal(), torch.sigmoid),
    "sigmoid, power": (lambda x: (1 + torch.exp(-x)) ** -1, torch.sigmoid),
    "sigmoid, e^x over": (lambda x: torch.exp(x) / (1 + torch.exp(x)), torch.sigmoid),
    "sigmoid by tanh": (lambda x: 0.5 * (1 + torch.tanh(x / 2)), torch.sigmoid),
    "sigmoid in place": (overwritten, torch.sigmoid),
    "tanh": (lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()), torch.tanh),
    "tanh by sigmoid": (lambda x: 2 * torch.sigmoid(2 * x) - 1, torch.tanh),
    "tanh by 1 - 2 / (e^2x + 1)": (lambda x: 1 - 2 / (torch.exp(2 * x) + 1), torch.tanh),
    "softplus by log": (lambda x: torch.log(1 + torch.exp(x)), F.softplus),
    "softplus by log1p": (lambda x: torch.log1p(torch.exp(x)), F.softplus),
    "softplus by logaddexp": (lambda x: torch.logaddexp(x, torch.zeros((), dtype=x.dtype)), F.softplus),
    "softplus by -logsigmoid(-x)": (lambda x: -F.logsigmoid(-x), F.softplus),
    "logsigmoid": (lambda x: torch.log(torch.sigmoid(x)), F.logsigmoid),
    "new GELU": (new_gelu, lambda x: F.gelu(x, approximate="tanh")),
    "GELU by x * x * x": (
        lambda x: x * 0.5 * (1 + torch.tanh(x * 0.7978845608028654 * (1 + 0.044715 * x * x))),
        lambda x: F.gelu(x, approximate="tanh"),
    ),
    "GELU by erf": (lambda x: x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))), F.gelu),
    "GELU by erf, in two": (lambda x: 0.5 * x + 0.5 * x * torch.erf(x / math.sqrt(2.0)), F.gelu),
    "hardswish": (lambda x: x * F.relu6(x + 3) / 6, F.hardswish),
    "hardswish, tensor 3": (lambda x: x * (x + THREE).clamp(0, 6) / 6, F.hardswish),
    "hardswish in place": (hardswish_in_place, F.hardswish),
    "hardsigmoid": (lambda x: F.relu6(x + 3) / 6, F.hardsigmoid),
    "hardsigmoid, tensor 3": (lambda x: torch.clamp(x + THREE, 0, 6) / 6, F.hardsigmoid),
    "mish": (lambda x: x * torch.tanh(F.softplus(x)), F.mish),
    "mish by log1p": (lambda x: x * torch.tanh(torch.log1p(torch.exp(x))), F.mish),
    "softsign": (lambda x: x / (1 + x.abs()), F.softsign),
    "tanhshrink": (lambda x: x - torch.tanh(x), F.tanhshrink),
    "ELU": (lambda x: torch.where(x > 0, x, torch.exp(x) - 1), F.elu),
    "ELU by clamp": (lambda x: F.relu(x) - F.relu(1 - torch.exp(x)), F.elu),
    "leaky ReLU": (lambda x: torch.maximum(x, 0.01 * x), F.leaky_relu),
    "ReLU": (lambda x: x * (x > 0), F.relu),
    "ReLU by abs": (lambda x: (x + x.abs()) / 2, F.relu),
    "squared ReLU": (lambda x: F.relu(x) ** 2, lambda x: F.relu(x) * F.relu(x)),
    "sinh": (lambda x: (x.exp() - (-x).exp()) / 2, torch.sinh),
    "cosh": (lambda x: (x.exp() + (-x).exp()) / 2, torch.cosh),
}
WHOLE: dict[str, Function] = {
    "sigmoid squared": lambda x: torch.sigmoid(x) ** 2,
    "sigmoid times itself": lambda x: torch.sigmoid(x) * torch.sigmoid(x),
    "tanh times sigmoid": lambda x: torch.tanh(x) * torch.sigmoid(x),
    "swish of where": lambda x: torch.where(x > 0, x, x.exp() - 1) * torch.sigmoid(x),
    "exp of cos": lambda x: torch.exp(torch.cos(x)),
    "root of a sum": lambda x: torch.sqrt(x * x + 1),
    "2 ** x": lambda x: 2**x,
    "log of a polynomial": lambda x: torch.log(x * x + x + 1),
    "Cauchy": lambda x: 1 / (1 + x * x),
    "softplus squared": lambda x: torch.square(F.softplus(x)),
    "ratio": lambda x: torch.log1p(torch.exp(x)) / (1 + torch.exp(-x)),
}


def pairs(spellings: dict[str, tuple[Function, Function]] = SPELLINGS) -> list[object]:
    return [pytest.param(*pair, id=name) for name, pair in spellings.items()]


@pytest.mark.parametrize("level", ["sinks", "calls"])
@pytest.mark.parametrize(("by_hand", "fused"), pairs())
def test_every_spelling_gives_the_map_of_its_fused_twin(by_hand: Function, fused: Function, level: str) -> None:
    x = torch.stack([POINTS, signed(10, seed=3)])
    if by_hand is SPELLINGS["cast"][0]:
        x = x.float().double()
    m = multiplier_for(x)
    for scale in (lambda x: x, lambda x: 2 * x):  # the root is the source; a scaled source
        ours = drive(lambda x, scale=scale: by_hand(scale(x)), x, m, ledger=level)
        twin = drive(lambda x, scale=scale: fused(scale(x)), x, m)
        tolerance = 1e-7 if by_hand is SPELLINGS["cast"][0] else 1e-12
        assert_same(ours.input, twin.input, tolerance)
        assert_balanced(ours)
        if level == "calls":
            assert_blameless(ours)
        assert_bit_equal(ours.output, by_hand(scale(x)))


GATES: dict[str, tuple[Function, Function]] = {
    **{name: pair for name, pair in SPELLINGS.items() if pair[1] in (torch.sigmoid, F.hardsigmoid)},
    "sigmoid, twice as steep": (lambda x: 1 / (1 + torch.exp(-2 * x)), lambda x: torch.sigmoid(2 * x)),
    "sigmoid, steep by channel": (lambda x: 1 / (1 + torch.exp(-x * STEEP)), lambda x: torch.sigmoid(x * STEEP)),
    "sigmoid, by channel in place": (
        lambda x: torch.exp(-x).pow_(STEEP).add_(1).reciprocal(),
        lambda x: torch.sigmoid(x * STEEP),
    ),
    "sigmoid, viewed": (lambda x: logistic(x).view(-1).view_as(x), lambda x: torch.sigmoid(x).view(-1).view_as(x)),
    "1 - sigmoid": (lambda x: 1 - logistic(x), lambda x: 1 - torch.sigmoid(x)),
    "sigmoid by clamp": (lambda x: (x / 6 + 0.5).clamp(0, 1), F.hardsigmoid),
}
FACTORS: dict[str, Callable[[Function, Tensor, Tensor], Tensor]] = {
    "of another": lambda phi, x, y: phi(x) * y,
    "of its root and another": lambda phi, x, y: (x * phi(x)) * y,
    "of another and its root": lambda phi, x, y: phi(x) * y * x,
}
LRP_ALL = [(on.product, rules.SignalTakesAll())]


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("entries", [[], LRP_ALL], ids=["zero", "LRP-all"])
@pytest.mark.parametrize(("by_hand", "fused"), pairs({**SPELLINGS, **GATES}))
def test_as_a_factor(by_hand: Function, fused: Function, entries: list[object], factor: str) -> None:
    x, other = torch.stack([POINTS, signed(10, seed=3)]), signed(2, 10, seed=5)
    both = torch.stack([x, other])
    m = multiplier_for(x)
    ours = drive(lambda t: FACTORS[factor](by_hand, *t.unbind()), both, m, entries, ledger="calls")
    twin = drive(lambda t: FACTORS[factor](fused, *t.unbind()), both, m, entries)
    assert_same(ours.input, twin.input, 1e-7 if by_hand is SPELLINGS["cast"][0] else 1e-12)
    assert_balanced(ours)
    assert_blameless(ours)


@pytest.mark.parametrize("by_hand", [pair[0] for pair in GATES.values()], ids=list(GATES))
def test_a_gate_takes_nothing_of_a_product_under_lrp_all(by_hand: Function) -> None:
    x, other = signed(2, 10, seed=3), signed(2, 10, seed=5)
    m = multiplier_for(x)
    ours = drive(lambda t: by_hand(t[0]) * t[1], torch.stack([x, other]), m, LRP_ALL)
    assert_same(ours.input, torch.stack([torch.zeros_like(x), by_hand(x) * other * m]))


@pytest.mark.parametrize("norm", [lambda x: 1 / (1 + x.abs()), lambda x: (x * x + 1).rsqrt(), lambda x: 1 / (2 + x)])
def test_what_is_no_gate_and_divides_is_a_constant_of_the_product(norm: Function) -> None:
    x, other = signed(2, 10, seed=3), signed(2, 10, seed=5)
    m = multiplier_for(x)
    ours = drive(lambda t: norm(t[0]) * t[1], torch.stack([x, other]), m)
    assert_same(ours.input, torch.stack([torch.zeros_like(x), norm(x) * other * m]))
    assert_balanced(ours)


@pytest.mark.parametrize("name", WHOLE)
def test_what_has_no_twin_is_one_activation(name: str) -> None:
    x = torch.stack([POINTS / 3, signed(10, seed=3)])
    m, phi = multiplier_for(x), WHOLE[name]
    ours = drive(phi, x, m, ledger="calls")
    assert_same(ours.input, (phi(x) - phi(torch.zeros_like(x))) * m)
    assert_balanced(ours)
    assert_blameless(ours)


def deep(activation: Function) -> Callable[[Tensor], Tensor]:
    a, b = normal(6, 4, seed=1), normal(3, 6, seed=2)
    return lambda x: F.linear(activation(F.linear(x, a, b[0])), b)


@pytest.mark.parametrize(("by_hand", "fused"), pairs())
def test_inside_a_network(by_hand: Function, fused: Function) -> None:
    x = normal(3, 4, seed=4)
    ours, twin = (lrp.explain(deep(function), x, composite=lrp.presets.zero()) for function in (by_hand, fused))
    assert_same(ours.input, twin.input, 1e-7 if by_hand is SPELLINGS["cast"][0] else 1e-12)
    assert_balanced(ours)


def test_a_bias_added_by_hand_is_no_part_of_the_activation() -> None:
    x, w, b = normal(3, 4, seed=5), normal(2, 4, seed=6), normal(2, seed=7)
    for phi in (torch.sigmoid, lambda y: y * torch.sigmoid(y), lambda y: torch.log(1 + torch.exp(y))):
        ours = lrp.explain(lambda x, phi=phi: phi(x @ w.T + b), x, composite=lrp.presets.zero())
        fused = lrp.explain(lambda x, phi=phi: phi(F.linear(x, w, b)), x, composite=lrp.presets.zero())
        assert_same(ours.input, fused.input)
        assert_balanced(ours)


def test_a_function_without_a_value_at_zero_is_refused_and_pass_is_the_cure() -> None:
    x = normal(2, 3, seed=8).abs() + 0.5
    m = multiplier_for(x)
    for function in (torch.log, torch.log2, torch.reciprocal, torch.rsqrt, lambda x: 2 / x, lambda x: x**-2):
        with pytest.raises(lrp.errors.UncoveredError, match=r"rules\.Pass"):
            drive(function, x, m)
        ours = drive(function, x, m, [(on.activation, rules.Pass())], ledger="calls")
        assert_same(ours.input, function(x) * m)
        assert_balanced(ours)
    ours = drive(lambda x: torch.log(x) * 2, x, m, [(on.op(torch.log), rules.Pass())])
    assert_same(ours.input, torch.log(x) * 2 * m)


def test_pass_passes_the_whole_island() -> None:
    x = normal(2, 3, seed=9)
    m = multiplier_for(x)
    ours = drive(lambda x: F.relu6(x + 3) / 6, x, m, [(on.activation, rules.Pass())], ledger="calls")
    assert_same(ours.input, F.hardsigmoid(x) * m)
    assert kept(ours, "shift", "constant") == 0


def test_x_log_x() -> None:
    x = torch.tensor([[0.2, 1.5, 0.0, 3.0]], dtype=torch.float64)
    ours = drive(lambda x: torch.xlogy(x, x), x, torch.ones_like(x))
    assert_same(ours.input, torch.xlogy(x, x))


def test_an_island_holds_no_tensor_but_its_root() -> None:
    seen: list[int] = []

    def model(x: Tensor) -> Tensor:
        import weakref

        for _ in range(3):
            x = F.linear(x, normal(4, 4))
            root = weakref.ref(x)
            x = torch.relu(x)
            x = torch.tanh(x)
            x = F.linear(x, normal(4, 4))
            seen.append(root() is None)
        return x

    lrp.explain(model, normal(2, 4), composite=lrp.presets.zero())
    assert seen == [True] * 3


def test_a_clamp_that_holds_zero_shifts_nothing() -> None:
    """`clamp(min=0) * x` is a product of two factors, as `relu(x) * x` is, so another factor gets a third."""
    x = torch.tensor([[3.0, -2.0]], dtype=torch.float64)
    entries = lrp.Composite([])
    for function in (F.relu, lambda h: h.clamp(min=0), lambda h: h.clamp(-1, 9).relu(), lambda h: F.hardtanh(h, 0, 9)):
        r = lrp.explain(lambda x, f=function: ((f(x) * x) * (x + x.flip(1))).sum(1), x, composite=entries)
        # 3 * 3 * 1 = 9: a third to each factor; the sum 1 of 3 and -2 hands on its 3 as 9 and -6
        assert_same(r.input, torch.tensor([[15.0, -6.0]], dtype=torch.float64))


COMPARED: dict[str, tuple[Function, Function]] = {
    "shifted": (lambda x: x * (x + 1 >= 0), lambda x: torch.where(x >= -1, x, torch.zeros_like(x))),
    "of an activation": (lambda x: x * (torch.exp(x) >= 1), F.relu),
    "as numbers": (lambda x: x * (torch.exp(x) >= 1).to(x.dtype), F.relu),
}


@pytest.mark.parametrize(("by_hand", "fused"), pairs(COMPARED))
def test_a_comparison_within_an_activation(by_hand: Function, fused: Function) -> None:
    x = torch.stack([POINTS, signed(10, seed=3)])
    m = multiplier_for(x)
    ours = drive(by_hand, x, m, ledger="calls")
    assert_same(ours.input, drive(fused, x, m).input)
    assert_balanced(ours)


def test_a_half_at_zero_is_an_offset_in_bfloat16_too() -> None:
    """Its rounding is coarse, a sigmoid's 0.5 is none."""
    x, other = (signed(2, 10, seed=seed).bfloat16() for seed in (3, 5))

    def model(silu: Function) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, other: (silu(x) * other).sum(1)

    zero = lrp.presets.zero()
    by_hand = lrp.explain(model(lambda x: x * torch.sigmoid(x.float()).to(x.dtype)), (x, other), composite=zero)
    fused = lrp.explain(model(F.silu), (x, other), composite=zero)
    for ours, truth in zip(by_hand.input, fused.input, strict=True):
        assert_same(ours, truth, 2e-2)


def test_an_activation_of_complex_numbers_is_refused_by_name() -> None:
    x = signed(2, 3, seed=1)
    with pytest.raises(lrp.errors.UncoveredError, match=r"exp .*complex data"):
        lrp.explain(lambda x: torch.exp(torch.complex(x, x)).real, x, target=1)
