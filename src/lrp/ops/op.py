"""One line of the table of operations."""

from __future__ import annotations

from dataclasses import dataclass

from lrp.rules.base import Rule

__all__ = ["Op"]


@dataclass(frozen=True)
class Op:
    """One line of the table.

    Args:
        name: the function's name without in-place marks.
        family: which handler and which rules it gets.
        view: may return a view of its input.
        fills: puts in elements of its own (padding, concatenated constants).
        scalars: arguments (position, name) at which a Python number is an additive constant.
        number: the same for a number that torch does not take as a tensor.
        monotone: keeps `x >= 0`.
        added: the operand (position, name) that is added to the product of the others.
        rule: the rule that was registered for it by the user.
    """

    name: str
    family: str
    view: bool = False
    fills: bool = False
    scalars: tuple[tuple[int, str], ...] = ()
    number: tuple[int, str] | None = None
    monotone: bool = False
    added: tuple[int, str] | None = None
    rule: Rule | None = None
