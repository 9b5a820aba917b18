"""What becomes of the explanations: one document about all inputs, or files about each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrp.cli.files import ONE_EACH, Destination, write_all
from lrp.cli.items import Item, Items
from lrp.cli.options import Request
from lrp.cli.pictures import pictures
from lrp.cli.records import Explained, Failure, Sample
from lrp.cli.rows import Line, csv_of, line_of, lines_of, parquet_of
from lrp.cli.run import explained
from lrp.cli.tables import json_of, npz_of
from lrp.cli.text import text_of
from lrp.errors import InputError
from lrp.models.parquet import pyarrow_of

if TYPE_CHECKING:
    from lrp.report.index import Entry

__all__ = ["write_results"]

TABLES = ("csv", "parquet")


def write_results(request: Request, items: Items, place: Destination) -> list[Failure]:
    """Explain all inputs, write what was asked for, and return the inputs of several that could not be explained."""
    if place.format == "parquet":
        pyarrow_of("--format parquet")  # before the work, not after it
    failures: list[Failure] = []
    found = explained(request, items, failures if items.many else None)
    if items.many and place.format in ONE_EACH:
        write_each(found, place, failures)
    elif items.many and place.format in TABLES:
        write_table([line_of(sample) for one in found for sample in one.samples], place)
    elif place.format == "png":
        write_pictures(list(found), place)
    elif items.many and place.format == "html" and place.folder:
        write_reports(found, request, place, failures)
    elif place.format == "html":
        write_page(found, request, place)
    else:
        write_document(found, request, place, failures, many=items.many)
    return failures


def write_each(found: Iterable[Explained], place: Destination, failures: list[Failure]) -> None:
    """Write files about each input as soon as they are made, and at the end the table of all."""
    assert place.path is not None
    lines: list[Line] = []
    count = 0
    for item, ones in groupby(found, key=lambda one: one.item):
        try:
            files, samples = files_of(item, list(ones), place.path, place.format)
        except InputError as error:
            failures.append(Failure(item.name, error))
            continue
        write_all(files)
        count += len(files)
        lines += [line_of(sample) for sample in samples]
    if lines:
        write_all({place.path / "relevance.csv": csv_of(lines).encode()})
        click.echo(f"wrote {count} files and relevance.csv to {place.path}", err=True)


def files_of(
    item: Item, ones: Sequence[Explained], folder: Path, format: str
) -> tuple[dict[Path, bytes], list[Sample]]:
    """Return the files about one input, and its records."""
    samples = [sample for one in ones for sample in one.samples]
    if format == "npz":
        return {folder / f"{item.stem}.npz": npz_of(samples)}, samples
    return pictures(samples, folder, True, ones[-1].inputs.picture, item.stem), samples


def write_pictures(ones: Sequence[Explained], place: Destination) -> None:
    """Write the heatmaps of one input."""
    assert place.path is not None
    samples = [sample for one in ones for sample in one.samples]
    files = pictures(samples, place.path, place.folder, ones[-1].inputs.picture)
    write_all(files)
    for path in files:
        click.echo(f"wrote {path}", err=True)


def write_table(lines: Sequence[Line], place: Destination) -> None:
    """Write the table of several inputs."""
    if lines:
        deliver(csv_of(lines).encode() if place.format == "csv" else parquet_of(lines), place, "relevance")


def write_page(found: Iterable[Explained], request: Request, place: Destination) -> None:
    """Write a page about the first samples; no more are explained than it has room for."""
    from lrp import report
    from lrp.cli.pages import page_of

    report.template()  # where a package is missing, that is told before the work
    if ones := list(islice(found, report.MOST)):
        deliver(page_of(ones, request), place, "explanation")


def write_reports(found: Iterable[Explained], request: Request, place: Destination, failures: list[Failure]) -> None:
    """Write a report about each input as soon as it is made; at the end the table of all, and a page that leads there.

    In memory are the samples of one report, and a line and an entry for each of the others.
    """
    from lrp import report
    from lrp.cli.pages import entries_of, index_of, page_of

    assert place.path is not None
    report.template()
    lines: list[Line] = []
    entries: list[Entry] = []
    count = 0
    for item, group in groupby(found, key=lambda one: one.item):
        ones = iter(group)
        shown = list(islice(ones, report.MOST))
        own = [[line_of(sample) for sample in one.samples] for one in chain(shown, ones)]
        link = f"reports/{item.stem}.html"
        try:
            made, added = page_of(shown, request, title=item.name), entries_of(shown[0], link, len(own))
        except InputError as error:
            failures.append(Failure(item.name, error))
            continue
        write_all({place.path / link: made})
        lines += chain(*own)
        entries += added
        count += 1
    if count:
        write_all({place.path / "relevance.csv": csv_of(lines).encode()})
        write_all({place.path / "index.html": index_of(entries, failures, request)})
        click.echo(f"wrote index.html, relevance.csv and {count} reports to {place.path}", err=True)


def write_document(
    found: Iterable[Explained], request: Request, place: Destination, failures: list[Failure], *, many: bool
) -> None:
    """Write one document about everything."""
    samples: list[Sample] = []
    texts: list[str] = []
    for one in found:
        samples += one.samples
        if place.format == "text":
            texts += [text_of(sample, one.labels, with_input=many) for sample in one.samples]
    if not samples:
        return
    if place.format == "json":
        made = json_of(samples, request, failures).encode()
    elif place.format == "csv":
        made = csv_of(list(lines_of(samples))).encode()
    elif place.format == "parquet":
        made = parquet_of(list(lines_of(samples)))
    elif place.format == "npz":
        made = npz_of(samples)
    else:
        made = "\n".join(texts).encode()
    deliver(made, place, "explanation")


def deliver(made: bytes, place: Destination, name: str) -> None:
    """Write a document to stdout, to the file, or into the folder under a name."""
    if place.path is None:
        click.echo(made.decode(), nl=False)
        return
    ending = "txt" if place.format == "text" else place.format
    path = place.path / f"{name}.{ending}" if place.folder else place.path
    write_all({path: made})
    click.echo(f"wrote {path}", err=True)
