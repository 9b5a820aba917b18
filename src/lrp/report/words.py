"""Numbers and names as the page writes them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import numpy as np

from lrp.viz.words import number

__all__ = ["exact", "share", "size", "spread", "without_folders"]

_FOLDERS = re.compile(r"""(?<![\w.:/\\])(?:~|[A-Za-z]:)?[\\/](?:[^\\/\s'"<>:]+[\\/])+(?=[^\\/\s'"])""")
_OPTION_AND_FOLDERS = re.compile(r"^(--?[\w-]+=)?(?:~|[A-Za-z]:)?[\\/](?:.*[\\/])?")


def exact(value: float) -> str:
    """Return a number as programs read it.

    >>> exact(0.1), exact(float("nan"))
    ('0.1', 'nan')
    """
    return format(float(value), ".10g")


def share(part: float, whole: float) -> str:
    """Return a part as a share of the whole, or nothing where that says nothing.

    >>> share(1.0, 4.0), share(-1.0, 30000.0), share(1.0, 0.0)
    ('+25 %', '-0.00333 %', '')
    """
    return f"{number(100 * part / whole, 3)} %" if whole and np.isfinite(part / whole) else ""


def size(shape: Sequence[int]) -> str:
    """Return a shape in words.

    >>> size((3, 224, 224)), size(())
    ('3×224×224', '1')
    """
    return "×".join(str(n) for n in shape) or "1"


def spread(start: int, end: int) -> str:
    """Return the places from `start` to before `end`.

    >>> spread(4, 5), spread(8, 10)
    ('4', '8–9')
    """
    return str(start) if end == start + 1 else f"{start}–{end - 1}"


def without_folders(words: str | Sequence[str]) -> str:
    """Return text, or the words of a command, with absolute paths cut to the file's name.

    >>> without_folders("weights of /data/w.pth, text/plain")
    'weights of w.pth, text/plain'
    >>> without_folders(["lrp", "explain", "/home/ann/net.py:Net", "--weights=/my data/w.pth", "x/cat.png"])
    'lrp explain net.py:Net --weights=w.pth x/cat.png'
    """
    if isinstance(words, str):
        return _FOLDERS.sub("", words)
    return shlex.join(_OPTION_AND_FOLDERS.sub(r"\1", word) for word in words)
