"""Operations written out as smaller ones, each as the same function of its arguments.

They run under the function mode, so every smaller call gets its own rule; the value is that of the fused function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["DECOMPOSITIONS"]


def glu(input: Tensor, dim: int = -1) -> Tensor:
    signal, gate = torch.chunk(input, 2, dim)
    return signal * torch.sigmoid(gate)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    return torch.add(input, tensor1 * tensor2, alpha=value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    return torch.add(input, tensor1 / tensor2, alpha=value)


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    return input * (1 - weight) + end * weight


def std(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return torch.sqrt(torch.var(input, *args, **kwargs))


def var_mean(input: Tensor, dim: Any = None, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    if isinstance(dim, bool):  # the second argument is `unbiased`
        dim, kwargs = None, {"correction": int(dim)}
    if "unbiased" in kwargs:
        kwargs["correction"] = int(kwargs.pop("unbiased"))
    keepdim = bool(args[1] if len(args) > 1 else kwargs.pop("keepdim", False))
    if args:
        kwargs["correction"] = int(args[0])
    axes = range(input.dim()) if dim is None else dim
    mean = torch.mean(input, tuple(axes) if not isinstance(axes, int) else axes, keepdim=keepdim)
    return torch.var(input, dim, keepdim=keepdim, **kwargs), mean


def std_mean(input: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    var, mean = torch.var_mean(input, *args, **kwargs)
    return torch.sqrt(var), mean


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    return torch.linalg.vector_norm(input - other, p)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = None) -> Tensor:
    return torch.linalg.vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, dim=-1)


def hypot(input: Tensor, other: Tensor) -> Tensor:
    return torch.sqrt(input.square() + other.square())


def xlogy(input: Tensor, other: Tensor) -> Tensor:
    return input * torch.log(torch.where(input == 0, 1.0, other))


def xlog1py(input: Tensor, other: Tensor) -> Tensor:
    return input * torch.log1p(torch.where(input == 0, 0.0, other))


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    return input / torch.linalg.vector_norm(input, p, dim, keepdim=True).clamp_min(eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    lengths = [torch.linalg.vector_norm(x, 2, dim, keepdim=True).clamp_min(eps) for x in (x1, x2)]
    return ((x1 / lengths[0]) * (x2 / lengths[1])).sum(dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    return torch.linalg.vector_norm(x1 - x2 + eps, p, dim=-1, keepdim=keepdim)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    # only a denominator is made of it
    square = F.pad(input.square().transpose(1, -1), (size // 2, (size - 1) // 2)).unfold(-1, size, 1)
    return input / (square.mean(-1).transpose(1, -1) * alpha + k) ** beta


DECOMPOSITIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(glu, addcmul, addcdiv, lerp, std, std_mean, var_mean, dist, cdist, hypot, xlogy, xlog1py),
        *(normalize, cosine_similarity, pairwise_distance, local_response_norm),
    )
}
"""Torch function name -> the same written out."""
