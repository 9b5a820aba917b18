"""Where results go: stdout, one file, or a folder; every file whole or not at all."""

from __future__ import annotations

from pathlib import Path

import click

from lrp.errors import InputError, nearest
from lrp.writing import write_whole

__all__ = ["ONE_EACH", "Destination", "destination", "write_all"]

ENDINGS = {
    ".txt": "text",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".npz": "npz",
    ".png": "png",
    ".html": "html",
}
TERMINAL = ("text", "json", "csv")
ONE_EACH = ("npz", "png")
"""Formats of which every input gets files of its own."""


class Destination:
    """The format of the results and where they go: ``path`` is None for stdout, else a file, or a folder.

    >>> destination("maps/", "png").folder
    True
    """

    def __init__(self, format: str, path: Path | None, folder: bool) -> None:
        self.format, self.path, self.folder = format, path, folder


def destination(out: str | None, format: str | None, *, many: bool = False) -> Destination:
    """Return what ``--out`` and ``--format`` mean together, before any work is done.

    A path with one of the `ENDINGS` is a file; one without an ending, or an existing folder, is a folder.

    Args:
        out, format: the options.
        many: whether several inputs are explained, which need a folder for files about each of them.

    Raises:
        click.UsageError: they contradict each other, or the ending says nothing.
    """
    if out is None:
        if format not in (None, *TERMINAL):
            raise click.UsageError(f"--format {format} is not for a terminal: add --out PATH.")
        return Destination(format or "text", None, False)
    path = Path(out)
    if path.is_dir() or out.endswith("/") or not path.suffix:
        if path.is_file():
            raise click.UsageError(f"--out {out} is a file without an ending that says its format.")
        return Destination(format or "text", path, True)
    kind = ENDINGS.get(path.suffix.lower())
    if kind is None:
        close = nearest(path.suffix.lower(), list(ENDINGS))
        raise click.UsageError(f"--out {out}: the ending must be {close}; or name a folder.")
    if format not in (None, kind):
        raise click.UsageError(f"--out {out} is a {kind} file, but --format says {format}.")
    if many and kind in ONE_EACH:
        raise click.UsageError(f"--out {out} is one file for several inputs: name a folder, --out DIR --format {kind}.")
    return Destination(kind, path, False)


def write_all(files: dict[Path, bytes]) -> None:
    """Write files, each under a temporary name first; nothing is left behind by a failure but whole files.

    Raises:
        InputError: a folder that cannot be made, or a file that cannot be written.
    """
    for path, data in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError("the result cannot be written", where=str(path), seen=str(error)) from error
        write_whole(path, data)
