"""Where the output's relevance went: the ledger, the flow through the layers, and the plan, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lrp.engine.structure import tensors_in
from lrp.plan import Plan
from lrp.relevance import Relevance, named_inputs
from lrp.report.tables import Cell, Row, Table, bar, numeric, text
from lrp.report.words import exact, share, size
from lrp.result import TOLERANCE
from lrp.viz.photo import array

__all__ = ["Books", "of", "plan"]

MOST = 2000
AMPLIFIED = 100


@dataclass(frozen=True)
class Books:
    """Where the output for one target went.

    Args:
        sample: the sample whose books these are; None where they are those of all samples together.
        target: the target's place among the targets.
        tables: the ledger, the flow, and what each operation kept.
        caution: what a reader of the maps must know, or nothing.
    """

    sample: int | None
    target: int
    tables: Sequence[Table]
    caution: str


def of(results: Sequence[Relevance]) -> list[Books]:
    """Return the books of every result and target; several results are of one sample each."""
    made = []
    for at, r in enumerate(results):
        for target, single in enumerate(r.split()):
            tables = [table for table in (ledger(single), flow(single), kept(single)) if table is not None]
            made.append(Books(at if len(results) > 1 else None, target, tables, caution(single)))
    return made


def caution(r: Relevance) -> str:
    """Return what a reader of the maps must know, or nothing."""
    if r.ledger is None:
        return "no ledger was kept, so nothing says whether the numbers add up"
    books = r.ledger
    residual, scale = abs(_sum(books.residual)), _sum(books.scale)
    if not residual <= TOLERANCE.get(r.explained.dtype, 1e-4) * scale:
        return f"the books do not balance: {residual:.3g} of {scale:.3g} is missing"
    if _sum(books.amplification) > AMPLIFIED:
        return (
            f"the inputs' relevance is {_sum(books.amplification):.3g} times the explained output in absolute size: "
            "large amounts of both signs cancel, and the map may be noise"
        )
    return ""


def ledger(r: Relevance) -> Table | None:
    """Return where the explained output of one target went; None where no books were kept."""
    if r.ledger is None:
        return None
    books = r.ledger
    explained = _sum(books.explained)
    kinds = {f"kept as {kind}": _sum(amount) for kind, amount in books.by_kind().items()}
    amounts = {"explained output": explained, "reached the inputs": _sum(books.sources), **kinds}
    largest = max(abs(amount) for amount in amounts.values())
    rows = [_amount((text(name),), amount, explained, largest) for name, amount in amounts.items()]
    residual = _sum(books.residual)
    rows.append(Row((text("residual"), Cell(f"{residual:+.1e}", exact(residual)), text(""))))
    return Table("Ledger", "ledger", ("part", "amount", "of explained"), rows)


def kept(r: Relevance) -> Table | None:
    """Return what op calls kept, the largest amounts first; None where nothing was kept."""
    amounts = [] if r.ledger is None else [(row, _sum(row.amount)) for row in r.ledger.rows if _sum(row.amount)]
    if r.ledger is None or not amounts:
        return None
    explained = _sum(r.ledger.explained)
    amounts.sort(key=lambda pair: -abs(pair[1]))
    rows = [
        _amount(
            (text(row.where or "(model)"), text(row.call.removeprefix(f"{row.where}: ")), text(row.kind)),
            amount,
            explained,
            abs(amounts[0][1]),
        )
        for row, amount in amounts[:MOST]
    ]
    heads = ("module", "operation", "kept as", "amount", "of explained")
    return Table("Ledger by operation", "ledger-operations", heads, rows)


def flow(r: Relevance) -> Table:
    """Return the relevance of the output, the kept layers and the inputs of one target, added up by sign."""
    explained = float(array(r.explained).sum())
    places: list[tuple[str, Sequence[Tensor]]] = [("output", [r.explained])]
    places += [(name, tensors_in(layer)) for name, layer in r.layers.items()]
    places += [(name, [tensor]) for name, tensor in {**named_inputs(r.input), **r.positions}.items()]
    found = [(name, tensors, np.concatenate([array(t).reshape(-1) for t in tensors])) for name, tensors in places]
    largest = max(abs(float(values.sum())) for _, _, values in found)
    rows = []
    for name, tensors, values in found:
        shapes = text(", ".join(size(t.shape) for t in tensors))
        supports, opposes, total = float(values[values > 0].sum()), float(values[values < 0].sum()), float(values.sum())
        row = _amount((text(name), shapes, numeric(supports), numeric(opposes)), total, explained, largest)
        rows.append(row)
    heads = ("place", "shape", "supports", "opposes", "sum", "of explained")
    return Table("Flow from the output to the inputs", "flow", heads, rows)


def plan(rows: Plan) -> Table:
    """Return the op calls with their rules."""
    caption = "Operations and their rules"
    if len(rows) > MOST:
        caption += f": the first {MOST} of {len(rows)}"
    cells = [
        Row(
            (
                numeric(row.number, str(row.number)),
                text(row.path or "(model)"),
                text(row.operation),
                text(size(row.shape)),
                text(row.rule),
                text(row.entry),
                text(row.note),
            )
        )
        for row in rows.rows[:MOST]
    ]
    return Table(caption, "plan", ("#", "module", "operation", "output", "rule", "chosen by", "note"), cells)


def _sum(amount: Tensor) -> float:
    return float(array(amount).sum())


def _amount(first: Sequence[Cell], amount: float, explained: float, largest: float) -> Row:
    percent = 100 * amount / explained if explained else float("nan")
    return Row((*first, numeric(amount), numeric(percent, share(amount, explained))), bar(amount, largest))
