"""What the user's code and lrp say while they run: kept from stdout, and said once."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator

from lrp.errors import LRPWarning

__all__ = ["quiet", "unwarned"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what the user's own code prints to stderr: stdout holds results alone."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def unwarned() -> Iterator[None]:
    """Keep lrp's own warnings from stderr: they are among the notes of the result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LRPWarning)
        yield
