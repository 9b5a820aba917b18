"""``lrp explain``."""

from __future__ import annotations

from typing import Any

import click

from lrp.cli.options import FORMATS, Format, Request, explaining, loading

__all__ = ["explain"]


@click.command()
@loading
@explaining
@click.option("--layers", metavar="PATTERN|all", multiple=True, help="Keep these layers too; `lrp layers` lists them.")
@click.option(
    "--positions", is_flag=True, help="Positional embeddings are inputs of their own; else the ledger has their share."
)
@click.option(
    "--out",
    metavar="PATH",
    help="A .txt, .json, .csv, .parquet, .npz, .html (a page) or .png (heatmap) file, or a folder. Default: stdout.",
)
@click.option("--format", type=Format(FORMATS), help="Default: by the ending of --out, else text.")
@click.pass_context
def explain(context: click.Context, /, out: str | None, format: str | None, **options: Any) -> None:
    """Explain what MODEL says about each INPUT.

    MODEL is file.py:Class (its folder becomes importable, as with `python file.py`) or package.module:callable. It is
    built, given its weights and put in eval mode. hf:FOLDER is what save_pretrained of transformers wrote: read from
    the disk, out of safetensors, without running code of its own.

    INPUT is a file, a folder or a quoted pattern such as "photos/*.jpg": tables (.csv, .parquet: numbers), arrays
    (.npy, or .npz with keyword inputs by name), sounds (.wav, from -1 to 1) and images (RGB from 0 to 1, their own
    size unless --size or --preprocess says otherwise; with hf:FOLDER, its preprocessor_config.json does). The first
    axis is the sample axis; every sample is explained in a run of its own. --text takes a text instead.

    One input gives its whole explanation; in csv and parquet, a line a number. Several inputs give, in csv and
    parquet, a line each; in png and npz, files of each input in the folder --out, and the lines in relevance.csv; in
    html, there, a page about each and an index.html too. In --out x.html they share one page, of the first 64 samples.

    Exit code 3: some of several inputs could not be explained; stderr names them, and the others are there.
    """
    from lrp.cli.files import destination
    from lrp.cli.items import items_of

    destination(out, format)  # before anything is looked for: a contradiction is told at once
    request = Request(**options)
    items = items_of(request.inputs, request.text)
    place = destination(out, format, many=items.many)

    from lrp.cli.results import write_results

    failures = write_results(request, items, place)
    for failure in failures:
        click.echo(f"error: {failure.input}: {failure.error}", err=True)
    if failures:
        click.echo(f"{len(failures)} of {len(items.each)} inputs could not be explained", err=True)
        context.exit(2 if len(failures) == len(items.each) else 3)
