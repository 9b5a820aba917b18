"""How relevance of each kind is shown: as a map, as coloured tokens, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lrp.report.grids import Array, Grid, grid_of
from lrp.report.tables import Cell, Table, numeric, ranked, text
from lrp.report.words import size, spread

__all__ = [
    "Token",
    "View",
    "channels_view",
    "elements_view",
    "features_view",
    "image_view",
    "signal_view",
    "text_view",
    "volume_view",
]

FEATURES, ELEMENTS, REGIONS = 300, 10, 10
GRID = 7
LONGEST_SIGNAL, LONGEST_VOLUME = 1024, 64
SHADES = 20


@dataclass(frozen=True)
class Token:
    """A token, its relevance, and its colour from -20, blue, to 20, red; None where it is not finite."""

    text: str
    relevance: float
    shade: int | None
    special: bool


@dataclass(frozen=True)
class View:
    """Relevance of one input or layer, for one sample and target.

    Args:
        name: the input or layer.
        shape: its shape in words.
        total: the sum of its relevance.
        grid: its map, or None.
        row, column: what a row and a column of the map are.
        inputs: the input's numbers in a grid like the map's, where they can be read beside it.
        tokens: its tokens, or none.
        tables: its tables.
    """

    name: str
    shape: str
    total: float
    grid: Grid | None = None
    row: str = "row"
    column: str = "column"
    inputs: Grid | None = None
    tokens: Sequence[Token] = ()
    tables: Sequence[Table] = ()

    @property
    def stretched(self) -> bool:
        """Whether the map's cells need not be square."""
        return self.row != "row"


def image_view(name: str, relevance: Array, explained: float) -> View:
    """Show relevance (H, W) or (C, H, W) as a map, channels added up with their signs, and its strongest regions."""
    pixels = relevance if relevance.ndim == 2 else relevance.sum(0)
    starts = [np.unique(np.linspace(0, n, min(GRID, n) + 1).astype(int)) for n in pixels.shape]
    sums = np.add.reduceat(np.add.reduceat(pixels, starts[0][:-1], axis=0), starts[1][:-1], axis=1)

    def place(at: int) -> tuple[Cell, Cell]:
        row, column = divmod(at, sums.shape[1])
        rows, columns = starts[0][row : row + 2], starts[1][column : column + 2]
        return text(spread(*rows)), text(spread(*columns))

    table = ranked("Regions", f"{name}-regions", ("rows", "columns"), sums, place, explained, REGIONS)
    return View(name, size(relevance.shape), float(relevance.sum()), grid_of(pixels), tables=(table,))


def volume_view(name: str, relevance: Array, explained: float) -> View:
    """Show relevance (C, D, H, W) slice by slice, channels added up, and its strongest elements."""
    grid = grid_of(relevance.sum(0), LONGEST_VOLUME)
    return replace(elements_view(name, relevance, explained), grid=grid)


def channels_view(name: str, relevance: Array, explained: float) -> View:
    """Show a layer's relevance (C, H, W) as a map over the picture, and its strongest channels."""
    sums = relevance.sum((1, 2))
    table = ranked("Channels", f"{name}-channels", ("channel",), sums, _index, explained, ELEMENTS)
    return View(name, size(relevance.shape), float(relevance.sum()), grid_of(relevance.sum(0)), tables=(table,))


def signal_view(name: str, relevance: Array, inputs: Array | None, explained: float) -> View:
    """Show relevance (channels, time steps) as stripes behind the traces, and the strongest stretches of time."""
    steps = relevance.shape[1]
    length = -(-steps // min(steps, 50))
    sums = np.add.reduceat(relevance, np.arange(0, steps, length), axis=1)

    def place(at: int) -> tuple[Cell, Cell]:
        channel, stretch = divmod(at, sums.shape[1])
        return numeric(channel, str(channel)), text(spread(stretch * length, min((stretch + 1) * length, steps)))

    table = ranked("Stretches of time", f"{name}-stretches", ("channel", "steps"), sums, place, explained, REGIONS)
    grid = grid_of(relevance, LONGEST_SIGNAL)
    readable = None
    if inputs is not None and grid.block == (1, 1, 1) and np.isfinite(inputs).all():
        readable = grid_of(inputs, LONGEST_SIGNAL)
    view = size(relevance.shape), float(relevance.sum()), grid, "channel", "step", readable
    return View(name, *view, tables=(table,))


def text_view(
    name: str,
    relevance: Array,
    tokens: Sequence[str],
    special: Sequence[bool],
    explained: float,
    words: Sequence[tuple[str, float]] = (),
) -> View:
    """Show the relevance of tokens (T,) as the text in colour, and the tokens and words by relevance."""
    finite = np.isfinite(relevance)
    largest = float(np.abs(relevance[finite]).max(initial=0)) or 1.0
    coloured = [
        Token(token, float(r), round(SHADES * r / largest) if np.isfinite(r) else None, mark)
        for token, r, mark in zip(tokens, relevance, special, strict=True)
    ]

    def token(at: int) -> tuple[Cell, Cell]:
        return numeric(at, str(at)), text(tokens[at])

    tables = [ranked("Tokens", f"{name}-tokens", ("position", "token"), relevance, token, explained, FEATURES)]
    if words:
        sums = np.array([r for _, r in words])

        def word(at: int) -> tuple[Cell]:
            return (text(words[at][0]),)

        tables.insert(0, ranked("Words", f"{name}-words", ("word",), sums, word, explained, FEATURES))
    return View(name, size(relevance.shape), float(relevance.sum()), tokens=coloured, tables=tables)


def features_view(
    name: str, relevance: Array, values: NDArray[np.generic] | None, names: Sequence[str], explained: float
) -> View:
    """Show the relevance of features (D,) as a table with their values."""

    def feature(at: int) -> tuple[Cell, ...]:
        cell = text(names[at]) if names else numeric(at, str(at))
        return (cell,) if values is None else (cell, numeric(float(values[at]), f"{float(values[at]):.5g}"))

    heads = ("feature",) if values is None else ("feature", "value")
    table = ranked("Features", f"{name}-features", heads, relevance, feature, explained, FEATURES)
    return View(name, size(relevance.shape), float(relevance.sum()), tables=(table,))


def elements_view(name: str, relevance: Array, explained: float) -> View:
    """Show relevance of any shape by its largest elements."""

    def place(at: int) -> tuple[Cell]:
        found = np.unravel_index(at, relevance.shape or (1,))
        words = ", ".join(str(int(i)) for i in found)
        return (numeric(at, words) if len(found) == 1 else text(words),)

    table = ranked("Elements", f"{name}-elements", ("index",), relevance, place, explained, ELEMENTS)
    return View(name, size(relevance.shape), float(relevance.sum()), tables=(table,))


def _index(at: int) -> tuple[Cell]:
    return (numeric(at, str(at)),)
