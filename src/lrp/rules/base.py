"""What every rule is: a small frozen value that says how an op call hands on the relevance it received.

Relevance travels as multipliers `m` (relevance per unit of activation), so the relevance of a tensor `t` is `t * m(t)`.
A rule belongs to one of five kinds, by what it does to the multiplier that arrives:

    Native          nothing: the gradient of the operation is the rule
    ArrivingRule    rescales the multiplier that arrives at the output; the operation stays native
    PointwiseRule   multiplies it by a factor per element (activations)
    LinearRule      rewrites how a linear operation hands it to its input
    InputRule       hands relevance itself, not a multiplier, to a source
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from torch import Tensor

from lrp.errors import CompositeError

__all__ = ["LINEAR", "SUMMING", "WEIGHTED", "Kept", "Native", "Rule", "stabiliser"]

WEIGHTED = frozenset({"linear", "conv"})
"""Families with weights: linear and matmul with one data operand; convolutions."""

SUMMING = frozenset({"sum", "pool", "reduce"})
"""Families that add up their data without weights: `a + b`, average pooling, mean and sum."""

LINEAR = WEIGHTED | SUMMING | {"norm"}
"""Families that are linear in the data (batch norm in eval up to its shift)."""

Kept = Mapping[str, Callable[[], Tensor]]
"""What an op call keeps, by kind of ledger row; a callable, so that it costs nothing when no books are kept."""


@dataclass(frozen=True)
class Rule:
    """How an op call hands on the relevance that arrives at its output."""

    families: ClassVar[frozenset[str]] = frozenset()
    """The families of operations that the rule is defined for."""

    kinds: ClassVar[tuple[str, ...]] = ()
    """The kinds of ledger rows it can write."""

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name):g}' for f in fields(self))})"


@dataclass(frozen=True)
class Native(Rule):
    """Base of the rules that are the gradient of the operation itself."""


def stabiliser(denominator: Tensor, epsilon: float) -> Tensor:
    """`epsilon * sign(denominator)` with `sign(0) = +1`, so that `denominator + stabiliser` is never zero.

    >>> import torch
    >>> stabiliser(torch.tensor([-2.0, 0.0, 3.0]), 0.5)
    tensor([-0.5000,  0.5000,  0.5000])
    """
    return (denominator >= 0).to(denominator.dtype).mul_(2).sub_(1).mul_(epsilon)


def check_epsilon(rule: str, epsilon: float) -> None:
    """Refuse an epsilon that is negative or not finite."""
    if not 0 <= epsilon < float("inf"):
        raise CompositeError(
            "epsilon must be a finite number of at least 0",
            where=f"rules.{rule}",
            seen=f"epsilon={epsilon!r}",
            cure=f"rules.{rule}(1e-6)",
        )
