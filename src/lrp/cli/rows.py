"""Explanations as tables, in CSV or Parquet.

Of one input: a line a number, ``sample, layer, index, feature, value, relevance``; ``value`` only for inputs. With
several targets a second column, ``asked``, has the words of the command line.

Of many inputs: a line an input, or a sample of one that holds several, and target: ``input, sample, target, class,
explained, sum, residual``, then the relevance of each feature of a table, ``relevance: NAME``, or the total of each
input. ``sum`` is what reached the inputs. With several targets a column ``asked`` follows ``sample``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lrp.cli.records import Sample

__all__ = ["csv_of", "line_of", "lines_of", "parquet_of"]

Cell = Any  # text, a number (of numpy too: as short as its precision), or None
Line = dict[str, Cell]


def lines_of(samples: Sequence[Sample]) -> Iterator[Line]:
    """Yield a line for each number of the kept layers, the positional embeddings and the inputs."""
    for sample in samples:
        first: Line = {"sample": sample.number, **({"asked": sample.asked} if sample.which else {})}
        for layer in (*sample.layers, *sample.positions):
            for place, value in np.ndenumerate(layer.values):
                blank: Line = {"feature": None, "value": None}
                yield {**first, "layer": layer.name, "index": at(place), **blank, "relevance": value}
        for source in sample.sources:
            for place, value in np.ndenumerate(source.values):
                known: Line = {
                    "feature": source.features[place[-1]] if source.features else None,
                    "value": source.inputs[place],
                }
                yield {**first, "layer": source.name, "index": at(place), **known, "relevance": value}


def line_of(sample: Sample) -> Line:
    """Return the line of one sample and target."""
    line: Line = {
        "input": sample.input,
        "sample": sample.number,
        **({"asked": sample.asked} if sample.which else {}),
        "target": sample.target,
        "class": sample.index,
        "explained": sample.explained,
        "sum": sample.reached,
        "residual": sample.residual,
    }
    for source in sample.sources:
        if source.features and source.values.ndim == 1 and not sample.words:
            named = zip(source.features, source.values, strict=True)
            line |= {f"relevance: {name}": value for name, value in named}
        else:
            line[f"relevance: {source.name}"] = float(source.values.sum())
    return line | {f"relevance: {each.name}": float(each.values.sum()) for each in sample.positions}


def at(place: tuple[int, ...]) -> str:
    """Return an index in one cell.

    >>> at((2, 0, 5))
    '2 0 5'
    """
    return " ".join(str(index) for index in place)


def csv_of(lines: Sequence[Line]) -> str:
    """Return lines as CSV, with every column that one of them has."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = columns_of(lines)
    writer.writerow(map(cell, columns))
    writer.writerows([cell(line.get(name)) for name in columns] for line in lines)
    return buffer.getvalue()


def columns_of(lines: Sequence[Line]) -> list[str]:
    """Return the names of all columns in the order in which they are met."""
    return list(dict.fromkeys(name for line in lines for name in line))


def cell(value: Cell) -> Cell:
    """Return a cell; an apostrophe leads text that a spreadsheet would take for a formula.

    >>> cell("=1+1"), cell("-3"), cell(-3.5), cell("mean")
    ("'=1+1", '-3', -3.5, 'mean')
    """
    return f"'{value}" if isinstance(value, str) and re.match(r"[=+\-@\t\r]", value) and not number(value) else value


def number(text: str) -> bool:
    """Whether text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def parquet_of(lines: Sequence[Line]) -> bytes:
    """Return lines as the bytes of a Parquet file, with every column that one of them has.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    from lrp.models.parquet import pyarrow_of

    arrow, parquet = pyarrow_of("--format parquet")
    table = arrow.table({name: [line.get(name) for line in lines] for name in columns_of(lines)})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()
