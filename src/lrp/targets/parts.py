"""Targets on outputs with more axes: a token of a text, a region of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrp.engine.structure import describe
from lrp.errors import TargetError
from lrp.targets.base import PLAIN, Context, Index, Target, at_index, class_indices, listed, scores_in

__all__ = ["Region", "Token"]


@dataclass(frozen=True)
class Token(Target):
    """One entry of the vocabulary at one position of an output `(N, T, V)`.

    Args:
        position: which of the tokens that the attention mask among the inputs keeps (all of them where there is no
            `attention_mask`, or, beside inputs of a decoder, no `decoder_attention_mask`), from 0, or from the end if
            negative: -1 is the last. An integer tensor `(N,)` has one position per sample. Padding on either side does
            not count.
        token: the entry of the vocabulary; an integer tensor `(N,)` has one per sample. None: the top one there.

    Raises:
        TargetError: the output has no such axes, position or entry, or the mask does not fit it.

    >>> Token(0, 1).explained(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([2.])
    >>> Token().explained(torch.tensor([[[1.0, 2.0], [4.0, 3.0]]]))
    tensor([4.])
    """

    position: int | Tensor = -1
    token: int | Tensor | None = None

    def pick(self, output: Any, context: Context = PLAIN) -> tuple[Tensor, Tensor]:
        scores = scores_in(output, context)
        if scores.dim() != 3:
            raise TargetError(
                "a token is picked out of an output of samples, positions and vocabulary, (N, T, V)",
                where=str(self),
                seen=describe(scores),
                cure="a class index for (N, C), targets.Region(mask, class) for (N, C, *spatial)",
            )
        positions = self._positions(scores, context.mask).view(-1, 1, 1).expand(-1, 1, scores.shape[2])
        there = scores.gather(1, positions).squeeze(1)
        if self.token is not None:
            tokens = class_indices(self.token, there, context)
        else:
            tokens = there.detach().argmax(1) if context.chosen is None else context.chosen
        return at_index(there, tokens), tokens

    def _positions(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        """The place on the axis of positions, `(N,)`."""
        n, length = scores.shape[:2]
        if mask is None:
            kept = torch.ones(n, length, dtype=torch.bool, device=scores.device)
        elif tuple(mask.shape) == (n, length):
            kept = mask.to(scores.device) != 0
        else:
            raise TargetError(
                "the attention mask does not say which positions of the output are kept",
                where=str(self),
                seen=f"attention_mask {tuple(mask.shape)}, output {tuple(scores.shape)}",
                cure="a mask of shape (N, T), or a function as target: target=lambda output: output[:, -1, 3]",
            )
        counts = kept.sum(1)
        position = torch.as_tensor(self.position, device=scores.device)
        whole = not (position.is_floating_point() or position.is_complex() or position.dtype == torch.bool)
        if not whole or (position.dim() > 0 and tuple(position.shape) != (n,)):
            raise TargetError(
                "a position is an integer, or an integer tensor with one for each sample",
                where=str(self),
                seen=f"{describe(position)}, {n} samples",
                cure=f"an integer tensor of shape ({n},)",
            )
        rank = position + counts * (position < 0)
        outside = (rank < 0) | (rank >= counts)
        if bool(outside.any()):
            sample = int(outside.nonzero()[0])
            raise TargetError(
                f"there is no position {int(position.expand(n)[sample])}",
                where=f"{self}, sample {sample}",
                seen=f"{int(counts[sample])} of {length} tokens kept",
                cure="a position within the tokens that the attention mask keeps",
            )
        # the rank-th kept token is where the count of kept tokens first exceeds rank
        return (kept.cumsum(1) > rank.unsqueeze(1)).to(torch.int8).argmax(1)

    def __str__(self) -> str:
        what = "top token" if self.token is None else f"token {listed(self.token)}"
        return f"{what} at position {listed(self.position)}"


@dataclass(frozen=True)
class Region(Target):
    """One class of an output `(N, C, *spatial)`, summed over a region: `sum_p mask_p z_{k, p}`.

    It is the sum, not the mean, so relevance adds up over regions; divide the mask by its sum for the mean.

    Args:
        mask: which positions, boolean, or their weights, floating; it broadcasts to the spatial axes, and with one
            axis more, `(N, *spatial)`, has one region per sample.
        index: a class index, a class name (with `labels=` on `explain`), or an integer tensor of shape `(N,)`.

    Raises:
        TargetError: the mask does not fit the output, is empty or not finite; there is no such class.

    >>> mask = torch.tensor([[True, False], [True, False]])
    >>> Region(mask, 0).explained(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    tensor([4.])
    """

    mask: Tensor
    index: Index

    def pick(self, output: Any, context: Context = PLAIN) -> tuple[Tensor, Tensor]:
        scores = scores_in(output, context)
        if scores.dim() < 3:
            raise TargetError(
                "a region is picked out of an output of samples, classes and space, (N, C, *spatial)",
                where=str(self),
                seen=describe(scores),
                cure="a class index for (N, C)",
            )
        indices = class_indices(self.index, scores, context)
        where = indices.view(-1, *[1] * (scores.dim() - 1)).expand(-1, 1, *scores.shape[2:])
        return (scores.gather(1, where).squeeze(1) * self._weights(scores)).flatten(1).sum(1), indices

    def _weights(self, scores: Tensor) -> Tensor:
        """The weights of the positions, broadcast to `(N, *spatial)`."""
        mask = torch.as_tensor(self.mask, device=scores.device)
        shape = (scores.shape[0], *scores.shape[2:])
        try:
            weights = mask.detach().to(scores.dtype).broadcast_to(shape)
        except RuntimeError:
            raise TargetError(
                "the mask does not fit the spatial axes of the output",
                where=str(self),
                seen=f"mask {tuple(mask.shape)}, output {tuple(scores.shape)}",
                cure=f"a mask of shape {shape[1:]} for all samples, or {shape}",
            ) from None
        sizes = weights.flatten(1).abs().sum(1)
        if not bool(torch.isfinite(sizes).all()) or not bool((sizes > 0).all()):
            sample = int((~(torch.isfinite(sizes) & (sizes > 0))).nonzero()[0])
            raise TargetError(
                "the region is empty or its weights are not finite",
                where=f"{self}, sample {sample}",
                seen=f"weights that sum to {float(sizes[sample]):g}",
                cure="a mask with at least one position in each sample",
            )
        return weights

    def __str__(self) -> str:
        return f"class {listed(self.index)} in a region"
