"""Grids of relevance as the page embeds them: small, exact where it matters, never silently zero."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrp.viz.colors import colors
from lrp.viz.heatmap import PERCENTILE

__all__ = ["LEVELS", "Grid", "data_uri", "grid_of", "palette"]

Array = NDArray[np.float64]

FINE = 32767
MISSING = -32768
LEVELS = 127
GREY = (128, 128, 128)
LONGEST = 512
SMALL = 96


@dataclass(frozen=True)
class Grid:
    """Numbers by row and column, as base64 of little-endian 16-bit integers.

    Args:
        rows, columns: its size; those of one slice, where there are several.
        slices: how many slices there are, one after the other; 1 where it is flat.
        data: the integers; a number is `integer * step`, and -32768 stands for one that is not finite.
        step: the largest absolute number / 32767.
        scale: the number of the full colour: the 99.5th percentile of the absolute numbers.
        block: how many numbers along each axis are summed up in one cell, `(slices, rows, columns)`.
        missing: how many numbers are not finite.
        picture: the map as a PNG picture, as an address that holds it, for where no script runs.
    """

    rows: int
    columns: int
    slices: int
    data: str
    step: float
    scale: float
    block: tuple[int, int, int]
    missing: int
    picture: str


def grid_of(values: Array, longest: int = LONGEST) -> Grid:
    """Return the grid of an array `([slices,] rows, columns)`; a longer side than `longest` is summed up in blocks.

    >>> grid = grid_of(np.array([[0.0, 1.0, -0.5]]))
    >>> (np.frombuffer(base64.b64decode(grid.data), "<i2") * grid.step).round(4).tolist()
    [0.0, 1.0, -0.5]
    """
    values = values[None] if values.ndim == 2 else values
    slices, rows, columns = values.shape
    block = (-(-slices // longest), -(-rows // longest), -(-columns // longest))
    for axis, length in enumerate(block):
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], length), axis=axis)
    slices, rows, columns = values.shape
    finite = np.isfinite(values)
    sizes = np.abs(values[finite])
    largest = float(sizes.max(initial=0))
    step = largest / FINE or 1.0
    integers = np.where(finite, np.round(np.where(finite, values, 0) / step), MISSING).astype("<i2")
    scale = (float(np.percentile(sizes, PERCENTILE)) if sizes.size else 0.0) or largest or 1.0
    data = base64.b64encode(integers.tobytes()).decode()
    levels = np.where(finite, LEVELS + np.round(LEVELS * np.clip(integers * (step / scale), -1, 1)), 2 * LEVELS + 1)
    picture = Image.fromarray(levels.astype(np.uint8).reshape(-1, columns))
    picture.putpalette(palette() + bytes(GREY))
    missing = int((~finite).sum())
    return Grid(rows, columns, slices, data, step, scale, block, missing, data_uri(picture))


def palette() -> bytes:
    """Return the colours of -127 to 127: red, green, blue."""
    return np.round(colors(np.linspace(-1, 1, 2 * LEVELS + 1))).astype(np.uint8).tobytes()


def data_uri(picture: Image.Image | str) -> str:
    """Return a picture as an address that holds it: SVG text, a small picture or map as PNG, else JPEG."""
    if isinstance(picture, str):
        return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()
    kind = "png" if picture.mode == "P" or max(picture.size) <= SMALL else "jpeg"
    buffer = BytesIO()
    picture.save(buffer, format=kind, **({"quality": 90, "subsampling": 0} if kind == "jpeg" else {"optimize": True}))
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()
