"""Heatmaps of signed relevance, alone and over the image they explain."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrp.errors import InputError
from lrp.viz.colors import colors

__all__ = ["heatmap", "overlay"]

PERCENTILE = 99.5
OPACITY = 0.85


def heatmap(relevance: Any, *, percentile: float = PERCENTILE) -> Image.Image:
    """Return relevance as a picture: red supports, blue opposes, white is exactly zero, symmetric about zero.

    Args:
        relevance: array or tensor of shape (H, W), or (C, H, W) whose channels are added up, signs kept.
        percentile: the size of relevance that gets the full colour, as a percentile of `|relevance|` over the
            pixels; what is larger is clipped. 100 clips nothing.

    Returns:
        An RGB picture of W x H pixels. Its `info` says `scale` (the relevance of the full colours) and `percentile`.

    Raises:
        InputError: NaN or infinite values, another shape, a percentile outside (0, 100].
    """
    pixels = summed(relevance)
    shares, scale = scaled(pixels, percentile)
    return picture(colors(shares), scale, percentile)


def overlay(relevance: Any, image: Any, *, percentile: float = PERCENTILE) -> Image.Image:
    """Return the heatmap over the grey image, the more opaque the larger the relevance; zero shows the image alone.

    Args:
        relevance: as in `heatmap`.
        image: a Pillow picture, or an array or tensor of shape (H, W) or (C, H, W) with values from 0 to 1.
        percentile: as in `heatmap`.

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
    # Weak relevance takes the middle of its colours, not their whitish end, which would look like fog on dark images.
    tint = colors(np.sign(shares) * (0.5 + 0.5 * np.abs(shares)))
    opacity = OPACITY * np.sqrt(np.abs(shares))[..., None]
    return picture(tint * opacity + grey[..., None] * (1 - opacity), scale, percentile)


def summed(relevance: Any) -> NDArray[np.float64]:
    """Return relevance per pixel, channels added up (never their absolute values: signs may cancel)."""
    values = array(relevance)
    if values.ndim not in (2, 3) or values.size == 0:
        cure = "give one sample: shape (H, W) or (C, H, W)"
        raise InputError("relevance is no picture", where="heatmap", seen=f"shape {values.shape}", cure=cure)
    if not np.isfinite(values).all():
        seen = f"{int((~np.isfinite(values)).sum())} of {values.size} values are NaN or infinite"
        raise InputError("relevance is not finite", where="heatmap", seen=seen, cure="explain in a wider dtype")
    return values if values.ndim == 2 else values.sum(axis=0)


def scaled(pixels: NDArray[np.float64], percentile: float) -> tuple[NDArray[np.float64], float]:
    """Return the pixels divided by the scale and clipped to [-1, 1], and the scale."""
    if not 0 < percentile <= 100:
        raise InputError("a percentile lies above 0 and up to 100", where="heatmap", seen=str(percentile))
    size = np.abs(pixels)
    # A map with relevance on very few pixels has a percentile of zero: then the largest decides.
    scale = float(np.percentile(size, percentile)) or float(size.max())
    return (np.clip(pixels / scale, -1, 1) if scale > 0 else np.zeros_like(pixels)), scale


def picture(rgb: NDArray[np.float64], scale: float, percentile: float) -> Image.Image:
    """Return colours as a picture that knows its scale."""
    result = Image.fromarray(np.round(rgb).astype(np.uint8))
    result.info = {"scale": scale, "percentile": percentile}
    return result


def grey_levels(image: Any) -> NDArray[np.float64]:
    """Return an image's brightness from 0 to 255, shape (H, W)."""
    if not isinstance(image, Image.Image):
        values = array(image)
        if values.ndim not in (2, 3) or not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            seen = f"shape {values.shape}"
            cure = "give shape (H, W) or (C, H, W), values from 0 to 1: undo the normalisation of the model's input"
            raise InputError("the image cannot be shown", where="overlay", seen=seen, cure=cure)
        if values.ndim == 3 and values.shape[0] == 3:
            image = Image.fromarray(np.round(np.moveaxis(values, 0, -1) * 255).astype(np.uint8))
        else:
            return np.asarray((values if values.ndim == 2 else values.mean(axis=0)) * 255)
    return np.asarray(image.convert("L"), dtype=np.float64)


def array(values: Any) -> NDArray[np.float64]:
    """Return an array or a torch tensor (wherever it lives, whatever its dtype) as a float64 array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)
