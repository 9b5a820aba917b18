"""The gate `(phi(x) - phi(0)) / x` of every activation, with its limit at 0, written analytically.

Each gate takes the same arguments as the torch function it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "ALIASES",
    "GATES",
    "GATING",
    "HOMOGENEOUS",
    "NONNEGATIVE",
    "NUMERIC",
    "SHIFTED",
    "bounds",
    "is_rectifier",
]

HOMOGENEOUS = frozenset({"relu", "leaky_relu", "prelu", "rrelu", "abs"})
"""Activations with `phi(c x) = c phi(x)` for `c > 0`: their gradient is their gate, so nothing is done for them."""

SHIFTED = frozenset(
    {"sigmoid", "logsigmoid", "softplus", "hardsigmoid", "hardtanh", "clamp", "clamp_min", "clamp_max", "maximum"}
    | {"minimum", "threshold", "exp", "exp2", "cos", "cosh", "acos", "erfc", "ndtr"}
)
"""Activations for which `phi(0)` can differ from 0."""

GATING = frozenset({"sigmoid", "hardsigmoid", "exp", "exp2"})
"""Activations that gate what they are multiplied with; `x exp(s)` is `x / exp(-s)`, whose denominator is a constant."""

NONNEGATIVE = frozenset({"relu", "relu6", "sigmoid", "hardsigmoid", "softplus", "exp", "exp2", "abs", "sqrt"})
"""Activations that are never negative."""


_BOUNDS: dict[str, tuple[tuple[int, str, float | None], ...]] = {
    "hardtanh": ((1, "min_val", -1.0), (2, "max_val", 1.0)),
    "clamp": ((1, "min", None), (2, "max", None)),
    "clamp_min": ((1, "min", None),),
}
"""Arguments by position and name, and their defaults."""


def bounds(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[float, float] | None:
    """The numbers between which a call holds its input and has no other effect; None where it is something else.

    >>> bounds("clamp_min", ("x", 0), {}), bounds("hardtanh", ("x",), {}), bounds("tanh", ("x",), {})
    ((0, inf), (-1.0, 1.0), None)
    """
    if name in ("relu", "relu6"):
        return 0.0, math.inf if name == "relu" else 6.0
    if name not in _BOUNDS:
        return None
    given = [args[place] if len(args) > place else kwargs.get(word, usual) for place, word, usual in _BOUNDS[name]]
    if any(isinstance(bound, Tensor) for bound in given):
        return None
    low, high = (*given, None)[:2]
    return -math.inf if low is None else low, math.inf if high is None else high


def is_rectifier(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call is 0 wherever its input is negative."""
    between = bounds(name, args, kwargs)
    return between is not None and between[0] == 0 < between[1]


def _over(numerator: Tensor, x: Tensor, limit: Tensor | float) -> Tensor:
    """`numerator / x`, and the limit where `x = 0`."""
    zero = x == 0
    quotient = numerator / x.masked_fill(zero, 1.0)
    if isinstance(limit, Tensor):
        return torch.where(zero, limit, quotient)
    return quotient.masked_fill(zero, limit) if limit else quotient  # the numerator is 0 where x is


def _elu(input: Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Tensor:
    negative = _over(alpha * torch.expm1((input * input_scale).clamp(max=0)), input, alpha * input_scale)
    return scale * torch.where(input > 0, torch.ones_like(input), negative)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    return _elu(input, alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    return _elu(input, alpha, 1.0, 1.0 / alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    return _elu(input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    return torch.full_like(input, negative_slope).masked_fill(input > 0, 1.0)


def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, *rest: Any, **options: Any) -> Tensor:
    return leaky_relu(input, (lower + upper) / 2)


def sigmoid(input: Tensor) -> Tensor:
    return 0.5 * _over(torch.tanh(input / 2), input, 0.5)


def logsigmoid(input: Tensor) -> Tensor:
    # log sigmoid(x) - log sigmoid(0) = log 2 - softplus(-x)
    return softplus(-input, threshold=math.inf)


def tanh(input: Tensor) -> Tensor:
    return _over(torch.tanh(input), input, 1.0)


def tanhshrink(input: Tensor) -> Tensor:
    return _over(F.tanhshrink(input), input, 0.0)


def softsign(input: Tensor) -> Tensor:
    return 1 / (1 + input.abs())


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    return torch.sigmoid(input)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (input + 0.044715 * input**3)))
    return 0.5 * torch.erfc(-input / math.sqrt(2))


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    return torch.tanh(F.softplus(input))


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    scaled = input * beta
    # log((1 + e^y) / 2) = y + log((1 + e^-y) / 2); the side without overflow, and log1p for precision near 0
    magnitude = torch.log1p(torch.expm1(-scaled.abs()) / 2)
    numerator = torch.where(scaled > 0, scaled + magnitude, magnitude)
    linear = scaled - math.log(2)
    return _over(torch.where(scaled > threshold, linear, numerator) / beta, input, 0.5)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    return _over(input.clamp(-3, 3) / 6, input, 1 / 6)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    return (input.clamp(-3, 3) + 3) / 6


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    return clamp(input, min_val, max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    return clamp(input, 0, 6)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    if not isinstance(min, Tensor) and not isinstance(max, Tensor):
        low, high = -math.inf if min is None else min, math.inf if max is None else max
        numerator = input.clamp(min=min, max=max)
        if low == 0 < high:  # 0 where the input is not positive
            return numerator / input.clamp(min=torch.finfo(input.dtype).tiny)
        at_zero = high if high < 0 or high < low else low if low > 0 else 0
        return _over(numerator - at_zero if at_zero else numerator, input, float(low < 0 < high))
    zero = torch.zeros_like(input)
    inside = zero.clamp(min=min, max=max) == zero
    return _over(input.clamp(min=min, max=max) - zero.clamp(min=min, max=max), input, inside.to(input.dtype))


def clamp_min(input: Tensor, min: Any) -> Tensor:
    return clamp(input, min=min)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    return clamp(input, max=max)


def maximum(input: Tensor, other: Tensor) -> Tensor:
    return clamp(input, min=other)


def minimum(input: Tensor, other: Tensor) -> Tensor:
    return clamp(input, max=other)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    return (input.abs() > lambd).to(input.dtype)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    return _over(F.softshrink(input, lambd), input, 0.0 if lambd > 0 else 1.0)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    at_zero = 0.0 if threshold < 0 else value
    return _over(F.threshold(input, threshold, value) - at_zero, input, float(threshold < 0))


def exp(input: Tensor) -> Tensor:
    return _over(torch.expm1(input), input, 1.0)


def expm1(input: Tensor) -> Tensor:
    return exp(input)


def log1p(input: Tensor) -> Tensor:
    return _over(torch.log1p(input), input, 1.0)


def sin(input: Tensor) -> Tensor:
    return torch.sinc(input / math.pi)


def cos(input: Tensor) -> Tensor:
    # (cos x - 1) / x = -2 sin^2(x / 2) / x
    return -torch.sin(input / 2) * sin(input / 2)


def atan(input: Tensor) -> Tensor:
    return _over(torch.atan(input), input, 1.0)


def erf(input: Tensor) -> Tensor:
    return _over(torch.erf(input), input, 2 / math.sqrt(math.pi))


def erfc(input: Tensor) -> Tensor:
    return -erf(input)


def ndtr(input: Tensor) -> Tensor:
    return 0.5 * _over(torch.erf(input / math.sqrt(2)), input, math.sqrt(2 / math.pi))


def exp2(input: Tensor) -> Tensor:
    return _over(torch.expm1(input * math.log(2)), input, math.log(2))


def cosh(input: Tensor) -> Tensor:
    # cosh x - 1 = 2 sinh^2(x / 2)
    return _over(2 * torch.sinh(input / 2) ** 2, input, 0.0)


def acos(input: Tensor) -> Tensor:
    return -_over(torch.asin(input), input, 1.0)


def sqrt(input: Tensor) -> Tensor:
    # the slope at 0 is infinite, but there is nothing to hand on
    return input.rsqrt().masked_fill(input == 0, 0.0)


def _quotient(function: Callable[[Tensor], Tensor], limit: float) -> Callable[[Tensor], Tensor]:
    """The gate of a function that torch computes to full precision next to 0, where it is 0."""
    return lambda input: _over(function(input), input, limit)


GATES: dict[str, Callable[..., Tensor]] = {
    gate.__name__: gate
    for gate in (
        *(elu, celu, selu, sigmoid, logsigmoid, tanh, tanhshrink, softsign, silu, gelu, mish, softplus, hardsigmoid),
        *(hardswish, hardtanh, relu6, clamp, clamp_min, clamp_max, maximum, minimum, hardshrink, softshrink),
        *(leaky_relu, rrelu, threshold, exp, expm1, log1p, sin, cos, atan, erf, erfc, ndtr, exp2, cosh, acos, sqrt),
    )
}
GATES |= {
    name: _quotient(getattr(torch, name), limit)
    for name, limit in {
        **dict.fromkeys(("sinh", "tan", "asin", "asinh", "atanh"), 1.0),
        "erfinv": math.sqrt(math.pi) / 2,
    }.items()
}
"""Torch function name -> its gate."""

ALIASES = {
    **{"expit": "sigmoid", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh"},
    **{"arctanh": "atanh", "arccosh": "acosh", "absolute": "abs", "gammaln": "lgamma", "psi": "digamma"},
    **{"clip": "clamp", "__abs__": "abs", "fmax": "maximum", "fmin": "minimum", "multigammaln": "mvlgamma"},
}
"""Other names of activations."""

NUMERIC = frozenset(
    {"log", "log2", "log10", "rsqrt", "reciprocal", "acosh", "lgamma", "digamma", "logit", "sinc", "nan_to_num"}
    | {"i0", "i0e", "i1", "i1e", "log_ndtr", "entr", "erfcx", "ndtri"}
    | {"ceil", "floor", "round", "trunc", "fix", "frac", "sign", "sgn", "copysign", "fmod", "remainder", "mvlgamma"}
)
"""Activations whose gate is computed from the function itself; many have none, as they are not finite at 0."""
