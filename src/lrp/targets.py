"""Targets: where relevance starts.

A target picks one number per sample out of what the model returned. On an output of shape `(N, C)` the class axis is 1;
an output of shape `(N,)` or `(N, 1)` is the value itself, whatever its sign.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrp.engine.structure import describe
from lrp.errors import TargetError

__all__ = ["Call", "Class", "Difference", "Target", "Top", "as_target"]


class Target:
    """Picks one number per sample out of what the model returned."""

    takes_logits = True
    """Whether it means the input of a final sigmoid or softmax unless `through_output` is set."""

    def pick(self, output: Any) -> tuple[Tensor, Tensor | None]:
        """The explained output, `(N,)`, and the class index chosen per sample, `(N,)`, or None where it is not one."""
        raise NotImplementedError

    def explained(self, output: Any) -> Tensor:
        """The explained output alone, `(N,)`."""
        return self.pick(output)[0]


@dataclass(frozen=True)
class Class(Target):
    """The output of one class, the same for all samples or one per sample.

    Args:
        index: a class index, or an integer tensor of shape `(N,)`.

    Raises:
        TargetError: an index is not within the class axis.

    >>> Class(1).explained(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([2., 4.])
    """

    index: int | Tensor

    def pick(self, output: Any) -> tuple[Tensor, Tensor]:
        scores = _scores(output)
        n, classes = scores.shape
        index = torch.as_tensor(self.index, device=scores.device)
        if index.dim() > 0 and tuple(index.shape) != (n,):
            raise TargetError(
                "per-sample class indices need one index per sample",
                where=f"target of shape {tuple(index.shape)}",
                seen=f"{n} samples",
                cure=f"an integer tensor of shape ({n},)",
            )
        if index.numel() and (int(index.min()) < -classes or int(index.max()) >= classes):
            raise TargetError(
                f"the target is out of range: {_listed(index)}",
                where=f"output of shape {tuple(scores.shape)}",
                seen=f"{classes} class{'es' if classes > 1 else ''}",
                cure=f"an index from 0 to {classes - 1}",
            )
        indices = index.expand(n) % classes
        return _at(scores, indices), indices

    def __str__(self) -> str:
        return f"class {_listed(torch.as_tensor(self.index))}"


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

    def pick(self, output: Any) -> tuple[Tensor, Tensor]:
        scores = _scores(output)
        if not 1 <= self.rank <= scores.shape[1]:
            raise TargetError(
                f"there is no class of rank {self.rank}",
                where=f"output of shape {tuple(scores.shape)}",
                cure=f"a rank from 1 to {scores.shape[1]}",
            )
        indices = scores.detach().topk(self.rank, dim=1).indices[:, -1]
        return _at(scores, indices), indices

    def __str__(self) -> str:
        return "top class" if self.rank == 1 else f"class of rank {self.rank}"


@dataclass(frozen=True)
class Difference(Target):
    """The output of class `a` minus that of class `b`: what speaks for `a` rather than for `b`.

    Raises:
        TargetError: an index is not within the class axis.

    >>> Difference(1, 0).explained(torch.tensor([[1.0, 3.0]]))
    tensor([2.])
    """

    a: int
    b: int

    def pick(self, output: Any) -> tuple[Tensor, None]:
        return Class(self.a).explained(output) - Class(self.b).explained(output), None

    def __str__(self) -> str:
        return f"class {self.a} minus class {self.b}"


@dataclass(frozen=True)
class Call(Target):
    """Any function of what the model returned, giving `(N,)`; it runs like the model's last lines.

    Raises:
        TargetError: it does not give one floating number per sample.
    """

    function: Callable[[Any], Tensor]

    takes_logits = False

    def pick(self, output: Any) -> tuple[Tensor, None]:
        value = self.function(output)
        if not isinstance(value, Tensor) or value.dim() != 1 or not value.is_floating_point():
            raise TargetError(
                "a target function gives one number per sample, a floating tensor of shape (N,)",
                where=str(self),
                seen=describe(value),
                cure="for example lambda output: output[:, 3]",
            )
        return value, None

    def __str__(self) -> str:
        return f"function {getattr(self.function, '__name__', self.function)}"


def as_target(target: Any) -> Target:
    """The target a user's argument means.

    Raises:
        TargetError: it means none.
    """
    if target is None:
        return Top()
    if isinstance(target, Target):
        return target
    if isinstance(target, (bool, list, tuple)):
        raise TargetError(
            f"a {type(target).__name__} is no target",
            seen=repr(target),
            cure="torch.tensor([...]) of shape (N,) for one class per sample; call explain once for each of several "
            "targets",
        )
    if isinstance(target, Tensor):
        if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool or target.dim() > 1:
            raise TargetError(
                "a target tensor holds class indices, one per sample",
                seen=describe(target),
                cure="an integer tensor of shape (N,)",
            )
        return Class(target)
    if callable(target):
        return Call(target)
    try:
        return Class(int(target.__index__()))
    except AttributeError:
        raise TargetError(
            f"a {type(target).__name__} is no target",
            seen=repr(target),
            cure="a class index, an integer tensor of shape (N,), a target from lrp.targets or a function",
        ) from None


def _scores(output: Any) -> Tensor:
    """The class scores `(N, C)` in what the model returned."""
    if isinstance(output, Mapping) and "logits" in output:
        output = output["logits"]
    elif not isinstance(output, Tensor) and isinstance(getattr(output, "logits", None), Tensor):
        output = output.logits
    if not isinstance(output, Tensor):
        raise TargetError(
            "the model returned more than a tensor, and the target does not say which number to explain",
            seen=describe(output),
            cure="a function as target, for example target=lambda output: output[0][:, 3]",
        )
    if not output.is_floating_point():
        raise TargetError("the output is not a floating tensor", seen=describe(output), cure="a function as target")
    if output.dim() == 0:
        raise TargetError(
            "the output is one number without an axis of samples",
            seen=describe(output),
            cure="target=lambda output: output.reshape(1), for one explanation of the whole batch",
        )
    if output.dim() == 1:
        return output.unsqueeze(1)
    if output.dim() != 2:
        raise TargetError(
            "the output has more axes than samples and classes, and the target does not say which number to explain",
            seen=describe(output),
            cure="a function as target that gives (N,), for example target=lambda output: output[:, 3].mean((1, 2))",
        )
    return output


def _at(scores: Tensor, indices: Tensor) -> Tensor:
    return scores.gather(1, indices.unsqueeze(1)).squeeze(1)


def _listed(index: Tensor) -> str:
    numbers = index.reshape(-1).tolist()
    shown = ", ".join(str(number) for number in numbers[:8])
    return shown + (", ..." if len(numbers) > 8 else "")
