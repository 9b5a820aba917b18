"""Heatmaps of signed relevance, alone and over the image they explain."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrp.errors import InputError
from lrp.viz.colors import colors
from lrp.viz.photo import array, photo

__all__ = ["heatmap", "overlay"]

Array = NDArray[np.float64]

PERCENTILE = 99.5
OPACITY = 0.85


def heatmap(relevance: Any, *, percentile: float = PERCENTILE, cmap: str = "RdBu_r") -> Image.Image:
    """Return relevance as a picture: red supports, blue opposes, white is exactly zero, symmetric about zero.

    Args:
        relevance: array or tensor of shape (H, W), or (C, H, W) whose channels are added up, signs kept.
        percentile: the size of relevance that gets the full colour, as a percentile of `|relevance|` over the
            pixels; what is larger is clipped. 100 clips nothing.
        cmap: `"RdBu_r"`; `"berlin"` or `"coldnhot"`, where zero is dark.

    Returns:
        An RGB picture of W x H pixels. Its `info` says `scale` (the relevance of the full colours) and `percentile`.

    Raises:
        InputError: NaN or infinite values, another shape, a percentile outside (0, 100], no such colour map.
    """
    pixels = summed(relevance)
    shares, scale = scaled(pixels, percentile)
    return picture(colors(shares, cmap), scale, percentile)


def overlay(relevance: Any, image: Any, *, percentile: float = PERCENTILE, cmap: str = "RdBu_r") -> Image.Image:
    """Return the heatmap over the grey image, the more opaque the larger the relevance; zero shows the image alone.

    Args:
        relevance: as in `heatmap`.
        image: a Pillow picture, or an array or tensor of shape (H, W) or (C, H, W): floats from 0 to 1, or integers of
            8 or 16 bits.
        percentile, cmap: as in `heatmap`.

    Returns:
        An RGB picture with `info` as in `heatmap`.

    Raises:
        InputError: as in `heatmap`, or an image of another size than the relevance.
    """
    pixels = summed(relevance)
    grey = grey_levels(image)
    if grey.shape != pixels.shape:
        seen = f"image {grey.shape}, relevance {pixels.shape} (height, width)"
        raise InputError("image and relevance differ in size", where="overlay", seen=seen, cure="resize the image")
    shares, scale = scaled(pixels, percentile)
    return picture(laid_over(shares, grey, cmap), scale, percentile)


def laid_over(shares: Array, grey: Array, cmap: str = "RdBu_r") -> Array:
    """Return the colours of relevance from -1 to 1, (H, W), over a grey image, (H, W) from 0 to 255."""
    # Weak relevance takes the middle of its colours, not their whitish end, which would look like fog on dark images.
    tint = colors(np.sign(shares) * (0.5 + 0.5 * np.abs(shares)), cmap)
    opacity = OPACITY * np.sqrt(np.abs(shares))[..., None]
    return np.asarray(tint * opacity + grey[..., None] * (1 - opacity))


def summed(relevance: Any) -> Array:
    """Return relevance per pixel, channels added up (never their absolute values: signs may cancel)."""
    values = array(relevance)
    if values.ndim not in (2, 3) or values.size == 0:
        cure = "give one sample: shape (H, W) or (C, H, W)"
        raise InputError("relevance is no picture", where="heatmap", seen=f"shape {values.shape}", cure=cure)
    if not np.isfinite(values).all():
        seen = f"{int((~np.isfinite(values)).sum())} of {values.size} values are NaN or infinite"
        raise InputError("relevance is not finite", where="heatmap", seen=seen, cure="explain in a wider dtype")
    return values if values.ndim == 2 else values.sum(axis=0)


def scaled(pixels: Array, percentile: float) -> tuple[Array, float]:
    """Return the pixels divided by the scale and clipped to [-1, 1], and the scale."""
    if not 0 < percentile <= 100:
        raise InputError("a percentile lies above 0 and up to 100", where="heatmap", seen=str(percentile))
    size = np.abs(pixels)
    # A map with relevance on very few pixels has a percentile of zero: then the largest decides.
    scale = float(np.percentile(size, percentile)) or float(size.max())
    return (np.clip(pixels / scale, -1, 1) if scale > 0 else np.zeros_like(pixels)), scale


def picture(rgb: Array, scale: float, percentile: float) -> Image.Image:
    """Return colours as a picture that knows its scale."""
    result = Image.fromarray(np.round(rgb).astype(np.uint8))
    result.info = {"scale": scale, "percentile": percentile}
    return result


def grey_levels(image: Any) -> Array:
    """Return an image's brightness from 0 to 255, shape (H, W)."""
    return np.asarray(photo(image).convert("L"), dtype=np.float64)
