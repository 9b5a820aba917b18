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
from typing import Any, ClassVar

import torch
from torch import Tensor

from lrp.errors import CompositeError

__all__ = ["LINEAR", "SUMMING", "WEIGHTED", "Kept", "Native", "Rule", "share", "sign", "stabiliser"]

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

    def fits(self, family: str) -> bool:
        """Whether the rule is defined for op calls of a family; `""` is that of calls without a line in the table."""
        return family in self.families

    def __str__(self) -> str:
        parameters = {field.name: getattr(self, field.name) for field in fields(self)}
        shown = (f"{name}={in_words(value)}" for name, value in parameters.items() if value is not False)
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True)
class Native(Rule):
    """Base of the rules that are the gradient of the operation itself."""


def in_words(parameter: Any) -> str:
    """A parameter of a rule as a table shows it; many numbers are shown by how many they are.

    >>> in_words(1e-6), in_words((0.0, 0.5)), in_words(((0.0, 1.0),) * 9)
    ('1e-06', '(0, 0.5)', '(9 x 2 numbers)')
    """
    if not isinstance(parameter, tuple):
        return f"{parameter:g}" if isinstance(parameter, float) else str(parameter)
    if len(parameter) <= 4 and not any(isinstance(each, tuple) for each in parameter):
        return f"({', '.join(map(in_words, parameter))})"
    sizes = []
    while isinstance(parameter, tuple):
        sizes.append(str(len(parameter)))
        parameter = parameter[0]
    return f"({' x '.join(sizes)} numbers)"


def share(relevance: Tensor, total: Tensor, epsilon: float) -> Tensor:
    """`relevance / total`; 0 where the total is 0, which only an epsilon of 0 lets it be."""
    return relevance / total if epsilon else torch.where(total == 0, 0, relevance / total)


def sign(tensor: Tensor) -> Tensor:
    """The sign of each element, with `sign(0) = +1`.

    >>> import torch
    >>> sign(torch.tensor([-2.0, 0.0, 3.0]))
    tensor([-1.,  1.,  1.])
    """
    return (tensor >= 0).to(tensor.dtype).mul_(2).sub_(1)


def stabiliser(denominator: Tensor, epsilon: float) -> Tensor:
    """`epsilon * sign(denominator)`, so that `denominator + stabiliser` is never zero.

    >>> import torch
    >>> stabiliser(torch.tensor([-2.0, 0.0, 3.0]), 0.5)
    tensor([-0.5000,  0.5000,  0.5000])
    """
    return sign(denominator).mul_(epsilon)


def check_epsilon(rule: str, epsilon: float) -> None:
    """Refuse an epsilon that is negative or not finite."""
    check_number(rule, "epsilon", epsilon, "1e-6")


def check_number(rule: str, name: str, value: float, usual: str) -> None:
    """Refuse a parameter that is negative or not finite."""
    if not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise CompositeError(
            f"{name} must be a finite number of at least 0",
            where=f"rules.{rule}",
            seen=f"{name}={value!r}",
            cure=f"rules.{rule}({name}={usual})",
        )
