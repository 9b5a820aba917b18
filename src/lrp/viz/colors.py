"""The colours of signed relevance: red supports, blue opposes, and zero is the colour of the paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrp.errors import InputError, nearest

__all__ = ["BLUE", "MAPS", "RED", "Palette", "colors", "letters", "palette"]

Anchors = tuple[tuple[int, int, int], ...]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Palette:
    """A colour map, with the paper and ink that go with it.

    Args:
        supports, opposes: red, green and blue from 0 to 255, in equal steps from zero outwards; the first is the paper.
        size: the same for relevance without its sign.
        strong: the colours of bars and numbers that support and that oppose.
        ink, faint: the colours of text and lines, and of what stands back.
    """

    supports: Anchors
    opposes: Anchors
    size: Anchors
    strong: tuple[str, str]
    ink: str = "#222222"
    faint: str = "#8a8a8a"

    @property
    def paper(self) -> str:
        return "#{:02x}{:02x}{:02x}".format(*self.supports[0])

    def bar(self, value: float) -> str:
        """The colour of a bar."""
        return self.strong[0] if value >= 0 else self.strong[1]


_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
# ColorBrewer (Cynthia Brewer, Apache-2.0), from the middle outwards; the middle of RdBu, a light grey, made white.
RED: Anchors = (_WHITE, (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31))
BLUE: Anchors = (_WHITE, (209, 229, 240), (146, 197, 222), (67, 147, 195), (33, 102, 172), (5, 48, 97))
_PURPLES = (_WHITE, (226, 226, 239), (182, 182, 216), (134, 131, 189), (97, 64, 155), (63, 0, 125))

MAPS = {
    "RdBu_r": Palette(RED, BLUE, _PURPLES, ("#b2182b", "#2166ac")),
    # Scientific colour maps (Fabio Crameri, MIT), for dark paper.
    "berlin": Palette(
        ((25, 12, 9), (49, 15, 0), (80, 24, 3), (125, 52, 30), (168, 90, 74), (210, 131, 122), (255, 173, 173)),
        ((25, 12, 9), (17, 33, 42), (26, 66, 86), (40, 104, 134), (62, 144, 188), (108, 169, 230), (158, 176, 255)),
        ((25, 12, 9), *_PURPLES[4:0:-1], _WHITE),
        ("#d2837a", "#6ca9e6"),
        ink="#eeeeee",
        faint="#9a9a9a",
    ),
    # Black at zero, hot on one side and cold on the other, as users of zennit know it.
    "coldnhot": Palette(
        (_BLACK, (255, 0, 0), (255, 255, 0), _WHITE),
        (_BLACK, (0, 0, 255), (0, 255, 255), _WHITE),
        (_BLACK, *_PURPLES[4:0:-1], _WHITE),
        ("#ff5a3c", "#4f8cff"),
        ink="#eeeeee",
        faint="#9a9a9a",
    ),
}


def palette(name: str) -> Palette:
    """Return a colour map by name.

    Raises:
        InputError: there is none of this name.
    """
    if name not in MAPS:
        raise InputError("there is no such colour map", where="cmap", seen=repr(name), cure=nearest(name, list(MAPS)))
    return MAPS[name]


def colors(values: Array, cmap: str = "RdBu_r") -> Array:
    """Return the colour of each value, from -1 (opposes) over 0 (the paper) to 1 (supports); others are clipped.

    Args:
        values: any shape (...).
        cmap: `"RdBu_r"` (white is zero), `"berlin"` or `"coldnhot"` (dark is zero).

    Returns:
        Red, green and blue from 0 to 255, shape (..., 3).

    Raises:
        InputError: there is no such colour map.

    >>> colors(np.array([0.0, 1.0, -0.2])).tolist()
    [[255.0, 255.0, 255.0], [103.0, 0.0, 31.0], [209.0, 229.0, 240.0]]
    """
    chosen = palette(cmap)
    size = np.clip(np.abs(values), 0, 1)
    red, blue = between(size, chosen.supports), between(size, chosen.opposes)
    return np.where((np.asarray(values) > 0)[..., None], red, blue)


def letters(ground: Array) -> str:
    """Return black or white, whichever has more contrast on a colour: red, green and blue from 0 to 255.

    Source: WCAG 2, relative luminance; black and white are alike at 0.179.

    >>> letters(np.array([255.0, 255.0, 255.0])), letters(np.array([103.0, 0.0, 31.0]))
    ('#000', '#fff')
    """
    linear = np.where(ground <= 10, ground / 3294.6, ((ground / 255 + 0.055) / 1.055) ** 2.4)
    return "#000" if float(linear @ [0.2126, 0.7152, 0.0722]) > 0.179 else "#fff"


def between(size: Array, anchors: Anchors) -> Array:
    """Return the colours of sizes from 0 to 1 among anchors in equal steps, shape (..., 3)."""
    steps = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(size, steps, [anchor[c] for anchor in anchors]) for c in range(3)], axis=-1)
