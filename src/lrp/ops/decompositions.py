"""Operations written out as smaller ones, each as the same function of its arguments.

They run under the function mode, so every smaller call gets its own rule; the value is that of the fused function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ADDITIONS", "DECOMPOSITIONS"]


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


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """A lookup, and sums, means or maxima over the members of each bag; a bag of one dimension less is padded first."""
    inside = torch.ones_like(input, dtype=torch.bool)
    if input.dim() == 1 and offsets is not None:
        starts = offsets[:-1] if include_last_offset else offsets
        ends = offsets[1:] if include_last_offset else torch.cat([offsets[1:], offsets.new_tensor([len(input)])])
        steps = torch.arange(max(1, int((ends - starts).max())), device=input.device)
        inside = steps < (ends - starts)[:, None]
        index = (starts[:, None] + steps).clamp(max=len(input) - 1)
        input = input[index]
        per_sample_weights = None if per_sample_weights is None else per_sample_weights[index]
    if padding_idx is not None:
        inside = inside & (input != padding_idx % len(weight))
    vectors = F.embedding(input, weight, max_norm=max_norm, norm_type=norm_type)
    if per_sample_weights is not None:
        vectors = vectors * per_sample_weights[..., None]
    members = inside.sum(1)[:, None]
    if mode == "max":
        found = vectors.masked_fill(~inside[..., None], -torch.inf).max(1).values
        return found.masked_fill(members == 0, 0)
    total = vectors.masked_fill(~inside[..., None], 0).sum(1)
    return total / members.clamp(min=1) if mode == "mean" else total


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """From left to right, in the place of the order that is cheapest."""
    return reduce(torch.matmul, tensors)


def matrix_power(input: Tensor, n: int) -> Tensor:
    if n == 0:
        return torch.eye(input.shape[-1], dtype=input.dtype, device=input.device).expand(input.shape)
    return reduce(torch.matmul, [input if n > 0 else torch.linalg.inv(input)] * abs(n))


def polar(abs: Tensor, angle: Tensor) -> Tensor:
    # torch's own gradient takes a negative `abs` for its absolute value
    return torch.complex(abs * torch.cos(angle), abs * torch.sin(angle))


def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    return torch.channel_shuffle(input, groups)


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    others = [axis for axis in range(input.dim()) if axis != dim % input.dim()]
    size = torch.linalg.vector_norm(input, p, others, keepdim=True)
    return torch.where(size > maxnorm, input * maxnorm / (size + 1e-7), input)


def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    x = torch.atleast_2d(input)
    ones = torch.ones(x.shape[1], dtype=x.dtype.to_real(), device=x.device)
    a = ones if aweights is None else aweights * ones
    weights = a if fweights is None else a * fweights
    total = weights.sum()
    centred = x - (x * weights).sum(1, keepdim=True) / total
    degrees = torch.clamp(total - correction * (weights * a).sum() / total, min=0)
    return ((centred * weights) @ centred.mH / degrees).squeeze()


def corrcoef(input: Tensor) -> Tensor:
    covariance = torch.cov(input)
    if covariance.dim() == 0:
        return covariance / covariance
    deviation = torch.diagonal(covariance).real.sqrt()
    return covariance / deviation.unsqueeze(1) / deviation


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def ldexp(input: Tensor, other: Tensor) -> Tensor:
    return input * torch.pow(2.0, other)


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    if not input.dim():
        return input.clone()
    x = input.movedim(dim, -1)
    later = torch.ones(x.shape[-1], x.shape[-1], dtype=torch.bool, device=x.device).triu(1)
    rows = x.unsqueeze(-2).expand(*x.shape[:-1], *later.shape).masked_fill(later, -torch.inf)
    return torch.logsumexp(rows, -1).movedim(-1, dim)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    count = x.shape[-1] if N is None else N
    return torch.stack([torch.ones_like(x) if power == 0 else x**power for power in range(count)], -1)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    one, other = torch.triu_indices(len(input), len(input), 1, device=input.device)
    return torch.linalg.vector_norm(input[one] - input[other], p, dim=-1)


def _pack_padded_sequence(input: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    """The elements of all sequences, step by step, and how many each step has; lengths do not increase."""
    x = input.transpose(0, 1) if batch_first else input
    inside = torch.arange(x.shape[0]).unsqueeze(1) < lengths
    sizes = inside.sum(1)
    rows = inside.flatten().nonzero().squeeze(1).to(x.device)
    return x.flatten(0, 1).index_select(0, rows), sizes[sizes > 0]


def _pad_packed_sequence(
    data: Tensor, batch_sizes: Tensor, batch_first: bool, padding_value: float, total_length: int
) -> tuple[Tensor, Tensor]:
    sizes = F.pad(batch_sizes, (0, max(0, total_length - batch_sizes.shape[0])))
    inside = torch.arange(int(sizes[0])) < sizes.unsqueeze(1)
    rows = (inside.flatten().cumsum(0) - 1).to(data.device)
    picked = data.index_select(0, rows).unflatten(0, inside.shape)
    there = inside.to(data.device).reshape(*inside.shape, *[1] * (data.dim() - 1))
    padded = torch.where(there, picked, padding_value)
    return padded.transpose(0, 1) if batch_first else padded, inside.sum(0)


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    longest = max(sequence.shape[0] for sequence in sequences)

    def padded(sequence: Tensor) -> Tensor:
        missing = longest - sequence.shape[0]
        ends = (0, missing) if padding_side == "right" else (missing, 0)
        return F.pad(sequence, [0, 0] * (sequence.dim() - 1) + list(ends), value=padding_value)

    return torch.stack([padded(sequence) for sequence in sequences], 0 if batch_first else 1)


def _lp_pool(axes: int, x: Tensor, p: float, size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    """`z = (sum x^p)^(1/p) = sum x w` with `w = x^(p-1) / z^(p-1)`: by Euler's theorem `w` is its gradient.

    Torch's own is no number where `z = 0`; there is no relevance to hand on there.
    """
    maximum = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[axes - 1]
    mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[axes - 1]
    if math.isinf(p):
        sign = 1 if p > 0 else -1
        return sign * maximum(sign * x.abs(), size, stride, 0, 1, ceil_mode)
    count = size**axes if isinstance(size, int) else math.prod(size)
    weight = x.detach() ** (p - 1)
    total = count * mean(x * weight, size, stride, 0, ceil_mode)
    z = total.detach() ** (1 / p)
    return total / torch.where(z == 0, 1.0, z ** (p - 1))


def _sparse_addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return beta * input + alpha * torch.sparse.mm(mat1, mat2)


DECOMPOSITIONS: dict[str, Callable[..., Any]] = {
    **{
        function.__name__: function
        for function in (
            *(glu, addcmul, addcdiv, lerp, std, std_mean, var_mean, dist, cdist, hypot, xlogy, xlog1py),
            *(ldexp, logcumsumexp, pdist, polar, native_channel_shuffle, renorm, cov, corrcoef),
            *(lp_pool1d, lp_pool2d, lp_pool3d, _pack_padded_sequence, _pad_packed_sequence, pad_sequence),
            *(normalize, cosine_similarity, pairwise_distance, local_response_norm, embedding_bag, matrix_power),
            _sparse_addmm,
        )
    },
    "linalg_matrix_power": matrix_power,
    "linalg_vander": vander,
    "linalg_multi_dot": multi_dot,
    "chain_matmul": lambda *matrices: multi_dot(matrices),
}
"""Torch function name -> the same written out."""


def linear(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(input, weight) + bias


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.bilinear(input1, input2, weight) + bias


def _convolution(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def written_out(input: Tensor, weight: Tensor, bias: Tensor, *rest: Any, **options: Any) -> Tensor:
        return function(input, weight, None, *rest, **options) + bias.view(-1, *[1] * (weight.dim() - 2))

    return written_out


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    return torch.conv_tbc(input, weight, torch.zeros_like(bias), pad) + bias


def _added(product: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`beta * input + alpha * (a @ b)`; with a beta of 0 the input does not matter, even where it is NaN."""

    def written_out(input: Tensor, *factors: Tensor, beta: float = 1, alpha: float = 1, **named: Tensor) -> Tensor:
        multiplied = product(*factors, **named)
        scaled = multiplied if alpha == 1 else multiplied * alpha
        return torch.add(scaled, input, alpha=beta) if beta != 0 else scaled

    return written_out


_PRODUCT_OF: dict[str, Callable[..., Tensor]] = {
    "addmm": lambda mat1, mat2: torch.mm(mat1, mat2),
    "addmv": lambda mat, vec: torch.mv(mat, vec),
    "addr": lambda vec1, vec2: torch.outer(vec1, vec2),
    "addbmm": lambda batch1, batch2: torch.bmm(batch1, batch2).sum(0),
    "baddbmm": lambda batch1, batch2: torch.bmm(batch1, batch2),
}

ADDITIONS: dict[str, Callable[..., Any]] = {
    **{function.__name__: function for function in (linear, bilinear, conv_tbc)},
    **{name: _added(product) for name, product in _PRODUCT_OF.items()},
    **{
        function.__name__: _convolution(function)
        for function in (
            *(torch.conv1d, torch.conv2d, torch.conv3d),
            *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
            *(torch.convolution, torch._convolution),
        )
    },
}
"""Torch function name -> a linear operation and what is added to it, apart: used where the added operand is data."""
