"""One sample's explanation as plain numbers, for every format to print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lrp.relevance import Relevance

__all__ = ["Layer", "Row", "Sample", "Source", "arrays", "sample_of"]

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Layer:
    """The relevance at a module's output; ``values`` without the sample axis."""

    name: str
    values: Array


@dataclass(frozen=True)
class Source:
    """The relevance of one input; ``inputs`` and ``values`` without the sample axis, ``features`` often empty."""

    name: str
    inputs: Array
    values: Array
    features: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One line of the ledger: what an op call kept."""

    call: str
    where: str
    kind: str
    amount: float


@dataclass(frozen=True)
class Sample:
    """The explanation of one sample.

    Attributes:
        number: which sample of the file, from 1.
        explained: the explained value; what it is stands in `target` and `notes`.
        target: the target in words.
        output: what the model returned, one entry per tensor.
        layers: the kept layers, from the output to the input.
        sources: the inputs.
        rows, residual, amplification: the ledger.
        composite, why: the composite's name and the reason it was chosen.
        notes: what the reader must know.
    """

    number: int
    explained: float
    target: str
    output: tuple[Layer, ...]
    layers: tuple[Layer, ...]
    sources: tuple[Source, ...]
    rows: tuple[Row, ...]
    residual: float
    amplification: float
    composite: str
    why: str
    notes: tuple[str, ...]

    @property
    def reached(self) -> float:
        """The relevance that reached the inputs."""
        return sum(float(source.values.sum()) for source in self.sources)


def sample_of(r: Relevance, number: int, inputs: Mapping[str, Any], features: tuple[str, ...]) -> Sample:
    """Return the record of a result for one sample.

    Args:
        r: a result whose ``explained`` has shape (1,).
        number: which sample of the file, from 1.
        inputs: the input tensors by name, shape (1, ...); a single positional one is called ``input``.
        features: the names of the last axis of the input, or nothing.
    """
    relevance = arrays("input", r.input) if not isinstance(r.input, Mapping) else arrays("", r.input)
    given = {name: array for key, tensor in inputs.items() for name, array in arrays(key, tensor)}
    return Sample(
        number=number,
        explained=float(r.explained.sum()),
        target=str(r.target),
        output=tuple(Layer(name, values) for name, values in arrays("output", r.output)),
        layers=tuple(Layer(name, values) for path, value in r.layers.items() for name, values in arrays(path, value)),
        sources=tuple(Source(name, given[name], values, features) for name, values in relevance),
        rows=tuple(Row(str(row.call), row.where, row.kind, float(row.amount)) for row in r.ledger.rows),
        residual=float(r.ledger.residual),
        amplification=float(r.ledger.amplification),
        composite=r.composite.name,
        why=r.composite.why or "",
        notes=tuple(r.notes),
    )


def arrays(name: str, value: Any) -> list[tuple[str, Array]]:
    """Return the float tensors in a structure, each without its first axis of one sample, under a name that says where.

    A tensor keeps the name, ``(a, b)`` gives ``name[0]`` and ``name[1]``, a mapping gives ``name.key``. What is no
    float tensor (None, text, indices) is left out. bfloat16 and float16 become float32, which numpy can hold.
    """
    if hasattr(value, "detach"):
        if not value.is_floating_point():
            return [(name, value.detach().cpu().numpy()[0])] if value.ndim else []
        wide = value.detach().cpu()
        wide = wide.float() if wide.dtype.itemsize < 4 else wide
        return [(name, wide.numpy()[0] if wide.ndim and len(wide) == 1 else wide.numpy())]
    if isinstance(value, Mapping):
        return [found for key, item in value.items() for found in arrays(f"{name}.{key}".lstrip("."), item)]
    if isinstance(value, (tuple, list)):
        return [found for index, item in enumerate(value) for found in arrays(f"{name}[{index}]", item)]
    return []
