"""``lrp composites``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lrp.cli.composite import Preset

__all__ = ["composites"]

WIDTH = 100


@click.command()
@click.argument("name", required=False)
def composites(name: str | None) -> None:
    """List the presets that --composite takes: their rules, papers and when to use them.

    With NAME: that preset, with what its arguments mean.
    """
    from lrp.cli.composite import preset_of, presets_known

    names = presets_known() if name is None else [name]
    click.echo("\n\n".join("\n".join(shown(preset_of(each), whole=name is not None)) for each in names))


def shown(preset: Preset, *, whole: bool) -> Iterator[str]:
    """Yield a preset's lines; ``whole``: with all that is said about it."""
    yield preset.usage + ("   (the default)" if preset.name == "auto" else "")
    yield from wrapped("", preset.summary)
    for paragraph in preset.more if whole or preset.name == "auto" else ():
        yield from wrapped("", paragraph)
    yield from wrapped("use     ", preset.use)
    yield from wrapped("source  ", preset.source)
    for argument in preset.arguments if whole else ():
        yield from wrapped("", argument)
    if preset.table:
        yield f"  rules{f' for {preset.example}' if preset.example else ''}, the first match wins"
        yield from (f"  {line}" for line in preset.table)


def wrapped(label: str, text: str) -> list[str]:
    """Return a paragraph as indented lines, none for no text."""
    return textwrap.wrap(text, WIDTH, initial_indent=f"  {label}", subsequent_indent=" " * (2 + len(label)))
