"""The plan: every op call on the way from target to source, with the rule it got."""

from __future__ import annotations

import html
from collections import Counter
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

    It holds each of them. Printed, the steps of a loop that are alike in all but their shapes stand there once.

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
        """Rows of the table; a single cell is a remark about those above it."""
        cells: list[tuple[str, ...]] = [("#", "module", "operation", "output", "family", "rule", "chosen by", "")]
        for block, times in _blocks(self.rows):
            cells += [
                (str(r.number), r.path or "(model)", r.operation, str(r.shape), r.family, r.rule, r.entry, r.note)
                for r in block
            ]
            if times > 1:
                which = f"these {len(block)} rows" if len(block) > 1 else "this row"
                cells.append((f"... {which} {times} times in all",))
        return cells

    def _closing(self) -> str:
        return "identical to gradient x input" if self.identical_to_gradient else ""

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(len(row[i]) for row in cells if len(row) > 1) for i in range(len(cells[0]))]
        lines = ["  ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=False)).rstrip() for row in cells]
        return "\n".join([*lines, self._closing()]).rstrip()

    def _repr_html_(self) -> str:
        head, *body = self._cells()
        columns = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        rows = "".join(f"<tr>{_html(row, len(head))}</tr>" for row in body)
        rules = Counter(r.rule or r.family for r in self.rows)
        counts = ", ".join(f"{html.escape(rule)}: {count}" for rule, count in rules.most_common(6))
        more = ", ..." if len(rules) > 6 else ""
        opened = " open" if len(body) <= 30 else ""
        summary = f"<summary>{len(self.rows)} op calls ({counts}{more}) {self._closing()}</summary>"
        return f"<details{opened}>{summary}<table><tr>{columns}</tr>{rows}</table></details>"


_LONGEST, _SAVED = 100, 8
"""The most rows of a step that is looked for, and the fewest rows that are left out."""


def _blocks(rows: Sequence[PlanRow]) -> Iterator[tuple[Sequence[PlanRow], int]]:
    """The rows in blocks, each with how often it comes one after the other."""
    numbers: dict[tuple[object, ...], int] = {}
    keys = [numbers.setdefault((r.path, r.operation, r.family, r.rule, r.entry, r.note), len(numbers)) for r in rows]
    at = 0
    while at < len(rows):
        length, times = _repetition(keys, at)
        yield rows[at : at + length], times
        at += length * times


def _repetition(keys: Sequence[int], at: int) -> tuple[int, int]:
    """How long the block is that begins here and is repeated at once, and how often it is there; else 1 and 1."""
    for length in range(1, min(_LONGEST, (len(keys) - at) // 2) + 1):
        alike = at
        while alike + length < len(keys) and keys[alike] == keys[alike + length]:
            alike += 1
        repeated = (alike - at) // length
        if length * repeated >= _SAVED:
            return length, repeated + 1
    return 1, 1


def _html(row: Sequence[str], columns: int) -> str:
    if len(row) == 1:
        return f'<td colspan="{columns}">{html.escape(row[0])}</td>'
    return "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
