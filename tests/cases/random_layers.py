"""Steps of random networks that have weights, and norms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.cases.random_steps import BY_HAND, Call, Make, Step, builds, filled


@builds
def linear(of: Step, h: Tensor, make: Make) -> nn.Module:
    width, spelling = of["width"], make.spelled(of)
    weight, bias = make.weight(width, h.shape[-1]), make.bias(width, of["bias"])
    if "module" in spelling:
        return filled(nn.Linear(h.shape[-1], width, bias is not None), weight=weight, bias=bias)
    if spelling == "in place" and bias is None:
        return Call(lambda s, t: torch.einsum("...i,oi->...o", t, s.weight), weight=weight)
    if spelling == "in place" and h.dim() == 2:
        return Call(lambda s, t: torch.addmm(s.bias, t, s.weight.T), weight=weight, bias=bias)
    if spelling == BY_HAND:
        return Call(lambda s, t: t @ s.weight.T + (0 if s.bias is None else s.bias), weight=weight, bias=bias)
    return Call(lambda s, t: F.linear(t, s.weight, s.bias), weight=weight, bias=bias)


@builds
def conv(of: Step, h: Tensor, make: Make) -> nn.Module:
    axes, channels, smallest = h.dim() - 2, h.shape[1], min(h.shape[2:])
    groups = channels if of["groups"] == "all" else math.gcd(channels, of["groups"])
    width, mode = groups * of["width"], of["mode"]
    padding = min(of["padding"], smallest - 1) if mode == "reflect" else of["padding"]
    kernel = min(of["kernel"], smallest + 2 * padding)
    dilation = of["dilation"] if (kernel - 1) * of["dilation"] < smallest + 2 * padding else 1
    weight = make.weight(width, channels // groups, *[kernel] * axes)
    bias = make.bias(width, of["bias"])
    options = {"stride": of["stride"], "dilation": dilation, "groups": groups}
    if "module" in make.spelled(of):
        kind = nn.Conv1d if axes == 1 else nn.Conv2d
        module = kind(channels, width, kernel, padding=padding, padding_mode=mode, bias=bias is not None, **options)
        return filled(module, weight=weight, bias=bias)
    function = F.conv1d if axes == 1 else F.conv2d

    def run(s: Any, t: Tensor) -> Tensor:
        if mode != "zeros" and padding:
            return function(F.pad(t, [padding] * 2 * axes, mode), s.weight, s.bias, **options)
        return function(t, s.weight, s.bias, padding=padding, **options)

    return Call(run, weight=weight, bias=bias)


@builds
def conv_transpose(of: Step, h: Tensor, make: Make) -> nn.Module:
    axes, channels = h.dim() - 2, h.shape[1]
    groups = math.gcd(channels, of["groups"])
    kernel, stride = of["kernel"], of["stride"] if max(h.shape[2:]) <= 4 else 1
    weight = make.weight(channels, of["width"], *[kernel] * axes)
    bias = make.bias(groups * of["width"], of["bias"])
    options = {"stride": stride, "padding": (kernel - 1) // 2, "output_padding": stride - 1, "groups": groups}
    if "module" in make.spelled(of):
        kind = nn.ConvTranspose1d if axes == 1 else nn.ConvTranspose2d
        module = kind(channels, groups * of["width"], kernel, bias=bias is not None, **options)
        return filled(module, weight=weight, bias=bias)
    function = F.conv_transpose1d if axes == 1 else F.conv_transpose2d
    return Call(lambda s, t: function(t, s.weight, s.bias, **options), weight=weight, bias=bias)


@builds
def batch_norm(of: Step, h: Tensor, make: Make) -> nn.Module:
    channels = h.shape[1]
    tensors = {"running_mean": 0.3 * make.normal(channels), "running_var": make.positive(channels)}
    if of["affine"]:
        tensors |= {"weight": make.positive(channels) * make.normal(channels).sign(), "bias": make.bias(channels)}
    if "module" in make.spelled(of):
        kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[h.dim()]
        return filled(kind(channels, affine=of["affine"]), **tensors)
    module = Call(lambda s, t: F.batch_norm(t, **{name: getattr(s, name) for name in tensors}), **tensors)
    module.running_mean.requires_grad_(False)
    module.running_var.requires_grad_(False)
    return module


@builds
def norm(of: Step, h: Tensor, make: Make) -> nn.Module:
    """Layer, RMS, group or instance norm, with a constant added before.

    Pooling and ReLU make rows of equal numbers. Less their mean these are rounding errors, which any rule that divides
    by them would only enlarge.
    """
    c = make.normal(*h.shape[1:])
    return nn.Sequential(Call(lambda s, t: t + s.c, c=c), _norm(of, h, make))


def _norm(of: Step, h: Tensor, make: Make) -> nn.Module:
    """The norm alone; layer and RMS norm by hand too."""
    kind, spelling, affine = of["kind"], make.spelled(of), of["affine"]
    channels = h.shape[-1] if kind in ("layer", "rms") else h.shape[1]
    weight = make.normal(channels) if affine else None
    bias = make.bias(channels) if affine and kind != "rms" else None
    tensors = {name: tensor for name, tensor in (("weight", weight), ("bias", bias)) if tensor is not None}
    groups = math.gcd(channels, 2) if channels > 2 else 1
    if h[0].numel() // (groups if kind == "group" else channels if kind == "instance" else 1) < 2:
        return Call(lambda _, t: t.clone())  # one number has no spread
    if "module" in spelling:
        made = {
            "layer": lambda: nn.LayerNorm(channels, elementwise_affine=affine),
            "rms": lambda: nn.RMSNorm(channels, eps=1e-5, elementwise_affine=affine),
            "group": lambda: nn.GroupNorm(groups, channels, affine=affine),
            "instance": lambda: (nn.InstanceNorm1d if h.dim() == 3 else nn.InstanceNorm2d)(channels, affine=affine),
        }
        return filled(made[kind](), **tensors)
    if spelling == BY_HAND and kind in ("layer", "rms"):

        def by_hand(s: Any, t: Tensor) -> Tensor:
            t = t - t.mean(-1, keepdim=True) if kind == "layer" else t
            t = t * torch.rsqrt(t.pow(2).mean(-1, keepdim=True) + 1e-5)
            t = t * s.weight if affine else t
            return t + s.bias if bias is not None else t

        return Call(by_hand, **tensors)
    function: Callable[..., Tensor] = {
        "layer": lambda t, **o: F.layer_norm(t, (channels,), **o),
        "rms": lambda t, **o: F.rms_norm(t, (channels,), eps=1e-5, **o),
        "group": lambda t, **o: F.group_norm(t, groups, **o),
        "instance": lambda t, **o: F.instance_norm(t, **o),
    }[kind]
    return Call(lambda s, t: function(t, **{name: getattr(s, name) for name in tensors}), **tensors)
