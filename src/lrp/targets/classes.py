"""Targets on outputs of shape `(N, C)`: the class axis is 1. `(N,)` and `(N, 1)` are the value itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrp.errors import TargetError
from lrp.targets.base import PLAIN, Context, Index, Target, at_index, class_indices, listed, plain_scores

__all__ = ["Class", "Difference", "LogOdds", "Top"]


@dataclass(frozen=True)
class Class(Target):
    """The output of one class, the same for all samples or one per sample.

    Args:
        index: a class index, a class name (with `labels=` on `explain`), or an integer tensor of shape `(N,)`.

    Raises:
        TargetError: there is no such class.

    >>> Class(1).explained(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([2., 4.])
    """

    index: Index

    def pick(self, output: Any, context: Context = PLAIN) -> tuple[Tensor, Tensor]:
        scores = plain_scores(output, context)
        indices = class_indices(self.index, scores, context)
        return at_index(scores, indices), indices

    def __str__(self) -> str:
        return f"class {listed(self.index)}"


@dataclass(frozen=True)
class Top(Target):
    """The class with the rank-th largest output, chosen per sample; the value itself where there is one output.

    Args:
        rank: 1 is the largest.

    Raises:
        TargetError: there are fewer classes than `rank`.

    >>> Top(2).explained(torch.tensor([[1.0, 2.0, 0.0], [3.0, 4.0, 5.0]]))
    tensor([1., 4.])
    """

    rank: int = 1

    def pick(self, output: Any, context: Context = PLAIN) -> tuple[Tensor, Tensor]:
        scores = plain_scores(output, context)
        if not 1 <= self.rank <= scores.shape[1]:
            raise TargetError(
                f"there is no class of rank {self.rank}",
                where=f"output of shape {tuple(scores.shape)}",
                cure=f"a rank from 1 to {scores.shape[1]}",
            )
        indices = context.chosen
        if indices is None:
            indices = scores.detach().topk(self.rank, dim=1).indices[:, -1]
        return at_index(scores, indices), indices

    def __str__(self) -> str:
        return "top class" if self.rank == 1 else f"class of rank {self.rank}"


@dataclass(frozen=True)
class Difference(Target):
    """The output of class `a` minus that of class `b`: what speaks for `a` rather than for `b`.

    Args:
        a, b: a class index, a class name, or an integer tensor of shape `(N,)`, each.

    Raises:
        TargetError: there is no such class.

    >>> Difference(1, 0).explained(torch.tensor([[1.0, 3.0]]))
    tensor([2.])
    """

    a: Index
    b: Index

    def pick(self, output: Any, context: Context = PLAIN) -> tuple[Tensor, None]:
        return Class(self.a).pick(output, context)[0] - Class(self.b).pick(output, context)[0], None

    def __str__(self) -> str:
        return f"class {listed(self.a)} minus class {listed(self.b)}"


@dataclass(frozen=True)
class LogOdds(Target):
    """The log odds of one class against all others: what speaks for it rather than for any other.

    `z_k - log sum_{j != k} exp(z_j)`, which is `log(p_k / (1 - p_k))` of the softmax. For two classes it is
    `Difference`, for one output the value itself. It is a function of the logits, so a final softmax or sigmoid is
    stepped over in any case. The entropy of the softmax over the other classes stays in the ledger, as `softmax`.

    Args:
        index: a class index, a class name, or an integer tensor of shape `(N,)`.

    Raises:
        TargetError: there is no such class.

    >>> LogOdds(1).explained(torch.tensor([[0.0, 3.0], [0.0, 1.0]]))
    tensor([3., 1.])
    """

    index: Index

    def pick(self, output: Any, context: Context = PLAIN) -> tuple[Tensor, None]:
        scores = plain_scores(output, context, logits=True)
        indices = class_indices(self.index, scores, context)
        score = at_index(scores, indices)
        if scores.shape[1] == 1:
            return score, None
        others = torch.arange(scores.shape[1] - 1, device=scores.device)
        others = others + (others >= indices.unsqueeze(1))
        others = scores.gather(1, others)
        log_sum = others[:, 0] - torch.log_softmax(others, 1)[:, 0]
        return score - log_sum, None

    def __str__(self) -> str:
        return f"log odds of class {listed(self.index)}"
