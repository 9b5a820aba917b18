"""The plan: every op call on the way from target to source, with the rule it got."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lrp.engine.calls import OpCall

__all__ = ["Plan", "PlanRow"]


@dataclass(frozen=True)
class PlanRow:
    """One op call: its number in order of execution, module path, operation, output shape, family, rule and entry."""

    number: int
    path: str
    operation: str
    shape: tuple[int, ...]
    family: str
    rule: str
    entry: str
    gradient: bool
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """Every op call on the way, in order of execution.

    Args:
        rows: the op calls.
        identical_to_gradient: no rule changed anything, so the relevance is gradient x input.
    """

    rows: tuple[PlanRow, ...]

    @property
    def identical_to_gradient(self) -> bool:
        return all(row.gradient for row in self.rows)

    @classmethod
    def of(cls, calls: Sequence[OpCall]) -> Plan:
        """The plan of a run."""
        words = {id(rule): str(rule or "") for rule in {id(c.rule): c.rule for c in calls}.values()}
        return cls(
            tuple(
                PlanRow(
                    c.number, c.path, c.operation, c.shape, c.family, words[id(c.rule)], c.entry, c.gradient, c.note
                )
                for c in calls
            )
        )

    def __iter__(self) -> Iterator[PlanRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def _cells(self) -> list[tuple[str, ...]]:
        head: tuple[str, ...] = ("#", "module", "operation", "output", "family", "rule", "chosen by", "")
        return [head] + [
            (str(r.number), r.path or "(model)", r.operation, str(r.shape), r.family, r.rule, r.entry, r.note)
            for r in self.rows
        ]

    def _closing(self) -> str:
        return "identical to gradient x input" if self.identical_to_gradient else ""

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines = ["  ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        return "\n".join([*lines, self._closing()]).rstrip()

    def _repr_html_(self) -> str:
        head, *body = self._cells()
        columns = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        rows = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in body)
        return f"<table><tr>{columns}</tr>{rows}</table><p>{self._closing()}</p>"
