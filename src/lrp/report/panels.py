"""What the page shows of each sample: its input, and for each target the relevance of the input and the kept layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from lrp.engine.structure import tensors_in
from lrp.errors import InputError
from lrp.relevance import Relevance, named_inputs
from lrp.report import pictures, views
from lrp.report.grids import Array
from lrp.report.pictures import Shown
from lrp.report.tables import Row, Table, bar, numeric
from lrp.report.tables import text as text_cell
from lrp.report.views import View
from lrp.text import TextRelevance
from lrp.viz.photo import array
from lrp.viz.words import aim

__all__ = ["MOST", "Panel", "Sample", "overview", "samples_of"]

MOST = 64
LAYERS = 40
FEATURES = 128


@dataclass(frozen=True)
class Panel:
    """The relevance of one sample for one target.

    Args:
        target: what was explained, in words.
        explained: the explained output.
        reached: the sum of the relevance of the inputs.
        inputs, layers: how they are shown.
    """

    target: str
    explained: float
    reached: float
    inputs: Sequence[View]
    layers: Sequence[View]


@dataclass(frozen=True)
class Sample:
    """One sample: pictures of its inputs by name, and a panel for each target."""

    pictures: Mapping[str, Shown]
    panels: Sequence[Panel]


@dataclass(frozen=True)
class _Input:
    """One input of one sample, its values and what is known about it; `kind` is how it is shown."""

    name: str
    kind: str
    values: NDArray[Any] | None
    names: Sequence[str]
    shown: Shown | None


def samples_of(
    r: Relevance,
    first: int,
    *,
    picture: Any,
    names: Any,
    labels: Sequence[str],
    text: TextRelevance | None,
) -> list[Sample]:
    """Return what the page shows of the first samples of a result, at most 64.

    Args:
        r: the result.
        first: the place of its first sample on the page.
        picture: of the first input: one for all samples, or a list of one for each on the page.
        names: of the features or tokens: a list or `{input name: list}` for all samples, or a list of such for each.
        labels: the names of the classes.
        text: the text it belongs to.

    Raises:
        InputError: names or pictures that are not as many as there must be.
    """
    count = r.explained.shape[-1]
    singles = r.split()
    if text is not None and names is None:
        names = [token.text for token in text.tokens]
    shown = range(min(count, MOST))
    last = first + len(shown)
    pictures = picture if isinstance(picture, list) else [picture] * last
    each_names = names if isinstance(names, list) and names and not isinstance(names[0], str) else [names] * last
    if min(len(pictures), len(each_names)) < last:
        seen = f"{len(pictures)} pictures, names for {len(each_names)}"
        raise InputError("pictures or names do not go round", where="report(picture=..., names=...)", seen=seen)
    return [_sample(singles, at, count, pictures[first + at], each_names[first + at], labels, text) for at in shown]


def overview(samples: Sequence[Sample], names: Sequence[str]) -> list[Table]:
    """Return a table of the samples for each target: what was explained, and what reached the inputs."""
    tables = []
    for target in range(len(samples[0].panels)):
        panels = [sample.panels[target] for sample in samples]
        largest = max(abs(panel.explained) for panel in panels)
        rows = [
            Row(
                (
                    text_cell(name),
                    text_cell(panel.target),
                    numeric(panel.explained),
                    numeric(panel.reached),
                ),
                bar(panel.explained, largest),
            )
            for name, panel in zip(names, panels, strict=False)
        ]
        heads = ("sample", "explained", "output", "reached the inputs")
        tables.append(Table("What was explained", "samples", heads, rows))
    return tables


def _sample(
    singles: Sequence[Relevance],
    at: int,
    count: int,
    picture: Any,
    names: Any,
    labels: Sequence[str],
    text: TextRelevance | None,
) -> Sample:
    inputs = _inputs(singles[0], at, count, picture, names)
    panels = [_panel(single, at, count, inputs, labels, text) for single in singles]
    return Sample({i.name: i.shown for i in inputs if i.shown is not None}, panels)


def _inputs(r: Relevance, at: int, count: int, picture: Any, names: Any) -> list[_Input]:
    values = named_inputs(r.values)
    inputs: list[_Input] = []
    for name, relevance in named_inputs(r.input).items():
        shape = _of_sample(relevance, at, count).shape
        given = _of_sample(values[name], at, count) if name in values else None
        given = given if given is not None and given.shape == shape and given.dtype.kind != "c" else None
        its_names = _names(names, name, shape)
        its_picture = None if inputs else picture
        kind = _kind(shape, given, bool(its_names), its_picture is not None)
        if kind == "text" and given is not None and not its_names:
            its_names = [str(number) for number in given.tolist()]
        inputs.append(_Input(name, kind, given, its_names, _shown(kind, given, its_picture, shape)))
    for name, relevance in r.positions.items():
        shape = _of_sample(relevance, at, count).shape
        tokens = next((i for i in inputs if i.kind == "text" and (len(i.names),) == shape), None)
        inputs.append(_Input(name, "text" if tokens else "elements", None, tokens.names if tokens else (), None))
    return inputs


def _kind(shape: tuple[int, ...], values: NDArray[Any] | None, named: bool, pictured: bool) -> str:
    """How an input is shown: text, image, signal, features, volume or elements."""
    if values is not None and values.dtype.kind in "iu" and len(shape) == 1:
        return "text"
    if pictured and len(shape) in (2, 3):
        return "image"
    flat = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    if len(flat) == 2 and flat[0] <= FEATURES and flat[1] >= 4 * flat[0]:
        return "signal"
    if len(shape) == 1 and (named or shape[0] <= FEATURES):
        return "features"
    return {0: "features", 1: "signal", 2: "image", 3: "image", 4: "volume"}.get(len(shape), "elements")


def _shown(kind: str, values: NDArray[Any] | None, picture: Any, shape: tuple[int, ...]) -> Shown | None:
    if picture is not None:
        if kind != "image":
            cure = "picture=None"
            raise InputError("a picture is of rows and columns", seen=f"an input of shape {shape}", cure=cure)
        return pictures.photograph(picture, shape[-2:])
    if values is None:
        return None
    if kind == "signal":
        return pictures.traces(values.reshape(-1, shape[-1]))
    return pictures.pictured(values) if kind == "image" else None


def _panel(
    r: Relevance, at: int, count: int, inputs: Sequence[_Input], labels: Sequence[str], text: TextRelevance | None
) -> Panel:
    explained = float(r.explained[at])
    sources = {**named_inputs(r.input), **r.positions}
    relevances = {i.name: _of_sample(sources[i.name], at, count) for i in inputs}
    shown = [_view(i, relevances[i.name], explained, text) for i in inputs]
    layers = []
    for name in list(r.layers)[:: -(-len(r.layers) // LAYERS) or 1]:
        tensors = tensors_in(r.layers[name])
        if tensors and (count == 1 or tensors[0].shape[:1] == (count,)):
            layers.append(_layer(name, _of_sample(tensors[0], at, count), explained, inputs))
    words = text.target if text else aim(r, at, labels)
    return Panel(words, explained, sum(float(x.sum()) for x in relevances.values()), shown, layers)


def _view(i: _Input, relevance: Array, explained: float, text: TextRelevance | None) -> View:
    if i.kind == "text":
        special = [token.special for token in text.tokens] if text else [False] * len(relevance)
        words = [(word.text, word.relevance) for word in text.words] if text and i.values is not None else []
        return views.text_view(i.name, relevance, i.names, special, explained, words)
    if i.kind == "image":
        return views.image_view(i.name, relevance, explained)
    if i.kind == "volume":
        return views.volume_view(i.name, relevance, explained)
    if i.kind == "signal":
        values = None if i.values is None else array(i.values).reshape(-1, relevance.shape[-1])
        return views.signal_view(i.name, relevance.reshape(-1, relevance.shape[-1]), values, explained)
    if i.kind == "features":
        features = None if i.values is None else i.values.reshape(-1)
        return views.features_view(i.name, relevance.reshape(-1), features, i.names, explained)
    return views.elements_view(i.name, relevance, explained)


def _layer(name: str, relevance: Array, explained: float, inputs: Sequence[_Input]) -> View:
    first = inputs[0]
    if relevance.ndim == 3 and first.kind == "image":
        return views.channels_view(name, relevance, explained)
    if relevance.ndim == 4 and first.kind == "volume":
        return views.volume_view(name, relevance, explained)
    if relevance.ndim == 2 and first.kind == "text" and len(relevance) == len(first.names):
        return views.text_view(name, relevance.sum(1), first.names, [False] * len(first.names), explained)
    if relevance.ndim == 2 and first.kind == "signal":
        return views.signal_view(name, relevance, None, explained)
    return views.elements_view(name, relevance, explained)


def _of_sample(tensor: Tensor, at: int, count: int) -> NDArray[Any]:
    """One sample's part, integers as they are; the whole of a tensor whose first axis is not that of the samples."""
    if tensor.dim() and len(tensor) == count:
        tensor = tensor[at]
    return array(tensor) if tensor.is_floating_point() else tensor.detach().cpu().numpy()


def _names(names: Any, name: str, shape: tuple[int, ...]) -> Sequence[str]:
    found = names.get(name) if isinstance(names, Mapping) else names
    if found is None or len(shape) > 1:
        return ()
    found = [str(word) for word in found]
    size = shape[0] if shape else 1
    if len(found) != size:
        raise InputError(
            "names are as many as the features or tokens",
            where=f"report(names=...), input {name!r}",
            seen=f"{len(found)} names, {size} features",
            cure="a list of names, or {input name: list}",
        )
    return found
