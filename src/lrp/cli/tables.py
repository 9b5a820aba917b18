"""Explanations as JSON and npz, for programs; docs/cli.md says what each key means.

JSON, one object:

- ``lrp``: the version of this layout, 1
- ``model``, ``inputs`` (the words of the command line), ``weights``, ``through_output``, where given ``reference`` and
  ``reference_output``: the request
- ``failed``: one object an input that could not be explained: ``input``, ``error``
- ``samples``: one object a sample

  - ``input`` (what it is called), ``sample`` (from 1 in each input), ``explained``, ``target`` (in words), ``class``
    (or null), ``notes``
  - ``composite``: ``name``, ``why``
  - ``output``: a list of ``name``, ``shape``, ``values``
  - ``layers``: a list of ``name``, ``shape``, ``sum``, ``relevance``
  - ``inputs``: the same with ``features`` and ``values``
  - ``ledger``: ``rows`` (a list of ``call``, ``where``, ``kind``, ``amount``), ``residual``, ``amplification``

  - of a text: ``words``, a list of ``text`` and ``relevance``
  - with several targets: ``targets``, one object a target: ``asked`` (its words on the command line), and of the above
    ``explained``, ``target``, ``class``, ``layers``, ``inputs``, ``ledger``, which the sample then lacks

- nested lists of more than 4096 numbers are null: npz holds them. NaN and infinity are null too.

npz: ``explained`` (N,), then per sample ``1/output``, ``1/layers/NAME``, ``1/inputs/NAME``. With several targets
``targets`` (K,) has their words, ``explained`` is (K, N), and layers and inputs have a leading axis K.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from lrp.cli.options import Request
from lrp.cli.records import Array, Failure, Sample

__all__ = ["json_of", "npz_of"]

MANY = 4096


def json_of(samples: Sequence[Sample], request: Request, failures: Sequence[Failure] = ()) -> str:
    """Return the samples as JSON."""
    asked: dict[str, Any] = {
        "model": request.model,
        "inputs": [*request.inputs, *request.text],
        "weights": request.weights,
        "through_output": request.through_output,
    }
    references = {"reference": request.reference, "reference_output": request.reference_output}
    asked |= {name: value for name, value in references.items() if value is not None}
    failed = [{"input": failure.input, "error": str(failure.error)} for failure in failures]
    found = [entry(targets) for targets in by_number(samples)]
    return json.dumps({"lrp": 1, **asked, "failed": failed, "samples": found}, indent=1) + "\n"


def by_number(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return the records of each sample: one for each target."""
    return [list(targets) for _, targets in groupby(samples, key=lambda sample: (sample.input, sample.number))]


def entry(targets: list[Sample]) -> dict[str, Any]:
    """Return one sample as what JSON knows."""
    sample = targets[0]
    run = {
        **(
            {"words": [{"text": text, "relevance": finite(value)} for text, value in sample.words]}
            if sample.words
            else {}
        ),
        "composite": {"name": sample.composite, "why": sample.why},
        "notes": list(sample.notes),
        "output": [
            {"name": item.name, "shape": list(item.values.shape), "values": nested(item.values)}
            for item in sample.output
        ],
    }
    if sample.which:
        found = [{"asked": target.asked, **start(target), **relevances(target)} for target in targets]
        return {"input": sample.input, "sample": sample.number, **run, "targets": found}
    return {"input": sample.input, "sample": sample.number, **start(sample), **run, **relevances(sample)}


def start(sample: Sample) -> dict[str, Any]:
    """Return what was explained."""
    return {"explained": finite(sample.explained), "target": sample.target, "class": sample.index}


def relevances(sample: Sample) -> dict[str, Any]:
    """Return the relevance of the layers and inputs, and the ledger."""
    return {
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
        **(
            {"positions": [{"name": e.name, **relevance(e.values)} for e in sample.positions]}
            if sample.positions
            else {}
        ),
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


def npz_of(samples: Sequence[Sample]) -> bytes:
    """Return the samples as the bytes of a numpy archive."""
    grouped = by_number(samples)
    several = bool(samples[0].which)
    explained = np.array([[target.explained for target in targets] for targets in grouped])
    found: dict[str, Any] = {"explained": explained.T if several else explained[:, 0]}
    if several:
        found["targets"] = np.array([target.asked for target in grouped[0]])
    for targets in grouped:
        number = targets[0].number
        for name in numbers(targets[0]):
            values = [numbers(target)[name] for target in targets]
            found[f"{number}/{name}"] = np.stack(values) if several else values[0]
        found.update({f"{number}/{item.name}": item.values for item in targets[0].output})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **found)
    return buffer.getvalue()


def numbers(sample: Sample) -> dict[str, Array]:
    """Return the relevance of layers and inputs by name."""
    layers = {f"layers/{item.name}": item.values for item in sample.layers}
    inputs = {f"inputs/{item.name}": item.values for item in sample.sources}
    return layers | inputs | {f"positions/{item.name}": item.values for item in sample.positions}
