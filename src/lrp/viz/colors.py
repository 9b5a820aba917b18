"""The colours of signed relevance: red supports, blue opposes, white is zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["colors"]

# ColorBrewer's RdBu (Cynthia Brewer, Apache-2.0), from the middle outwards; its middle, a light grey, made white.
RED = ((255, 255, 255), (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31))
BLUE = ((255, 255, 255), (209, 229, 240), (146, 197, 222), (67, 147, 195), (33, 102, 172), (5, 48, 97))


def colors(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the colour of each value from -1 (dark blue) over 0 (white) to 1 (dark red); others are clipped.

    Args:
        values: any shape (...).

    Returns:
        Red, green and blue from 0 to 255, shape (..., 3).

    >>> colors(np.array([0.0, 1.0, -0.2])).tolist()
    [[255.0, 255.0, 255.0], [103.0, 0.0, 31.0], [209.0, 229.0, 240.0]]
    """
    steps = np.linspace(0, 1, len(RED))
    size = np.clip(np.abs(values), 0, 1)
    red, blue = (
        np.stack([np.interp(size, steps, [anchor[channel] for anchor in anchors]) for channel in range(3)], axis=-1)
        for anchors in (RED, BLUE)
    )
    return np.where((values > 0)[..., None], red, blue)
