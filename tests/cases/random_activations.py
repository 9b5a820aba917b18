"""Steps of random networks that are activations, in every spelling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.cases.random_steps import BY_HAND, Call, Function, Make, Step, builds, filled


@dataclass(frozen=True)
class Activation:
    """One activation in all its spellings; `in_place` None: it has none."""

    module: Callable[..., nn.Module]
    function: Function
    in_place: Callable[[Tensor], Any] | None = None
    by_hand: Function | None = None
    takes_inplace: bool = False


def _tanh_gelu(h: Tensor) -> Tensor:
    return 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h.pow(3))))


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(nn.ReLU, F.relu, torch.relu_, lambda h: h.clamp(min=0), True),
    "leaky_relu": Activation(
        partial(nn.LeakyReLU, 0.2),
        lambda h: F.leaky_relu(h, 0.2),
        lambda h: F.leaky_relu_(h, 0.2),
        lambda h: torch.where(h > 0, h, 0.2 * h),
        True,
    ),
    "abs": Activation(nn.Identity, torch.abs, lambda h: h.abs_(), lambda h: torch.maximum(h, -h)),
    "relu6": Activation(nn.ReLU6, F.relu6, lambda h: F.relu6(h, inplace=True), lambda h: h.clamp(0, 6), True),
    "hardtanh": Activation(nn.Hardtanh, F.hardtanh, F.hardtanh_, lambda h: h.clamp(-1, 1), True),
    "sigmoid": Activation(nn.Sigmoid, torch.sigmoid, torch.sigmoid_, lambda h: 1 / (1 + torch.exp(-h))),
    "tanh": Activation(nn.Tanh, torch.tanh, torch.tanh_, lambda h: 2 * torch.sigmoid(2 * h) - 1),
    "silu": Activation(nn.SiLU, F.silu, lambda h: F.silu(h, inplace=True), lambda h: h * torch.sigmoid(h), True),
    "gelu": Activation(nn.GELU, F.gelu, None, lambda h: 0.5 * h * (1 + torch.erf(h / math.sqrt(2)))),
    "gelu_tanh": Activation(partial(nn.GELU, "tanh"), lambda h: F.gelu(h, approximate="tanh"), None, _tanh_gelu),
    "elu": Activation(nn.ELU, F.elu, F.elu_, lambda h: torch.where(h > 0, h, torch.expm1(h)), True),
    "selu": Activation(nn.SELU, F.selu, torch.selu_, None, True),
    "softplus": Activation(nn.Softplus, F.softplus, None, lambda h: torch.log1p(torch.exp(h))),
    "mish": Activation(
        nn.Mish, F.mish, lambda h: F.mish(h, inplace=True), lambda h: h * torch.tanh(F.softplus(h)), True
    ),
    "hardswish": Activation(
        nn.Hardswish,
        F.hardswish,
        lambda h: F.hardswish(h, inplace=True),
        lambda h: h * (h + 3).clamp(0, 6) / 6,
        True,
    ),
    "hardsigmoid": Activation(
        nn.Hardsigmoid, F.hardsigmoid, lambda h: F.hardsigmoid(h, True), lambda h: (h + 3).clamp(0, 6) / 6, True
    ),
    "softsign": Activation(nn.Softsign, F.softsign, None, lambda h: h / (1 + h.abs())),
    "tanhshrink": Activation(nn.Tanhshrink, F.tanhshrink, None, lambda h: h - torch.tanh(h)),
    "logsigmoid": Activation(nn.LogSigmoid, F.logsigmoid, None, lambda h: -F.softplus(-h)),
    "softshrink": Activation(nn.Softshrink, F.softshrink),
    "hardshrink": Activation(nn.Hardshrink, F.hardshrink),
    "threshold": Activation(
        partial(nn.Threshold, 0.1, -0.5),
        lambda h: F.threshold(h, 0.1, -0.5),
        lambda h: F.threshold_(h, 0.1, -0.5),
        takes_inplace=True,  # by `where` it is no activation, but a choice of the data or a constant
    ),
    "clamp": Activation(nn.Identity, lambda h: h.clamp(-0.7, 0.9), lambda h: h.clamp_(-0.7, 0.9)),
    "sin": Activation(nn.Identity, torch.sin, torch.sin_),
    "square": Activation(nn.Identity, torch.square, torch.square_, lambda h: h * h),
    "cube": Activation(nn.Identity, lambda h: h**3, lambda h: h.pow_(3), lambda h: h * h * h),
}
HOMOGENEOUS = ("relu", "leaky_relu", "abs")
"""Activations whose gradient times their input is their value."""
RAMPS = ("relu6", "hardtanh", "hardsigmoid", "hardswish", "softshrink", "hardshrink", "threshold", "clamp")


@builds
def activation(of: Step, h: Tensor, make: Make) -> nn.Module:
    given, spelling = ACTIVATIONS[of["of"]], make.spelled(of)
    if spelling == "module in place" and given.takes_inplace:
        return given.module(inplace=True)
    if "module" in spelling and given.module is not nn.Identity:
        return given.module()
    in_place = given.in_place
    if spelling == "in place" and in_place is not None:
        return Call(lambda _, t: (in_place(t), t)[1])
    function = given.by_hand if spelling == BY_HAND and given.by_hand is not None else given.function
    return Call(lambda _, t: function(t))


@builds
def prelu(of: Step, h: Tensor, make: Make) -> nn.Module:
    slope = 0.3 * make.positive(1)
    if "module" in make.spelled(of):
        return filled(nn.PReLU(), weight=slope)
    return Call(lambda s, t: F.prelu(t, s.slope), slope=slope)


@builds
def part(of: Step, h: Tensor, make: Make) -> nn.Module:
    """An activation on all but the first channel."""
    given, spelling = ACTIVATIONS[of["of"]], make.spelled(of)
    in_place = given.in_place
    if spelling == "in place" and in_place is not None:

        def write(_: Any, t: Tensor) -> Tensor:
            view = t[:, 1:]
            in_place(view)
            return t

        return Call(write)
    if spelling == "module in place":

        def put(_: Any, t: Tensor) -> Tensor:
            t[:, 1:] = given.function(t[:, 1:])
            return t

        return Call(put)
    return Call(lambda _, t: torch.cat([t[:, :1], given.function(t[:, 1:])], 1))
