"""Every activation module of torch.nn; activations with two operands, in place on views; GLU and the softmaxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lrp
from lrp import on, rules
from tests.cases.networks import signed
from tests.ops.driving import assert_bit_equal, assert_books_balance, assert_same_map, drive, kept, multiplier_for

EXCLUDED = {"MultiheadAttention": "no activation: linear layers, products and a softmax, an issue of its own"}
SOFTMAXES = {
    "Softmin": lambda: [nn.Softmin(dim=1)],
    "Softmax": lambda: [nn.Softmax(dim=1), nn.Softmax(dim=-1)],
    "Softmax2d": lambda: [nn.Softmax2d()],
    "LogSoftmax": lambda: [nn.LogSoftmax(dim=1), nn.LogSoftmax(dim=-2)],
}
MODULES: dict[str, Callable[[], list[nn.Module]]] = {
    "Threshold": lambda: [nn.Threshold(0.1, 20.0), nn.Threshold(-0.5, 3.0, inplace=True)],
    "ReLU": lambda: [nn.ReLU(), nn.ReLU(inplace=True)],
    "RReLU": lambda: [nn.RReLU(), nn.RReLU(0.2, 0.4, inplace=True)],
    "Hardtanh": lambda: [nn.Hardtanh(), nn.Hardtanh(0.25, 1.5), nn.Hardtanh(-2.0, 0.5, inplace=True)],
    "ReLU6": lambda: [nn.ReLU6(), nn.ReLU6(inplace=True)],
    "Sigmoid": lambda: [nn.Sigmoid()],
    "Hardsigmoid": lambda: [nn.Hardsigmoid(), nn.Hardsigmoid(inplace=True)],
    "Tanh": lambda: [nn.Tanh()],
    "SiLU": lambda: [nn.SiLU(), nn.SiLU(inplace=True)],
    "Mish": lambda: [nn.Mish(), nn.Mish(inplace=True)],
    "Hardswish": lambda: [nn.Hardswish(), nn.Hardswish(inplace=True)],
    "ELU": lambda: [nn.ELU(), nn.ELU(0.5), nn.ELU(2.0, inplace=True)],
    "CELU": lambda: [nn.CELU(), nn.CELU(0.5), nn.CELU(2.0, inplace=True)],
    "SELU": lambda: [nn.SELU(), nn.SELU(inplace=True)],
    "GELU": lambda: [nn.GELU(), nn.GELU(approximate="tanh")],
    "Hardshrink": lambda: [nn.Hardshrink(), nn.Hardshrink(1.0)],
    "LeakyReLU": lambda: [nn.LeakyReLU(), nn.LeakyReLU(0.3, inplace=True)],
    "LogSigmoid": lambda: [nn.LogSigmoid()],
    "Softplus": lambda: [nn.Softplus(), nn.Softplus(2.0, 1.5)],
    "Softshrink": lambda: [nn.Softshrink(), nn.Softshrink(0.1)],
    "PReLU": lambda: [nn.PReLU(), nn.PReLU(4, init=-0.3)],
    "Softsign": lambda: [nn.Softsign()],
    "Tanhshrink": lambda: [nn.Tanhshrink()],
}
LEVELS = ["sinks", "calls"]


def test_no_activation_module_is_forgotten() -> None:
    covered = {*MODULES, *SOFTMAXES, "GLU"}
    assert covered | set(EXCLUDED) == set(nn.modules.activation.__all__)
    assert not covered & set(EXCLUDED)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", MODULES)
def test_activation_modules(name: str, level: Any) -> None:
    """Gate hands on `phi(x) - phi(0)`, Pass `phi(x)` where x is not 0; the source may be written to, a copy is kept."""
    x = 2 * signed(2, 4, 5, seed=len(name))
    before = x.clone()
    for activation in MODULES[name]():
        activation = activation.double().eval()
        z, offset = activation(x.clone()).detach(), activation(torch.zeros_like(x)).detach()
        m = multiplier_for(z)
        for rule, truth in ((rules.Gate(), (z - offset) * m), (rules.Pass(), torch.where(x == 0, 0, z * m))):
            for model in (activation, nn.Sequential(nn.Identity(), activation)):
                ours = drive(model, x, m, [(on.activation, rule)], ledger=level)
                assert_same_map(ours.input, truth)
                assert kept(ours, "shift") == pytest.approx(float((z * m - truth).sum()), abs=1e-13)
                assert_books_balance(ours)
                assert_bit_equal(ours.output, z)
                assert_bit_equal(x, before)


CONSTANT = signed(3, 4, seed=41)
TWO_OPERANDS: dict[str, Callable[[Tensor], Tensor]] = {
    "maximum": lambda x: torch.maximum(x, CONSTANT),
    "maximum-constant-first": lambda x: torch.maximum(CONSTANT, x),
    "maximum-keywords": lambda x: torch.maximum(input=x, other=CONSTANT),
    "max": lambda x: torch.max(x, CONSTANT),
    "max-keyword": lambda x: x.max(other=CONSTANT),
    "minimum": lambda x: x.minimum(CONSTANT),
    "minimum-keyword": lambda x: x.minimum(other=CONSTANT),
    "min": lambda x: torch.min(CONSTANT, x),
    "clamp-tensor": lambda x: x.clamp(max=CONSTANT),
}


@pytest.mark.parametrize("name", TWO_OPERANDS)
def test_the_larger_of_data_and_a_constant_is_an_activation(name: str) -> None:
    function, x = TWO_OPERANDS[name], signed(3, 4, seed=42)
    z, offset = function(x), function(torch.zeros_like(x))
    m = multiplier_for(z)
    ours = drive(function, x, m, [(on.activation, rules.Gate())], ledger="calls")
    assert_same_map(ours.input, (z - offset) * m)
    assert kept(ours, "shift") == pytest.approx(float((offset * m).sum()), abs=1e-13)
    assert_books_balance(ours)


def test_the_larger_of_two_data_tensors_is_a_selection() -> None:
    a, b = signed(3, 4, seed=43), signed(3, 4, seed=44)
    m = multiplier_for(a)
    ours = drive(torch.maximum, (a, b), m, ledger="calls")
    winner = torch.where(a == b, 0.5, (a > b).double())
    assert_same_map(ours.input[0], winner * a * m)
    assert_same_map(ours.input[1], (1 - winner) * b * m)
    assert_books_balance(ours)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "function", [torch.tanh_, torch.sigmoid_, F.elu_, torch.relu_, torch.exp_], ids=lambda f: f.__name__
)
def test_in_place_on_part_of_a_tensor(function: Callable[[Tensor], Tensor], level: Any) -> None:
    """A view is written to, and the whole tensor is read afterwards."""

    def model(x: Tensor) -> Tensor:
        y = x * 2.0
        function(y[:, 1:3])
        return y

    x = signed(3, 5, seed=6)
    z, offset = model(x), model(torch.zeros_like(x))
    m = multiplier_for(z)
    ours = drive(model, x, m, ledger=level)
    assert_same_map(ours.input, (z - offset) * m)
    assert kept(ours, "shift") == pytest.approx(float((offset * m).sum()), abs=1e-13)
    assert_books_balance(ours)
    assert_bit_equal(ours.output, z)


def test_in_place_after_another_reader() -> None:
    """What was read before the write keeps the value it had then."""

    def model(x: Tensor) -> Tensor:
        y = x * 2.0
        kept_back = y + 1.0
        y.tanh_()
        return torch.cat([kept_back, y], 1)

    x = signed(3, 4, seed=7)
    m = multiplier_for(model(x))
    ours = drive(model, x, m, ledger="calls")
    assert_same_map(ours.input, 2 * x * m[:, :4] + torch.tanh(2 * x) * m[:, 4:])
    assert kept(ours, "constant") == pytest.approx(float(m[:, :4].sum()), abs=1e-13)
    assert_books_balance(ours)


def test_in_place_leaky_relu_with_a_negative_slope() -> None:
    """torch runs this forward; its own backward refuses it."""
    x = signed(3, 4, seed=8)
    z = F.leaky_relu(x, -0.5)
    m = multiplier_for(z)
    ours = drive(lambda data: F.leaky_relu(data * 1.0, -0.5, inplace=True), x, m)
    assert_same_map(ours.input, z * m)


GLUS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "F": (F.glu, -1),
    "dim": (lambda x: F.glu(x, 1), 1),
    "keyword": (lambda x: F.glu(x, dim=1), 1),
    "module": (nn.GLU(), -1),
    "module-dim": (nn.GLU(1), 1),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", GLUS)
def test_glu_halves_between_signal_and_gate(name: str, level: Any) -> None:
    function, dim = GLUS[name]
    x = signed(2, 4, 6, seed=9)
    z = function(x)
    m = multiplier_for(z)
    ours = drive(function, x, m, ledger=level)
    a, b = x.chunk(2, dim)
    s = torch.sigmoid(b)
    # each factor gets half of a s m; of the gate's half, what comes from sigmoid(0) = 1/2 stays
    assert_same_map(ours.input, torch.cat([a * s * m / 2, a * (s - 0.5) * m / 2], dim))
    assert kept(ours, "shift") == pytest.approx(float((a * m / 4).sum()), abs=1e-13)
    assert_books_balance(ours)
    assert_bit_equal(ours.output, z)


def softmax_truth(x: Tensor, m: Tensor, dim: int, kind: str) -> Tensor:
    """`R_x = x (R_z - s sum R_z)`, the same on -x for softmin, and `x (m - s sum m)` for log-softmax."""
    if kind == "LogSoftmax":
        return x * (m - x.softmax(dim) * m.sum(dim, keepdim=True))
    x = -x if kind == "Softmin" else x
    s = x.softmax(dim)
    return x * (s * m - s * (s * m).sum(dim, keepdim=True))


FUNCTIONAL: dict[str, tuple[Callable[[Tensor], Tensor], str, int]] = {
    "torch.softmax": (lambda x: torch.softmax(x, 1), "Softmax", 1),
    "F.softmax": (lambda x: F.softmax(x, dim=-1), "Softmax", -1),
    "F.softmax-dtype": (lambda x: F.softmax(x, -1, dtype=torch.float64), "Softmax", -1),
    "x.softmax": (lambda x: x.softmax(2), "Softmax", 2),
    "x.log_softmax": (lambda x: x.log_softmax(dim=1), "LogSoftmax", 1),
    "F.log_softmax": (lambda x: F.log_softmax(x, 2, dtype=torch.float64), "LogSoftmax", 2),
    "torch.log_softmax": (lambda x: torch.log_softmax(x, -1), "LogSoftmax", -1),
    "F.softmin": (lambda x: F.softmin(x, dim=1), "Softmin", 1),
}


def assert_softmax(function: Callable[[Tensor], Tensor], x: Tensor, kind: str, dim: int, level: Any) -> None:
    z = function(x)
    m = multiplier_for(z)
    truth = softmax_truth(x, m, dim, kind)
    ours = drive(function, x, m, [(on.softmax, rules.Taylor())], ledger=level)
    assert_same_map(ours.input, truth)
    assert kept(ours, "softmax") == pytest.approx(float((z * m).sum() - truth.sum()), abs=1e-12)
    assert_books_balance(ours)
    assert_bit_equal(ours.output, z)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", SOFTMAXES)
def test_softmax_modules(name: str, level: Any) -> None:
    for module in SOFTMAXES[name]():
        dim = 1 if name == "Softmax2d" else module.dim
        assert_softmax(module, signed(2, 3, 2, 4, seed=10), name.removesuffix("2d"), dim, level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", FUNCTIONAL)
def test_softmax_functions(name: str, level: Any) -> None:
    function, kind, dim = FUNCTIONAL[name]
    assert_softmax(function, signed(2, 3, 4, seed=11), kind, dim, level)


def test_a_masked_entry_carries_nothing() -> None:
    mask = torch.tensor([[False, True, False, True]])

    def model(x: Tensor) -> Tensor:
        return torch.softmax(x.masked_fill(mask, float("-inf")), 1)

    x = signed(2, 4, seed=12)
    ours = drive(model, x, multiplier_for(x), ledger="calls")
    assert ours.input.isfinite().all()
    assert not ours.input[:, mask[0]].any()
    assert_books_balance(ours)


def test_a_softmax_in_a_wider_dtype() -> None:
    x = signed(2, 4, seed=13).float()
    m = multiplier_for(x)
    ours = drive(lambda x: F.softmax(x, dim=1, dtype=torch.float64), x, m)
    assert ours.output.dtype == torch.float64
    assert_same_map(ours.input.double(), softmax_truth(x.double(), m, 1, "Softmax"), 1e-6)


def test_active_rrelu_is_refused() -> None:
    with pytest.raises(lrp.errors.TrainingModeError, match="slopes at random"):
        lrp.explain(lambda x: F.rrelu(x, training=True), signed(3, 1))
