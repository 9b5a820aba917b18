"""Where the output's relevance went: the ledger, the flow through the layers, and the plan, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from lrp.engine.structure import tensors_in
from lrp.plan import Plan
from lrp.relevance import Relevance, named_inputs
from lrp.report.tables import Cell, Row, Table, bar, numeric, text
from lrp.report.words import exact, share, size
from lrp.viz.heatmap import array

__all__ = ["MOST", "flow", "kept", "ledger", "plan"]

MOST = 2000


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
    places += [(name, [tensor]) for name, tensor in named_inputs(r.input).items()]
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
