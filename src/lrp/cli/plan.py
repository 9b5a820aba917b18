"""``lrp plan``."""

from __future__ import annotations

from typing import Any

import click

from lrp.cli.options import Request, explaining, loading

__all__ = ["plan"]


@click.command()
@loading
@explaining
def plan(**options: Any) -> None:
    """Show what rule each operation of MODEL gets on INPUT, and why.

    The plan is that of the first sample. MODEL, INPUT and the options are those of `lrp explain`.
    """
    from lrp.cli.items import items_of
    from lrp.cli.run import explained

    request = Request(**options)
    for one in explained(request, items_of(request.inputs, request.text), first_only=True):
        click.echo(str(one.result.plan))
