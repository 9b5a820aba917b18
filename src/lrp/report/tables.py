"""Tables as the page shows them: they sort, they have bars, and they download as CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrp.report.words import exact, share
from lrp.viz.colors import BLUE, RED
from lrp.viz.words import number

__all__ = ["Bar", "Cell", "Row", "Table", "bar", "numeric", "ranked", "text"]


@dataclass(frozen=True)
class Cell:
    """What a cell shows.

    Args:
        text: its text.
        value: the number behind it as programs read it; None where it is text.
        link: where the text leads, or nowhere.
        picture: the address of a picture above the text, or none.
    """

    text: str
    value: str | None = None
    link: str = ""
    picture: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar from zero, in the middle at 0, to the right or left; the full width is -1 to 1."""

    x: str
    width: str
    color: str


@dataclass(frozen=True)
class Row:
    """Cells, and a bar behind them or None."""

    cells: Sequence[Cell]
    bar: Bar | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: what it lists.
        file: the name of its CSV file, without the ending.
        heads: the names of its columns.
        rows: its rows, in the order in which they are shown first.
    """

    caption: str
    file: str
    heads: Sequence[str]
    rows: Sequence[Row]

    @property
    def barred(self) -> bool:
        """Whether there are bars."""
        return any(row.bar for row in self.rows)

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers."""
        return [any(row.cells[at].value is not None for row in self.rows) for at in range(len(self.heads))]


def text(words: object) -> Cell:
    """Return a cell of text."""
    return Cell(str(words))


def numeric(value: float, shown: str | None = None) -> Cell:
    """Return a cell of a number."""
    return Cell(number(value) if shown is None else shown, exact(value))


def bar(value: float, largest: float) -> Bar | None:
    """Return the bar of a number among numbers up to `largest`; None where there is nothing to draw."""
    part = value / largest if largest else 0.0
    if not np.isfinite(part) or not part:
        return None
    red, green, blue = RED[4] if part > 0 else BLUE[4]
    return Bar(f"{min(part, 0):.4g}", f"{abs(part):.4g}", f"#{red:02x}{green:02x}{blue:02x}")


def ranked(
    caption: str,
    file: str,
    heads: Sequence[str],
    relevance: NDArray[np.float64],
    first: Callable[[int], Sequence[Cell]],
    explained: float,
    most: int,
) -> Table:
    """Return a table of the numbers with the largest absolute relevance, largest first, and their shares.

    Args:
        caption: what is listed.
        file: the name of its CSV file.
        heads: the names of the columns before the relevance.
        relevance: any shape, read as flat.
        first: the cells before the relevance, by the place in the flat relevance.
        explained: what the shares are of.
        most: how many rows there are at most.
    """
    flat = relevance.reshape(-1)
    sizes = np.where(np.isfinite(flat), np.abs(flat), np.inf)
    order = np.argsort(-sizes, kind="stable")[:most].tolist()
    largest = float(np.abs(flat[np.isfinite(flat)]).max(initial=0))
    if flat.size > len(order):
        caption = f"{caption}: the {len(order)} largest of {flat.size}"
    rows = [Row((*first(at), *_relevance(flat[at], explained)), bar(flat[at], largest)) for at in order]
    return Table(caption, file, (*heads, "relevance", "of explained"), rows)


def _relevance(value: float, explained: float) -> tuple[Cell, Cell]:
    percent = 100 * value / explained if explained else float("nan")
    return numeric(value), numeric(percent, share(value, explained))
