"""``lrp layers``."""

from __future__ import annotations

from typing import Any

import click

from lrp.cli.options import Request, loading

__all__ = ["layers"]


@click.command()
@loading
def layers(**options: Any) -> None:
    """List the modules of MODEL: the names that --layers takes, their types and their parameters' shapes."""
    from lrp.cli.run import load

    rows = []
    for path, module in load(Request(**options)).named_modules():
        shapes = [f"{name} {tuple(value.shape)}" for name, value in module.named_parameters(recurse=False)]
        rows.append((path or "(the model)", type(module).__name__, ", ".join(shapes)))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for path, kind, parameters in rows:
        click.echo(f"{path:<{widths[0]}}  {kind:<{widths[1]}}  {parameters}".rstrip())
