"""Packages that are not installed with lrp alone."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lrp.errors import MissingExtraError

__all__ = ["imported"]


def imported(module: str, extra: str, problem: str, where: str) -> Any:
    """Return a module of a package that comes with an extra.

    Args:
        module: its dotted name.
        extra: as in `pip install "lrp[extra]"`.
        problem: what cannot be done without it, in words.
        where: what asked for it.

    Raises:
        MissingExtraError: it cannot be imported.

    >>> imported("no_such_package", "viz", "figures need a package", "lrp.viz")
    Traceback (most recent call last):
    lrp.errors.MissingExtraError: figures need a package
      where: lrp.viz
      seen:  No module named 'no_such_package'
      cure:  pip install "lrp[viz]"
    """
    try:
        return import_module(module)
    except ImportError as error:
        cure = f'pip install "lrp[{extra}]"'
        raise MissingExtraError(problem, where=where, seen=str(error), cure=cure) from error
