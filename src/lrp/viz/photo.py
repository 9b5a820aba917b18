"""Pictures in every form people have them, as what lies beneath relevance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrp.errors import InputError

__all__ = ["array", "photo", "stretched"]

Array = NDArray[np.float64]


def photo(image: Any) -> Image.Image:
    """Return a picture with 8 bits a channel, grey or RGB.

    Args:
        image: a Pillow picture of any mode (transparency is laid on white, 16 bits are scaled), or an array or tensor
            of shape (H, W), (C, H, W) or (H, W, 1, 3 or 4): floats from 0 to 1, or integers of 8 or 16 bits.

    Raises:
        InputError: another shape or range.
    """
    if isinstance(image, Image.Image):
        if image.mode.startswith("I"):
            return Image.fromarray(_bytes(np.asarray(image, dtype=np.float64) / 65535))
        if image.mode == "F":
            return photo(np.asarray(image))
        if image.mode in ("RGBA", "LA", "PA", "P"):
            layers = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")
        return image if image.mode in ("L", "RGB") else image.convert("RGB")
    levels = array(image)
    levels = levels / {"uint8": 255, "uint16": 65535}.get(str(getattr(image, "dtype", "")).removeprefix("torch."), 1)
    fits = levels.ndim in (2, 3) and levels.size and np.isfinite(levels).all()
    if not fits or levels.min() < 0 or levels.max() > 1:
        seen = f"shape {levels.shape}" + (f", values from {levels.min():.3g} to {levels.max():.3g}" if fits else "")
        cure = "give shape (H, W) or (C, H, W), values from 0 to 1: undo the normalisation of the model's input"
        raise InputError("the image cannot be shown", where="picture", seen=seen, cure=cure)
    if levels.ndim == 2:
        return Image.fromarray(_bytes(levels))
    if levels.shape[0] not in (1, 3, 4) and levels.shape[2] in (1, 3, 4):
        levels = np.moveaxis(levels, 2, 0)
    if levels.shape[0] == 4:
        return photo(Image.fromarray(_bytes(np.moveaxis(levels, 0, 2))))
    return Image.fromarray(_bytes(np.moveaxis(levels, 0, 2) if levels.shape[0] == 3 else levels.mean(0)))


def stretched(values: Any) -> Image.Image:
    """Return a model's input (H, W) or (C, H, W) as a picture, from its smallest value (black) to its largest (white).

    Three channels are red, green and blue; of another number the mean is shown.
    """
    levels = np.nan_to_num(array(values), posinf=0, neginf=0)
    low, high = levels.min(), levels.max()
    return photo((levels - low) / (high - low) if high > low else np.full_like(levels, 0.5))


def array(values: Any) -> Array:
    """Return an array or a torch tensor (wherever it lives, whatever its dtype) as a float64 array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def _bytes(levels: Array) -> NDArray[np.uint8]:
    return np.round(levels * 255).astype(np.uint8)
