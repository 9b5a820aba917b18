"""One sample's explanation as plain numbers, for every format to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lrp.errors import LRPError
from lrp.viz.words import aim, is_only_output

if TYPE_CHECKING:
    from lrp.cli.items import Item
    from lrp.models import Inputs
    from lrp.relevance import Relevance
    from lrp.text import TextRelevance

__all__ = ["Explained", "Failure", "Layer", "Row", "Sample", "Source", "arrays", "sample_of", "samples_of"]

Array = NDArray[Any]


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
class Failure:
    """An input that could not be explained, and why."""

    input: str
    error: LRPError


@dataclass(frozen=True)
class Row:
    """One line of the ledger: what an op call kept."""

    call: str
    where: str
    kind: str
    amount: float


@dataclass(frozen=True)
class Sample:
    """The explanation of one sample for one target.

    Attributes:
        number: which sample of the input, from 1.
        explained: the explained value; what it is stands in `target` and `notes`.
        target: what was explained, in words.
        index: the class that was explained, None where it is not one class of several.
        output: what the model returned, one entry per tensor.
        layers: the kept layers, from the output to the input.
        sources: the inputs.
        rows, residual, amplification: the ledger.
        composite, why: the composite's name and the reason it was chosen.
        notes: what the reader must know.
        which, asked: of several targets: which, from 1, and its words on the command line; else 0 and nothing.
        input: what the input is called.
        words: of a text, each word with its relevance.
        positions: the positional embeddings that are sources of their own.
    """

    number: int
    explained: float
    target: str
    index: int | None
    output: tuple[Layer, ...]
    layers: tuple[Layer, ...]
    sources: tuple[Source, ...]
    rows: tuple[Row, ...]
    residual: float
    amplification: float
    composite: str
    why: str
    notes: tuple[str, ...]
    which: int = 0
    asked: str = ""
    input: str = ""
    words: tuple[tuple[str, float], ...] = ()
    positions: tuple[Layer, ...] = ()

    @property
    def reached(self) -> float:
        """The relevance that reached the inputs, and the positional embeddings beside them."""
        values = [source.values for source in self.sources] + [embedding.values for embedding in self.positions]
        return sum(float(each.sum()) for each in values)


@dataclass(frozen=True)
class Explained:
    """One sample: its input, the result, what it was read as, a record for each target; a text also as such."""

    item: Item
    result: Relevance
    inputs: Inputs
    labels: tuple[str, ...]
    samples: list[Sample]
    text: TextRelevance | None = None


def samples_of(r: Relevance, number: int, asked: Sequence[str], *details: Any) -> list[Sample]:
    """Return the records of a result for one sample: one for each target, as `sample_of` makes them.

    Args:
        r: a result whose ``explained`` has shape (1,), or (K, 1) for several targets.
        number: which sample of the file, from 1.
        asked: the words of the targets.
        details: the further arguments of `sample_of`.
    """
    made = [sample_of(single, number, *details) for single in r.split()]
    if not r.several:
        return made
    return [replace(sample, which=k, asked=asked[k - 1]) for k, sample in enumerate(made, start=1)]


def sample_of(
    r: Relevance,
    number: int,
    features: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
) -> Sample:
    """Return the record of a result for one sample.

    Args:
        r: a result whose ``explained`` has shape (1,).
        number: which sample of the file, from 1.
        features: the names of the last axis of the input, or nothing.
        labels: the names of the classes, or nothing.
    """
    books = r.ledger
    assert books is not None  # the command line never asks for ledger=False
    name = "" if isinstance(r.input, Mapping) else "input"
    given = dict(arrays(name, r.values))
    return Sample(
        number=number,
        explained=float(r.explained.sum()),
        target=target_words(r, labels),
        index=None if r.indices is None or is_only_output(r) else int(r.indices[0]),
        output=tuple(Layer(name, values) for name, values in arrays("output", r.output)),
        layers=tuple(Layer(name, values) for path, value in r.layers.items() for name, values in arrays(path, value)),
        sources=tuple(Source(name, given[name], values, features) for name, values in arrays(name, r.input)),
        rows=tuple(Row(str(row.call), row.where, row.kind, float(row.amount)) for row in books.rows),
        residual=float(books.residual),
        amplification=float(books.amplification),
        composite=r.composite.name,
        why=r.composite.why or "",
        notes=tuple(r.notes),
        positions=tuple(
            Layer(name, values) for path, value in r.positions.items() for name, values in arrays(path, value)
        ),
    )


def target_words(r: Relevance, labels: tuple[str, ...]) -> str:
    """Return what was explained, in words: logit or output, of which class or token, and why of that."""
    from lrp.targets import LogOdds

    kind = "logit" if any("stepped over" in note for note in r.notes) else "output"
    if isinstance(r.target, LogOdds):
        return f"the {r.target}"
    if r.indices is None:
        return f"the {kind}: {r.target}"
    return f"the only {kind}" if is_only_output(r) else f"the {kind} of {aim(r, 0, labels)}"


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
