"""The ledger: where the explained output went, to sources and to what op calls kept, and whether the sides agree."""

from __future__ import annotations

import html
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lrp.engine.propagate import Row
from lrp.errors import LRPError

__all__ = ["Ledger", "Row"]

KINDS = (
    *("bias", "stabiliser", "shift", "constant", "softmax", "gate", "stopped", "detached", "one-sided", "reference"),
)
"""The closed list of kinds of row; `docs/ledger.md` says what each is."""


@dataclass(frozen=True)
class Ledger:
    """Double entry: the rows are computed from each rule's own formula, the sources' relevance is measured.

    `residual = explained - sources - sum of rows` therefore shows a wrong rule anywhere.

    Args:
        explained: the explained output, summed over the batch `()`, or `(N,)` by sample; with several targets `(K,)`,
            or `(K, N)`.
        sources: what reached the sources, likewise.
        magnitude: the sum of the absolute relevance of the sources, likewise.
        size: the sum of the absolute explained outputs, likewise.
        rows: what op calls kept.
        lost: at level "calls", per op call: arrived - handed on - kept. Views, which hand on every element as it is,
            are not measured.
    """

    explained: Tensor
    sources: Tensor
    magnitude: Tensor
    size: Tensor
    rows: tuple[Row, ...]
    lost: dict[str, Tensor] | None = None
    _by_sample: Callable[[], Ledger] | None = None

    @property
    def kept(self) -> Tensor:
        """The sum of all rows."""
        return sum((row.amount for row in self.rows), torch.zeros_like(self.explained))

    @property
    def residual(self) -> Tensor:
        """`explained - sources - sum of rows`: 0 up to rounding where every rule is right."""
        return self.explained - self.sources - self.kept

    @property
    def scale(self) -> Tensor:
        """What residuals are judged on: `max(|explained|, sum |R| of the sources + sum |rows|)`."""
        rows = sum((row.amount.abs() for row in self.rows), torch.zeros_like(self.explained))
        return torch.maximum(self.size, self.magnitude + rows)

    @property
    def amplification(self) -> Tensor:
        """`sum |R| of the sources / |explained|`: far above 1, a map can balance and still be noise."""
        return self.magnitude / self.size

    def by_kind(self) -> dict[str, Tensor]:
        """The rows added up by kind."""
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros_like(self.explained))
        for row in self.rows:
            sums[row.kind] = sums[row.kind] + row.amount
        return {kind: sums[kind] for kind in KINDS if kind in sums}

    def by_sample(self) -> Ledger:
        """The same ledger with every amount as `(N,)`, by one backward pass per sample (none extra for one sample).

        Raises:
            LRPError: the result was loaded from a file, which holds the totals alone.
        """
        if self._by_sample is None:
            raise LRPError(
                "a loaded ledger holds the totals of the batch alone", cure="explain again and call by_sample() on that"
            )
        return self._by_sample()

    def split(self) -> list[Ledger]:
        """The ledgers of the single targets, out of one of several."""
        return [self._of(k) for k in range(len(self.explained))]

    def _of(self, k: int) -> Ledger:
        return Ledger(
            self.explained[k],
            self.sources[k],
            self.magnitude[k],
            self.size[k],
            tuple(replace(row, amount=row.amount[k]) for row in self.rows),
            None if self.lost is None else {name: lost[k] for name, lost in self.lost.items()},
            None if self._by_sample is None else lambda: self.by_sample()._of(k),
        )

    @property
    def worst(self) -> tuple[str, Tensor] | None:
        """At level "calls": the op call that lost most, and how much."""
        if not self.lost:
            return None
        name, lost = max(self.lost.items(), key=lambda item: float(item[1].abs().sum()))
        return name, lost

    def __str__(self) -> str:
        rows = [("explained", self.explained), ("sources", self.sources)]
        rows += list(self.by_kind().items())
        rows.append(("residual", self.residual))
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:{width}}  {_figures(amount)}" for name, amount in rows]
        lines.append(f"{'amplification':{width}}  {_figures(self.amplification)}")
        if self.worst is not None:
            lines.append(f"lost most: {self.worst[0]} {_figures(self.worst[1]).strip()}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What a notebook shows: each amount, its share of the explained output and a bar, red or blue."""
        rows = [("explained", self.explained), ("sources", self.sources), *self.by_kind().items()]
        rows.append(("residual", self.residual))
        single = self.explained.numel() == 1
        longest = max(float(amount.abs().max()) for _, amount in rows)
        cells = []
        for name, amount in rows:
            figures = f"<th style='text-align:left'>{html.escape(name)}</th><td><code>{_figures(amount)}</code></td>"
            cells.append(f"<tr>{figures}{_bar(amount, self.explained, longest) if single else ''}</tr>")
        return (
            f"<table>{''.join(cells)}</table><p>amplification <code>{_figures(self.amplification).strip()}</code></p>"
        )


def _bar(amount: Tensor, whole: Tensor, longest: float) -> str:
    """Two cells: the share in percent, and a bar."""
    value, size = float(amount), float(whole)
    width = round(120 * abs(value) / longest) if longest > 0 and math.isfinite(value / longest) else 0
    color = "#b2182b" if value >= 0 else "#2166ac"
    share = f"{100 * value / size:.3g} %" if size else ""
    return f"<td>{share}</td><td><div style='width:{width}px;height:.8em;background:{color}'></div></td>"


def _figures(amount: Tensor) -> str:
    numbers = amount.reshape(-1).tolist()
    return "  ".join(f"{number:12.6g}" for number in numbers[:16]) + ("  ..." if len(numbers) > 16 else "")
