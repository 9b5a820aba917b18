"""Random weights that leave nothing at its neutral value: norms with statistics, biases that are not 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["disturb"]


def disturb(model: nn.Module, seed: int = 0) -> None:
    """Give every parameter and every running statistic a value that matters, in place.

    What was initialised to differing values of a sane size is kept: the decay rates of state-space models have to be
    as they are.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point() and parameter.numel():
                parameter.copy_(_disturbed(parameter, generator))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
            if name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))


def _disturbed(parameter: Tensor, generator: torch.Generator) -> Tensor:
    normal = torch.randn(parameter.shape, generator=generator)
    if parameter.dim() >= 2:
        scale = 1 / math.sqrt(max(1, parameter[0].numel()))
        sane = bool(torch.isfinite(parameter).all()) and float(parameter.std()) > 0.5 * scale
        return parameter if sane else normal * scale
    first = float(parameter.flatten()[0])
    if not bool(torch.isfinite(parameter).all()) or (first == 0 and not bool(parameter.any())):
        return 0.1 * normal
    if bool((parameter == first).all()):
        uniform = 0.5 + torch.rand(parameter.shape, generator=generator)
        return uniform * math.copysign(min(max(abs(first), 0.1), 1.0), first) if abs(first) <= 1 else parameter
    return parameter
