"""Explanations as JSON, CSV and npz, for programs.

JSON, one object:

- ``lrp``: the version of this layout, 1
- ``model``, ``input``, ``weights``, ``through_output``: the request
- ``samples``: one object a sample

  - ``sample`` (from 1), ``explained``, ``target`` (in words), ``class`` (or null), ``notes``
  - ``composite``: ``name``, ``why``
  - ``output``: a list of ``name``, ``shape``, ``values``
  - ``layers``: a list of ``name``, ``shape``, ``sum``, ``relevance``
  - ``inputs``: the same with ``features`` and ``values``
  - ``ledger``: ``rows`` (a list of ``call``, ``where``, ``kind``, ``amount``), ``residual``, ``amplification``

- nested lists of more than 4096 numbers are null: npz holds them. NaN and infinity are null too.

CSV, one line a number: ``sample, layer, index, feature, value, relevance``; ``value`` only for inputs.

npz: ``explained`` (N,), then per sample ``1/output``, ``1/layers/NAME``, ``1/inputs/NAME``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np

from lrp.cli.options import Request
from lrp.cli.records import Array, Sample

__all__ = ["csv_of", "json_of", "npz_of"]

MANY = 4096


def json_of(samples: list[Sample], request: Request) -> str:
    """Return the samples as JSON."""
    asked = {
        "model": request.model,
        "input": request.input,
        "weights": request.weights,
        "through_output": request.through_output,
    }
    return json.dumps({"lrp": 1, **asked, "samples": [entry(sample) for sample in samples]}, indent=1) + "\n"


def entry(sample: Sample) -> dict[str, Any]:
    """Return one sample as what JSON knows."""
    return {
        "sample": sample.number,
        "explained": finite(sample.explained),
        "target": sample.target,
        "class": sample.index,
        "composite": {"name": sample.composite, "why": sample.why},
        "notes": list(sample.notes),
        "output": [
            {"name": item.name, "shape": list(item.values.shape), "values": nested(item.values)}
            for item in sample.output
        ],
        "layers": [{"name": item.name, **relevance(item.values)} for item in sample.layers],
        "inputs": [
            {
                "name": item.name,
                "features": list(item.features),
                "values": nested(item.inputs),
                **relevance(item.values),
            }
            for item in sample.sources
        ],
        "ledger": {
            "rows": [
                {"call": row.call, "where": row.where, "kind": row.kind, "amount": finite(row.amount)}
                for row in sample.rows
            ],
            "residual": finite(sample.residual),
            "amplification": finite(sample.amplification),
        },
    }


def relevance(values: Array) -> dict[str, Any]:
    """Return the shape, the sum and the numbers of a relevance."""
    return {"shape": list(values.shape), "sum": finite(float(values.sum())), "relevance": nested(values)}


def nested(values: Array) -> Any:
    """Return an array as nested lists, null where it is large."""
    if values.size > MANY:
        return None
    if np.isfinite(values).all():
        return values.tolist()
    return [nested(inner) if inner.ndim else finite(float(inner)) for inner in map(np.asarray, values)]


def finite(value: float) -> float | None:
    """Return a number that JSON knows, or null."""
    return value if math.isfinite(value) else None


def csv_of(samples: list[Sample]) -> str:
    """Return the samples as CSV, a line for each number of the kept layers and the inputs."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["sample", "layer", "index", "feature", "value", "relevance"])
    for sample in samples:
        for layer in sample.layers:
            for place, value in np.ndenumerate(layer.values):
                writer.writerow([sample.number, layer.name, at(place), "", "", value])
        for source in sample.sources:
            for place, value in np.ndenumerate(source.values):
                feature = source.features[place[-1]] if source.features else ""
                writer.writerow([sample.number, source.name, at(place), feature, source.inputs[place], value])
    return buffer.getvalue()


def at(place: tuple[int, ...]) -> str:
    """Return an index in one cell.

    >>> at((2, 0, 5))
    '2 0 5'
    """
    return " ".join(str(index) for index in place)


def npz_of(samples: list[Sample]) -> bytes:
    """Return the samples as the bytes of a numpy archive."""
    found: dict[str, Any] = {"explained": np.array([sample.explained for sample in samples])}
    for sample in samples:
        for kind, items in (("layers", sample.layers), ("inputs", sample.sources)):
            found.update({f"{sample.number}/{kind}/{item.name}": item.values for item in items})
        found.update({f"{sample.number}/{item.name}": item.values for item in sample.output})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **found)
    return buffer.getvalue()
