"""Reductions for kept layers: `keep={"layer4*": lrp.channels}`."""

from __future__ import annotations

from torch import Tensor

__all__ = ["channels", "total"]


def channels(relevance: Tensor) -> Tensor:
    """Relevance per channel: `(N, C, ...)` summed over all axes after the channels, `(N, C)`.

    >>> import torch
    >>> channels(torch.ones(2, 3, 4, 4)).shape
    torch.Size([2, 3])
    """
    return relevance.flatten(2).sum(2) if relevance.dim() > 2 else relevance


def total(relevance: Tensor) -> Tensor:
    """Relevance per sample: `(N, ...)` summed over all other axes, `(N,)`.

    >>> import torch
    >>> total(torch.ones(2, 3, 4, 4))
    tensor([48., 48.])
    """
    return relevance.flatten(1).sum(1) if relevance.dim() > 1 else relevance
