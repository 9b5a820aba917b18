"""What the user's code and lrp say while they run: kept from stdout, and collected."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator

from lrp.errors import LRPWarning

__all__ = ["heard", "quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what the user's own code prints to stderr: stdout holds results alone."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """Collect lrp's own warnings, which belong to the result, and pass all others on."""
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LRPWarning)
        yield messages
    for warning in caught:
        if issubclass(warning.category, LRPWarning):
            messages.append(f"warning: {warning.message}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
