"""Tables of numbers from CSV files."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import torch
from torch import Tensor

from lrp.errors import InputError, LoadError

__all__ = ["read_table"]


def read_table(path: Path) -> tuple[tuple[str, ...], Tensor]:
    """Return the column names and the values of a comma-separated table of numbers.

    The first row is a header if nothing in it is a number; without one, columns are called `column 1`, `column 2` ...

    Args:
        path: UTF-8, one sample a row. Empty lines are skipped.

    Returns:
        D names, and float32 values of shape (N, D).

    Raises:
        LoadError: the file is no text.
        InputError: text, empty cells, NaN or infinite values, rows of unequal length, no rows.
    """
    rows = read_rows(path)
    if not rows:
        raise InputError("the table is empty", where=str(path), cure="give a header and one sample a row")
    names, numbered = header(rows, path)
    if not numbered:
        raise InputError("the table has no samples", where=str(path), seen="a header and nothing below it")
    values = [convert(cells, names, line, path) for line, cells in numbered]
    return names, torch.tensor(values, dtype=torch.float32)


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, each with the number of its line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        cure = "save it as comma-separated UTF-8 text"
        raise LoadError("the file is no CSV text", where=str(path), seen=str(error), cure=cure) from error


def header(rows: list[tuple[int, list[str]]], path: Path) -> tuple[tuple[str, ...], list[tuple[int, list[str]]]]:
    """Split the rows into the names of the columns and the samples."""
    _, first = rows[0]
    numeric = [number(cell) is not None for cell in first]
    if not any(numeric):
        repeated = sorted({name for name in first if first.count(name) > 1})
        if repeated or "" in first:
            seen = f"repeated: {', '.join(repeated)}" if repeated and repeated != [""] else "an empty name"
            raise InputError("column names must differ", where=str(path), seen=seen, cure="name every column once")
        return tuple(first), rows[1:]
    return tuple(f"column {index}" for index in range(1, len(first) + 1)), rows


def convert(cells: list[str], names: tuple[str, ...], line: int, path: Path) -> list[float]:
    """Return one row as finite numbers, or say which cell is none."""
    where = f"{path}, line {line}"
    if len(cells) != len(names):
        cure = "separate by commas, a point in decimals; every row needs a cell for every column"
        raise InputError("a row has another length", where=where, seen=f"{len(cells)} of {len(names)} cells", cure=cure)
    values = []
    for name, cell in zip(names, cells, strict=True):
        value = number(cell)
        if value is None:
            cure = "leave the column out, or encode it as numbers the way the model was trained"
            if ";" in cell or "\t" in cell:
                cure = "separate the columns by commas"
            raise InputError("a column holds text", where=f"{where}, column '{name}'", seen=repr(cell), cure=cure)
        if not math.isfinite(value) or abs(value) > torch.finfo(torch.float32).max:
            cure = "fill or drop such rows the way the model was trained"
            raise InputError("a value is not finite", where=f"{where}, column '{name}'", seen=repr(cell), cure=cure)
        values.append(value)
    return values


def number(cell: str) -> float | None:
    """Return the number a cell holds, None for text and for an empty cell.

    >>> number("1e3"), number("benign"), number("")
    (1000.0, None, None)
    """
    try:
        return float(cell)
    except ValueError:
        return None
