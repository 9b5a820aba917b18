"""What every target is, and how one finds scores and class indices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrp.engine.structure import describe, first_part
from lrp.errors import TargetError, nearest

__all__ = ["Context", "Index", "Target", "at_index", "class_indices", "listed", "plain_scores", "scores_in"]

Index = int | str | Tensor
"""A class: its index, its name, or an integer tensor of shape `(N,)` with one index per sample."""


@dataclass(frozen=True)
class Context:
    """What a target may read beside what the model returned.

    Args:
        labels: the names of the classes.
        mask: the attention mask among the inputs, `(N, T)`.
        through_output: explain what came out of a final sigmoid or softmax.
        logit: what went into the final sigmoid or softmax that a tensor came out of; the tensor itself elsewhere.
        call: calls a user's function with what the model returned; its operations get the rules of the model's.
        chosen: the indices chosen by an earlier forward pass, `(N,)`, which are then not chosen again.
    """

    labels: Sequence[str] = ()
    mask: Tensor | None = None
    through_output: bool = False
    logit: Callable[[Tensor], Tensor] = lambda tensor: tensor
    call: Callable[[Callable[[Any], Any], Any], Any] = lambda function, output: function(output)
    chosen: Tensor | None = None


PLAIN = Context()


class Target:
    """Picks one number per sample out of what the model returned."""

    def pick(self, output: Any, context: Context = PLAIN) -> tuple[Tensor, Tensor | None]:
        """The explained output, `(N,)`, and the class index chosen per sample, `(N,)`, or None where it is not one."""
        raise NotImplementedError

    def explained(self, output: Any) -> Tensor:
        """The explained output alone, `(N,)`."""
        return self.pick(output)[0]


def scores_in(output: Any, context: Context, *, logits: bool = False) -> Tensor:
    """The scores in what the model returned: its one tensor, or its `logits`.

    Args:
        output: what the model returned.
        context: says whether a final sigmoid or softmax is stepped over.
        logits: step over it in any case.

    Raises:
        TargetError: there are none, or it is not said which.
    """
    if isinstance(output, Mapping) and "logits" in output:
        output = output["logits"]
    elif not isinstance(output, Tensor) and isinstance(getattr(output, "logits", None), Tensor):
        output = output.logits
    if not isinstance(output, Tensor):
        raise TargetError(
            "the model returned more than a tensor, and the target does not say which number to explain",
            seen=describe(output),
            cure=f'targets.At("{first_part(output)}", target) names a part; or a function that gives (N,)',
        )
    if not output.is_floating_point():
        raise TargetError("the output is not a floating tensor", seen=describe(output), cure="a function as target")
    if output.dim() == 0:
        raise TargetError(
            "the output is one number without an axis of samples",
            seen=describe(output),
            cure="target=lambda output: output.reshape(1), for one explanation of the whole batch",
        )
    return output if context.through_output and not logits else context.logit(output)


def plain_scores(output: Any, context: Context, *, logits: bool = False) -> Tensor:
    """The class scores `(N, C)`; an output `(N,)` has one class."""
    scores = scores_in(output, context, logits=logits)
    if scores.dim() == 1:
        return scores.unsqueeze(1)
    if scores.dim() != 2:
        raise TargetError(
            "the output has more axes than samples and classes, and the target does not say which number to explain",
            seen=describe(scores),
            cure="targets.Region(mask, class) for (N, C, *spatial), targets.Token(position) for (N, T, V), or a "
            "function as target that gives (N,), for example target=lambda output: output[:, 3].mean((1, 2))",
        )
    return scores


def class_indices(index: Index, scores: Tensor, context: Context) -> Tensor:
    """The index on the class axis of `scores`, axis 1, per sample, `(N,)`.

    Raises:
        TargetError: no such class, or not one index per sample.
    """
    n, classes = scores.shape[:2]
    if isinstance(index, str):
        index = _named(index, context.labels, classes)
    index = torch.as_tensor(index, device=scores.device)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise TargetError("a class index is an integer", seen=describe(index), cure="an integer tensor of shape (N,)")
    if index.dim() > 0 and tuple(index.shape) != (n,):
        raise TargetError(
            "per-sample class indices need one index per sample",
            where=f"target of shape {tuple(index.shape)}",
            seen=f"{n} samples",
            cure=f"an integer tensor of shape ({n},)",
        )
    if index.numel() and (int(index.min()) < -classes or int(index.max()) >= classes):
        raise TargetError(
            f"the target is out of range: {listed(index)}",
            where=f"output of shape {tuple(scores.shape)}",
            seen=f"{classes} class{'es' if classes > 1 else ''}",
            cure=f"an index from 0 to {classes - 1}",
        )
    return index.expand(n) % classes


def _named(name: str, labels: Sequence[str], classes: int) -> int:
    """The index of the class of this name; upper and lower case count as one where that leaves one class."""
    if not labels:
        raise TargetError(
            "a class name needs the names of all classes",
            seen=f"target {name!r}",
            cure='lrp.explain(..., labels=["cat", "dog", ...]), in the order of the class axis',
        )
    if len(labels) != classes:
        raise TargetError(
            "there is not one label for each class",
            where="labels",
            seen=f"{len(labels)} labels, {classes} classes",
            cure="the names of all classes, in the order of the class axis",
        )
    found = [i for i, label in enumerate(labels) if label == name]
    found = found or [i for i, label in enumerate(labels) if label.lower() == name.lower()]
    if not found:
        raise TargetError(f"there is no class {name!r}", where="labels", cure=nearest(name, labels))
    if len(found) > 1:
        raise TargetError(
            f"the name {name!r} means several classes",
            where="labels",
            seen=", ".join(f"{i}: {labels[i]}" for i in found),
            cure=f"the index, for example target={found[0]}",
        )
    return found[0]


def at_index(scores: Tensor, indices: Tensor) -> Tensor:
    """One score per sample out of `(N, C)`."""
    return scores.gather(1, indices.unsqueeze(1)).squeeze(1)


def listed(index: Index) -> str:
    """A class or the classes of all samples, in words."""
    if isinstance(index, str):
        return index
    numbers = torch.as_tensor(index).reshape(-1).tolist()
    shown = ", ".join(str(number) for number in numbers[:8])
    return shown + (", ..." if len(numbers) > 8 else "")
