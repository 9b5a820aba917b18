"""What a shell may complete: presets and the words of targets, without importing torch or running the user's code."""

from __future__ import annotations

import ast
from pathlib import Path

import click

from lrp.cli.parse import labels_of
from lrp.errors import LoadError

__all__ = ["presets_like", "targets_like"]

KINDS = ("top", "top:", "diff:", "logodds:", "token:")


def presets_like(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the presets that begin so."""
    return [name for name in preset_names() if name.startswith(incomplete)]


def targets_like(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the words of targets, and the names of ``--labels``, that begin so."""
    try:
        labels = labels_of(context.params.get("labels"))
    except LoadError:
        labels = ()
    return [word for word in (*KINDS, *labels) if word.startswith(incomplete)]


def preset_names() -> list[str]:
    """Return the names of the presets as they stand in their file, which imports torch."""
    tree = ast.parse((Path(__file__).parents[1] / "presets.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return sorted(ast.literal_eval(node.value))
    return []
