"""``lrp explain``."""

from __future__ import annotations

from typing import Any

import click

from lrp.cli.options import FORMATS, Request, explaining, loading

__all__ = ["explain"]


@click.command()
@loading
@explaining
@click.option("--layers", metavar="PATTERN|all", multiple=True, help="Keep these layers too; `lrp layers` lists them.")
@click.option(
    "--out",
    metavar="PATH",
    help="A .txt, .json, .csv, .npz or .png (heatmap) file, or a folder (png: heatmap and overlay). Default: stdout.",
)
@click.option("--format", type=click.Choice(FORMATS), help="Default: by the ending of --out, else text.")
def explain(out: str | None, format: str | None, **options: Any) -> None:
    """Explain what MODEL says about INPUT.

    MODEL is file.py:Class (its folder becomes importable, as with `python file.py`) or package.module:callable. It is
    built, given its weights and put in eval mode.

    INPUT is a table (.csv: numbers, with or without a header), an array (.npy, or .npz with keyword inputs by name)
    or an image (RGB from 0 to 1, its own size unless --size says otherwise). Its first axis is the sample axis; every
    sample is explained in a run of its own.
    """
    from lrp.cli.files import destination, write_all

    place = destination(out, format)  # before torch is imported: a contradiction is told at once
    request = Request(**options)

    from lrp.cli.parse import labels_of
    from lrp.cli.pictures import pictures
    from lrp.cli.records import samples_of
    from lrp.cli.run import explained
    from lrp.cli.tables import csv_of, json_of, npz_of
    from lrp.cli.text import text_of

    labels = labels_of(request.labels)
    samples, photograph = [], None
    for one in explained(request):
        features, photograph = one.inputs.features, one.inputs.picture
        samples += samples_of(one.result, one.number, request.target, one.given, features, labels, one.warnings)

    if place.format == "png" and place.path is not None:
        files = pictures(samples, place.path, place.folder, photograph)
    else:
        made: str | bytes
        if place.format == "json":
            made = json_of(samples, request)
        elif place.format == "csv":
            made = csv_of(samples)
        elif place.format == "npz":
            made = npz_of(samples)
        else:
            made = "\n".join(text_of(sample, labels) for sample in samples)
        if place.path is None:
            click.echo(made, nl=False)
            return
        ending = "txt" if place.format == "text" else place.format
        path = place.path / f"explanation.{ending}" if place.folder else place.path
        files = {path: made.encode() if isinstance(made, str) else made}
    write_all(files)
    for path in files:
        click.echo(f"wrote {path}", err=True)
