"""Explanations as HTML pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from lrp import report, viz
from lrp.cli.options import Request
from lrp.cli.records import Explained, Failure, Sample
from lrp.cli.rows import at
from lrp.report.index import Entry, index, thumbnail
from lrp.viz.words import number

__all__ = ["command_of", "entries_of", "index_of", "page_of"]

LETTERS = 120


def page_of(ones: Sequence[Explained], request: Request, title: str | None = None) -> bytes:
    """Return the page about some samples."""
    many = len({one.item for one in ones}) > 1
    made = report.page(
        [one.text or one.result for one in ones],
        picture=[one.inputs.picture for one in ones],
        names=[list(one.inputs.features) or None for one in ones],
        labels=ones[0].labels,
        samples=[name_of(one, many) for one in ones],
        command=command_of(request),
        title=title and shortened(title),
    )
    return made.encode(errors="replace")


def index_of(entries: Sequence[Entry], failures: Sequence[Failure], request: Request) -> bytes:
    """Return the page that leads to the reports."""
    failed = [(shortened(failure.input), str(failure.error)) for failure in failures]
    return index(entries, failed=failed, command=command_of(request)).encode(errors="replace")


def entries_of(one: Explained, link: str, samples: int) -> list[Entry]:
    """Return what the index says of an input: an entry for each target of its first sample.

    Args:
        one: the first sample.
        link: the path of its report below the index.
        samples: how many of its samples were explained.
    """
    entries = []
    for sample in one.samples:
        picture = picture_of(one, sample)
        entries.append(
            Entry(
                shortened(one.item.name),
                link,
                samples,
                sample.target,
                sample.explained,
                sample.reached,
                picture,
                "" if picture else strongest(sample),
            )
        )
    return entries


def picture_of(one: Explained, sample: Sample) -> str:
    """Return the thumbnail of an image's relevance, over its photograph where there is one; else nothing."""
    values = sample.sources[0].values
    if len(sample.sources) > 1 or values.ndim != 3 or not np.isfinite(values).all():
        return ""
    photograph = one.inputs.picture
    return thumbnail(viz.heatmap(values) if photograph is None else viz.overlay(values, photograph))


def strongest(sample: Sample) -> str:
    """Return the word, feature or place with the largest absolute relevance, and its relevance."""
    if sample.words:
        word, relevance = max(sample.words, key=lambda word: abs(word[1]))
        return f"{word} {number(relevance)}"
    source = max(sample.sources, key=lambda source: np.abs(source.values).max())
    found = np.unravel_index(int(np.abs(source.values).argmax()), source.values.shape)
    place = tuple(map(int, found))
    words = source.features[place[-1]] if source.features else f"{source.name} {at(place)}"
    return f"{words} {number(float(source.values[place]))}"


def shortened(name: str) -> str:
    """Return a name, cut where it is a long text."""
    return name if len(name) <= LETTERS else f"{name[:LETTERS]}…"


def name_of(one: Explained, many: bool) -> str:
    """Return what a sample is called: its number in the only input, else its input too."""
    number = one.samples[0].number
    if not many:
        return str(number)
    return f"{one.item.name} {number}" if len(one.inputs) > 1 else one.item.name


def command_of(request: Request) -> list[str]:
    """Return the command that makes a request, word by word.

    >>> command_of(Request("net.py:Net", inputs=("a.png", "b.png"), target=("top:2",), size=224, mono=True))
    ['lrp', 'explain', 'net.py:Net', 'a.png', 'b.png', '--target', 'top:2', '--size', '224', '--mono']
    """
    words = ["lrp", "explain", request.model, *request.inputs]
    for field in fields(request):
        value = getattr(request, field.name)
        if field.name in ("model", "inputs") or value == field.default:
            continue
        option = f"--{field.name.replace('_', '-')}"
        for item in value if isinstance(value, tuple) else (value,):
            words += [option] if item is True else [option, str(item)]
    return words
