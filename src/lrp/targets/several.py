"""Functions as targets, a part of a structured output, several at once, and what a user's argument means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lrp.engine.structure import describe
from lrp.errors import TargetError
from lrp.targets.base import PLAIN, Context, Target
from lrp.targets.classes import Class, Top

__all__ = ["At", "Call", "Several", "Start", "as_target", "pick"]


@dataclass(frozen=True)
class Call(Target):
    """Any function of what the model returned, giving `(N,)`; it runs like the model's last lines.

    Raises:
        TargetError: it does not give one floating number per sample.
    """

    function: Callable[[Any], Tensor]

    def pick(self, output: Any, context: Context = PLAIN) -> tuple[Tensor, None]:
        value = context.call(self.function, output)
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


@dataclass(frozen=True)
class At(Target):
    """A target in one part of a structured output.

    Args:
        path: keys, positions and attributes, joined by dots: `"logits"`, `"0"`, `"boxes.1"`.
        target: what is picked there: None (the top class), a class index or name, an integer tensor `(N,)`, a target
            or a function.

    Raises:
        TargetError: the path is no string, or the output has no such part.

    >>> At("scores.0", 1).explained({"scores": (torch.tensor([[1.0, 2.0]]), None)})
    tensor([2.])
    """

    path: str
    target: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str):
            raise TargetError(
                "the path to a part of the output is one string",
                where="targets.At",
                seen=repr(self.path),
                cure='keys, positions and attributes, joined by dots: "logits", "0", "boxes.1"',
            )
        target = as_target(self.target)
        if isinstance(target, Several):
            raise TargetError(
                "one part has one target",
                where=f"targets.At({self.path!r}, Several(...))",
                cure=f"targets.Several(targets.At({self.path!r}, a), targets.At({self.path!r}, b), ...)",
            )
        object.__setattr__(self, "target", target)

    def pick(self, output: Any, context: Context = PLAIN) -> tuple[Tensor, Tensor | None]:
        part = output
        for key in self.path.split("."):
            try:
                part = _part(part, key)
            except LookupError:
                raise TargetError(
                    f"the output has no part {self.path!r}",
                    where=str(self),
                    seen=describe(output),
                    cure="keys, positions and attributes, joined by dots",
                ) from None
        picked: tuple[Tensor, Tensor | None] = self.target.pick(part, context)
        return picked

    def __str__(self) -> str:
        return f"{self.target} in {self.path}"


def _part(structure: Any, key: str) -> Any:
    """One part of a structure by key, position or attribute.

    Raises:
        LookupError: there is none.
    """
    if isinstance(structure, Mapping):
        for known in structure:
            if str(known) == key:
                return structure[known]
    if isinstance(structure, (tuple, list)) and key.removeprefix("-").isdecimal():
        return structure[int(key)]
    if not isinstance(structure, Tensor) and not key.startswith("_") and hasattr(structure, key):
        part = getattr(structure, key)
        if not callable(part):
            return part
    raise LookupError(key)


class Several:
    """K targets from one forward pass and one batched backward pass.

    Every relevance, `explained`, `indices` (-1 where a target is no class) and the ledger get a leading axis K;
    `r.split()` gives one result per target. The numbers are those of K single explanations. The time is less, the
    memory of the backward pass K times as much.

    Args:
        targets: at least one: class indices and names, integer tensors `(N,)`, targets and functions.

    Raises:
        TargetError: there is none, or one of them is no target or a Several.

    >>> import lrp
    >>> r = lrp.explain(torch.nn.Linear(2, 3), torch.ones(4, 2), target=Several(0, Top(), lrp.targets.LogOdds(2)))
    >>> r.explained.shape, r.input.shape, r.ledger.residual.shape
    (torch.Size([3, 4]), torch.Size([3, 4, 2]), torch.Size([3]))
    """

    def __init__(self, *targets: Any) -> None:
        if not targets:
            raise TargetError(
                "several targets are at least one", where="targets.Several()", cure="targets.Several(0, 1)"
            )
        self.targets: tuple[Target, ...] = tuple(_single(target) for target in targets)

    def __str__(self) -> str:
        return "; ".join(str(target) for target in self.targets)

    def __repr__(self) -> str:
        return f"Several({', '.join(map(repr, self.targets))})"


def _single(target: Any) -> Target:
    found = as_target(target)
    if isinstance(found, Several):
        raise TargetError(
            "several targets within several", where=f"targets.Several(..., {target!r})", cure="one list of targets"
        )
    return found


@dataclass(frozen=True)
class Start:
    """Where relevance starts.

    Args:
        explained: the explained output with its graph, `(N,)`, or `(K, N)` for several targets.
        parts: the explained output of each target, `(N,)` each.
        indices: the class index per sample, shaped like `explained` (-1 where a target is no class), or None.
    """

    explained: Tensor
    parts: Sequence[Tensor]
    indices: Tensor | None


def pick(target: Target | Several, output: Any, context: Context) -> Start:
    """The explained output of one target, or of several side by side.

    Raises:
        TargetError: a target does not fit the output, or several targets do not have the same samples.
    """
    if isinstance(target, Target):
        part, index = target.pick(output, context)
        return Start(part, [part], index)
    chosen = [None] * len(target.targets) if context.chosen is None else context.chosen
    found = [
        single.pick(output, replace(context, chosen=index))
        for single, index in zip(target.targets, chosen, strict=True)
    ]
    parts, indices = [part for part, _ in found], [index for _, index in found]
    if len({part.shape for part in parts}) > 1:
        raise TargetError(
            "several targets are numbers of the same samples",
            where="targets.Several",
            seen="; ".join(f"{t}: {tuple(part.shape)}" for t, part in zip(target.targets, parts, strict=True)),
            cure="explain them one at a time",
        )
    none = torch.full_like(parts[0], -1, dtype=torch.long)
    together = torch.stack([none if index is None else index.long() for index in indices])
    return Start(torch.stack(parts), parts, None if all(index is None for index in indices) else together)


def as_target(target: Any) -> Target | Several:
    """The target a user's argument means.

    Raises:
        TargetError: it means none.
    """
    if target is None:
        return Top()
    if isinstance(target, (Target, Several)):
        return target
    if isinstance(target, str):
        return Class(target)
    if isinstance(target, (bool, list, tuple)):
        raise TargetError(
            f"a {type(target).__name__} is no target",
            seen=repr(target),
            cure="torch.tensor([...]) of shape (N,) for one class per sample; targets.Several(...) for several targets",
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
            cure="a class index or name, an integer tensor of shape (N,), a target from lrp.targets or a function",
        ) from None
