"""One line of the table of operations."""

from __future__ import annotations

from dataclasses import dataclass

from lrp.rules.base import Rule

__all__ = ["Op", "Place"]

Place = tuple[int, str]
"""Where an argument stands in a call: its position and its name."""


@dataclass(frozen=True)
class Op:
    """One line of the table.

    Args:
        name: the function's name without in-place marks.
        family: which handler and which rules it gets.
        view: may return a view of its input.
        fills: puts in elements of its own (padding, concatenated constants).
        scalars: arguments at which a Python number is an additive constant.
        number: the same for a number that torch does not take as a tensor.
        monotone: keeps `x >= 0`.
        added: the operand (position, name) that is added to the product of the others.
        places: the arguments in which it is linear, the only ones that may carry data; constants elsewhere scale or
            steer it. Empty: every tensor.
        values: the argument whose elements are put at given indices.
        each: gives one output for each tensor, made of that one alone.
        functional: means the function in `torch.nn.functional` alone, where a tensor method has the same name.
        rule: the rule that was registered for it by the user.
    """

    name: str
    family: str
    view: bool = False
    fills: bool = False
    scalars: tuple[Place, ...] = ()
    number: Place | None = None
    monotone: bool = False
    added: Place | None = None
    places: tuple[Place, ...] = ()
    values: Place | None = None
    each: bool = False
    functional: bool = False
    rule: Rule | None = None

    @property
    def numbers(self) -> tuple[Place, ...]:
        """Every argument at which a Python number is an additive constant."""
        return self.scalars if self.number is None else (*self.scalars, self.number)
