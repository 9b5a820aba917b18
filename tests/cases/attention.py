"""Attention in the spellings that models have it in, and what to attend with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lrp.ops.attention import scaled_dot_product_attention
from tests.cases.networks import signed

Attention = Callable[..., Tensor]
"""A function of queries, keys and values `(N, heads, length, width)`, and of what is added to the scores."""

QUERIES, KEYS = 4, 5
Q, K, V = (signed(2, 3, length, 4, seed=80 + i) for i, length in enumerate((QUERIES, KEYS, KEYS)))
SCALE = 1 / math.sqrt(Q.size(-1))
M = signed(2, 3, QUERIES, 4, seed=84)
"""A multiplier for each output."""

BIAS = signed(3, QUERIES, KEYS, seed=85)
SEEN = torch.ones(QUERIES, KEYS, dtype=torch.bool).tril(1)
SEEN[1, 0] = False
BLIND = SEEN.clone()
BLIND[2] = False
LOWEST = torch.finfo(torch.float64).min


def added(seen: Tensor, value: float) -> Tensor:
    """A mask of booleans as one that is added."""
    return torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, value)


def explained(z: Tensor) -> Tensor:
    """A scalar per sample, with another multiplier for each element."""
    return (z * M).sum((1, 2, 3))


def _scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-2, -1) * SCALE


def matmul(q: Tensor, k: Tensor, v: Tensor, bias: Any = 0) -> Tensor:
    return torch.softmax(_scores(q, k) + bias, -1) @ v


def scaled_before(q: Tensor, k: Tensor, v: Tensor, bias: Any = 0) -> Tensor:
    return torch.matmul(F.softmax((q * SCALE).matmul(k.mT) + bias, dim=-1), v)


def scaled_both(q: Tensor, k: Tensor, v: Tensor, bias: Any = 0) -> Tensor:
    root = math.sqrt(SCALE)
    return F.dropout((bias + (q * root) @ (k * root).mT).softmax(-1), 0.3, False) @ v


def divided(q: Tensor, k: Tensor, v: Tensor, bias: Any = 0) -> Tensor:
    scores = torch.matmul(q, k.permute(0, 1, 3, 2))
    scores = scores / math.sqrt(q.size(-1))
    scores += bias
    return torch.matmul(scores.softmax(dim=-1), v)


def einsum(q: Tensor, k: Tensor, v: Tensor, bias: Any = 0) -> Tensor:
    weights = torch.softmax(torch.einsum("nhqd,nhkd->nhqk", q, k) * SCALE + bias, 3)
    return torch.einsum("nhqk,nhkd->nhqd", weights, v)


def keys_first(q: Tensor, k: Tensor, v: Tensor, bias: Any = 0) -> Tensor:
    turned = bias.mT if isinstance(bias, Tensor) else bias
    weights = torch.softmax(k @ q.mT * SCALE + turned, -2)
    return (v.mT @ weights).mT


def bmm(q: Tensor, k: Tensor, v: Tensor, bias: Any = 0) -> Tensor:
    flat = [t.reshape(-1, *t.shape[2:]) for t in (q, k, v)]
    whole = torch.as_tensor(bias, dtype=q.dtype).expand(*q.shape[:3], k.size(2)).reshape(-1, q.size(2), k.size(2))
    weights = torch.softmax(torch.bmm(flat[0], flat[1].transpose(1, 2)) * SCALE + whole, -1)
    return torch.bmm(weights, flat[2]).view(q.shape)


def baddbmm(q: Tensor, k: Tensor, v: Tensor, bias: Any = 0) -> Tensor:
    flat = [t.reshape(-1, *t.shape[2:]) for t in (q, k, v)]
    whole = torch.as_tensor(bias, dtype=q.dtype).expand(*q.shape[:3], k.size(2)).reshape(-1, q.size(2), k.size(2))
    scores = torch.baddbmm(whole, flat[0], flat[1].transpose(1, 2), beta=1, alpha=SCALE)
    return torch.bmm(F.softmax(scores, 2), flat[2]).view(q.shape)


def head_by_head(q: Tensor, k: Tensor, v: Tensor, bias: Any = 0) -> Tensor:
    biases = torch.as_tensor(bias, dtype=q.dtype).expand(q.size(1), q.size(2), k.size(2))
    heads = zip(q.unbind(1), k.unbind(1), v.unbind(1), biases, strict=True)
    return torch.stack([torch.softmax(_scores(a, b) + d, -1) @ c for a, b, c, d in heads], 1)


def fused(q: Tensor, k: Tensor, v: Tensor, bias: Any = None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, bias)


SPELLINGS: dict[str, Attention] = {
    function.__name__: function
    for function in (
        *(matmul, scaled_before, scaled_both, divided, einsum, keys_first, bmm, baddbmm, head_by_head),
        scaled_dot_product_attention,
    )
}
"""Attention written out."""
