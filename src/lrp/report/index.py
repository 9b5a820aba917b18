"""A page that leads to the reports about many inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from lrp.report.grids import data_uri
from lrp.report.panels import MOST
from lrp.report.style import frame, template
from lrp.report.tables import Cell, Row, Table, numeric, text
from lrp.report.words import without_folders

__all__ = ["Entry", "index"]

THUMBNAIL = 128


@dataclass(frozen=True)
class Entry:
    """What the page says of an input, for one target.

    Args:
        name: what the input is called.
        link: the address of its report.
        samples: how many of its samples were explained; the rest is of the first.
        target: what was explained, in words.
        explained, reached: the explained output, and the sum of the relevance of the inputs.
        picture: a picture of the relevance as an address that holds it, or nothing.
        strongest: where there is none: what has the largest absolute relevance, in words.
    """

    name: str
    link: str
    samples: int
    target: str
    explained: float
    reached: float
    picture: str
    strongest: str


def thumbnail(picture: Image.Image) -> str:
    """Return a small picture as an address that holds it."""
    small = picture.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return data_uri(small)


def index(entries: Sequence[Entry], *, failed: Sequence[tuple[str, str]], command: Sequence[str]) -> str:
    """Return the HTML of a page with a line for each entry, which links to its report.

    Args:
        entries: an entry for each input and target.
        failed: the inputs without a report, and why.
        command: what made the reports, word by word.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    most = max(entry.samples for entry in entries)
    columns = {
        "input": [Cell(entry.name, link=entry.link, picture=entry.picture) for entry in entries],
        "samples": [numeric(entry.samples, str(entry.samples)) for entry in entries] if most > 1 else [],
        "explained": [text(entry.target) for entry in entries],
        "output": [numeric(entry.explained) for entry in entries],
        "reached the inputs": [numeric(entry.reached) for entry in entries],
        "strongest": [text(entry.strongest) for entry in entries] if any(e.strongest for e in entries) else [],
    }
    shown = {head: cells for head, cells in columns.items() if cells}
    rows = [Row(cells) for cells in zip(*shown.values(), strict=True)]
    notes = []
    if most > 1:
        notes.append("Of an input with several samples the first is shown here.")
    if most > MOST:
        notes.append(f"Reports show the first {MOST} samples of an input.")
    return template("index.html").render(
        title="Relevance of many inputs",
        **frame("tables.js"),
        count=len({entry.link for entry in entries}),
        notes=notes,
        inputs=Table("Inputs", "inputs", list(shown), rows),
        failed=[(name, without_folders(reason)) for name, reason in failed],
        command=without_folders(command),
    )
