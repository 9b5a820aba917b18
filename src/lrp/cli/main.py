"""The group of commands, and what becomes of errors."""

from __future__ import annotations

from typing import Any

import click

from lrp.cli.app import app
from lrp.cli.composites import composites
from lrp.cli.demo import demo
from lrp.cli.explain import explain
from lrp.cli.layers import layers
from lrp.cli.plan import plan
from lrp.errors import LRPError

__all__ = ["main"]


class Commands(click.Group):
    """Commands whose `LRPError`s end as a message on stderr and exit code 2, as click's own usage errors do."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LRPError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(2)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lrp")
def main() -> None:
    """Explain PyTorch models by Layer-wise Relevance Propagation.

    Results go to stdout, progress and messages to stderr. Exit code 2: the request could not be carried out as given.
    """


for command in (explain, plan, layers, composites, demo, app):
    main.add_command(command)
