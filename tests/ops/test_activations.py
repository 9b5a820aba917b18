"""Every activation: its gate, its limit at 0, every spelling of it, in place too, and its books."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lrp import on, rules
from lrp.ops.activations import GATES, HOMOGENEOUS, NONNEGATIVE, SHIFTED, bounds, is_rectifier
from tests.cases.networks import signed
from tests.ops.driving import assert_bit_equal, assert_books_balance, assert_same_map, drive, kept, multiplier_for

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

BOUNDS = signed(3, 8, seed=31) / 2
SLOPES = torch.tensor([0.1, -0.3, 0.5, 0.0, 1.0, 2.0, 0.25, -1.0], dtype=torch.float64)

# The arguments beside the input that each activation is tried with; without a line, none.
ARGUMENTS: dict[str, list[Arguments]] = {
    "elu": [((), {}), ((0.5,), {}), ((), {"alpha": 2.0})],
    "celu": [((), {}), ((0.5,), {}), ((), {"alpha": 2.0})],
    "gelu": [((), {}), ((), {"approximate": "tanh"})],
    "softplus": [((), {}), ((2.0,), {}), ((0.5, 3.0), {}), ((), {"beta": 3.0, "threshold": 2.0})],
    "hardtanh": [((), {}), ((-2.0, 0.5), {}), ((), {"min_val": 0.25, "max_val": 1.5}), ((-3.0,), {"max_val": -1.0})],
    "clamp": [
        ((-0.5, 1.0), {}),
        ((), {"min": 0.25}),
        ((), {"max": -1.0}),
        ((0.0,), {}),
        ((), {"min": 0, "max": 2.0}),
        ((1.0, -1.0), {}),
        ((BOUNDS,), {"max": 1 + BOUNDS}),
    ],
    "clamp_min": [((-0.5,), {}), ((), {"min": 0.3}), ((BOUNDS,), {})],
    "clamp_max": [((0.5,), {}), ((), {"max": -0.3}), ((), {"max": BOUNDS})],
    "maximum": [((BOUNDS,), {}), ((), {"other": BOUNDS})],
    "minimum": [((BOUNDS,), {}), ((), {"other": BOUNDS})],
    "hardshrink": [((), {}), ((1.0,), {}), ((), {"lambd": 0.2})],
    "softshrink": [((), {}), ((1.0,), {}), ((), {"lambd": 0.0})],
    "threshold": [((0.1, 20.0), {}), ((-0.5, 3.0), {}), ((), {"threshold": 0.0, "value": -1.0})],
    "leaky_relu": [((), {}), ((0.2,), {}), ((), {"negative_slope": 1.5})],
    "prelu": [((SLOPES[:1],), {}), ((), {"weight": SLOPES})],
    "rrelu": [((), {}), ((0.1, 0.3), {}), ((), {"lower": 0.2, "upper": 0.2, "training": False})],
}
NAMES = sorted({*GATES, *HOMOGENEOUS})
DOMAIN = {"log1p": (-0.99, 100), "sqrt": (0, 100), **dict.fromkeys(("acos", "asin", "atanh", "erfinv"), (-0.99, 0.99))}
TORCH_IS_OFF = {
    "hardsigmoid": "its backward takes 1/6 in float32, whatever the dtype",
    "softshrink": "with lambd = 0 its backward gives 0 at 0 between two slopes of 1",
}


def calls(names: Iterable[str]) -> list[Any]:
    """Each activation with each of its arguments, for `parametrize`."""
    return [
        pytest.param(name, arguments, id=f"{name}-{number}")
        for name in sorted(names)
        for number, arguments in enumerate(ARGUMENTS.get(name, [((), {})]))
    ]


def function_of(name: str) -> Callable[..., Tensor]:
    return getattr(torch, name, None) or getattr(F, name, None) or getattr(torch.special, name)


def spellings(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Callable[..., Tensor]]:
    """Every function that torch keeps under a name, its in-place twins, and `inplace=True`."""
    for place in (torch, torch.Tensor, F, torch._C._nn, torch.special):
        for spelled in (name, name + "_"):
            function = getattr(place, spelled, None)
            if not callable(function):
                continue
            yield function
            if inspect.isfunction(function) and "inplace" in inspect.signature(function).parameters:
                yield partial(function, inplace=True)


def grid(name: str, columns: int = 8) -> Tensor:
    """Zero, next to zero, far away, and around all thresholds: `(n, 8)`, like the tensors among the arguments."""
    special = [0.0, 1e-300, 1e-30, 1e-8, 1e-4, 0.2, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 6.0, 6.5, 19.9, 20.1, 37.5, 40.0]
    points = torch.tensor([*special, *(-each for each in special)], dtype=torch.float64)
    points = torch.cat([points, torch.linspace(-5, 5, 101, dtype=torch.float64)])
    low, high = DOMAIN.get(name, (float("-inf"), float("inf")))
    points = points[(points >= low) & (points <= high)]
    return points.unsqueeze(1).expand(-1, columns).clone()


def fitted(arguments: Arguments, x: Tensor) -> Arguments:
    """Bounds that are tensors with one row, so that they broadcast against any grid."""

    def fit(value: Any) -> Any:
        return value[:1] if isinstance(value, Tensor) and value.dim() == 2 and len(x) != len(value) else value

    return tuple(map(fit, arguments[0])), {key: fit(value) for key, value in arguments[1].items()}


def slopes(phi: Callable[[Tensor], Tensor], at: float) -> Tensor:
    """Autograd's derivative of an elementwise function, one number per column."""
    x = torch.full((1, 8), at, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(phi(x).sum(), x)[0]


def test_the_tables_agree() -> None:
    assert set(ARGUMENTS) <= set(NAMES)
    assert set(NAMES) >= SHIFTED | NONNEGATIVE


@pytest.mark.parametrize(("name", "arguments"), calls(GATES))
def test_gate_times_input_and_offset_is_the_activation(name: str, arguments: Arguments) -> None:
    x = grid(name)
    args, kwargs = fitted(arguments, x)
    gate = GATES[name](x, *args, **kwargs)
    assert gate.isfinite().all()
    z, offset = (function_of(name)(point, *args, **kwargs) for point in (x, torch.zeros_like(x)))
    size = torch.stack([torch.ones_like(x), z.abs(), offset.abs()]).amax(0)
    assert float(((gate * x + offset - z).abs() / size).max()) <= 1e-14
    assert name in SHIFTED or not offset.any()
    assert name not in NONNEGATIVE or bool((z >= 0).all())


@pytest.mark.parametrize(("name", "arguments"), calls(NAMES))
def test_bounds_are_what_a_call_holds_its_input_between(name: str, arguments: Arguments) -> None:
    x = grid(name)
    args, kwargs = fitted(arguments, x)
    held = bounds(name, (x, *args), kwargs)
    numbers = not any(isinstance(value, Tensor) for value in (*args, *kwargs.values()))
    assert (held is not None) == (name in ("relu", "relu6", "hardtanh", "clamp", "clamp_min") and numbers)
    if held is None:
        assert not is_rectifier(name, (x, *args), kwargs)
        return
    z = function_of(name)(x, *args, **kwargs)
    assert torch.equal(z, x.clamp(*held))
    assert is_rectifier(name, (x, *args), kwargs) == (not z[x < 0].any() and bool(z.any()))


@pytest.mark.parametrize(("name", "arguments"), calls(HOMOGENEOUS))
def test_the_gradient_is_the_gate(name: str, arguments: Arguments) -> None:
    x = grid(name).requires_grad_()
    args, kwargs = fitted(arguments, x)
    z = function_of(name)(x, *args, **kwargs)
    (gate,) = torch.autograd.grad(z.sum(), x)
    x, z = x.detach(), z.detach()
    assert float(((gate * x - z).abs() / z.abs().clamp(min=1)).max()) <= 1e-14
    assert not function_of(name)(torch.zeros_like(x), *args, **kwargs).any()


@pytest.mark.parametrize(("name", "arguments"), calls(GATES.keys() - {"sqrt"}))
def test_the_limit_at_zero_is_the_derivative(name: str, arguments: Arguments) -> None:
    args, kwargs = fitted(arguments, torch.zeros(1, 8))
    points = torch.tensor([0.0, 1e-300, -1e-300, 1e-12, -1e-12], dtype=torch.float64)
    gates = GATES[name](points.unsqueeze(1).expand(-1, 8), *args, **kwargs)
    below, at, above = (slopes(lambda x: function_of(name)(x, *args, **kwargs), t) for t in (-1e-9, 0.0, 1e-9))
    exists = ((below - above).abs() < 1e-7).expand_as(gates)
    middle = ((below + above) / 2).expand_as(gates)
    assert float(torch.where(exists, gates - middle, 0).abs().max()) <= 1e-8
    if name not in TORCH_IS_OFF:
        assert float(torch.where(exists, gates - at, 0)[0].abs().max()) <= 1e-14


@pytest.mark.parametrize("level", ["sinks", "calls"])
@pytest.mark.parametrize(("name", "arguments"), calls(NAMES))
def test_every_spelling_hands_on_what_does_not_come_from_the_offset(
    name: str, arguments: Arguments, level: str
) -> None:
    """With Gate, and with Pass; in-place spellings too, which leave the forward pass bit-equal."""
    args, kwargs = arguments
    x = 2 * signed(3, 8, seed=len(name))
    x = x.abs() - 0.5 if name == "log1p" else x.abs() if name == "sqrt" else x
    x = x.clamp(-0.95, 0.95) if name in ("acos", "asin", "atanh", "erfinv") else x
    reference = function_of(name)
    z, offset = (reference(point, *args, **kwargs) for point in (x, torch.zeros_like(x)))
    m = multiplier_for(z)
    gated, passed = (z - offset) * m, torch.where(x == 0, 0, z * m)
    for spelling in spellings(name, args, kwargs):
        # the activation reads a tensor of the model's own, so that it may write into it
        def model(data: Tensor, function: Callable[..., Tensor] = spelling) -> Tensor:
            return function(data * 1.0, *args, **kwargs)

        for rule, truth in ((rules.Gate(), gated), (rules.Pass(), passed)):
            ours = drive(model, x, m, [(on.activation, rule)], ledger=level)
            assert_same_map(ours.input, truth)
            assert kept(ours, "shift") == pytest.approx(float((z * m - truth).sum()), abs=1e-13)
            assert_books_balance(ours)
            assert_bit_equal(ours.output, model(x))
