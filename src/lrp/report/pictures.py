"""The inputs as pictures: photographs as they were given, images out of the model's numbers, traces of signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lrp.errors import InputError
from lrp.models.images import read_picture
from lrp.report.grids import Array, data_uri

__all__ = ["Shown", "photograph", "pictured", "traces"]

LONGEST = 512
POINTS = 1024


@dataclass(frozen=True)
class Shown:
    """A picture of an input, and what it is, in words."""

    uri: str
    caption: str


def photograph(given: Any, shape: Sequence[int]) -> Shown:
    """Return a picture that a user gave, made smaller where it is large.

    Args:
        given: a Pillow picture, a file's path, or an array (H, W), (H, W, 3) or (3, H, W): bytes, or numbers from 0
            to 1.
        shape: rows and columns of the relevance that it belongs to.

    Raises:
        InputError: no picture, or one with other proportions than the relevance.
    """
    name = getattr(given, "filename", "")
    if isinstance(given, (str, PathLike)):
        name, given = given, read_picture(Path(given))
    picture = given if isinstance(given, Image.Image) else _from_array(given)
    # a model's input may be a pixel off from the picture that was scaled for it
    if abs(picture.width * shape[0] - picture.height * shape[1]) > max(*picture.size, *shape):
        raise InputError(
            "picture and relevance differ in proportion",
            where="report(picture=...)",
            seen=f"picture {picture.height} x {picture.width}, relevance {shape[0]} x {shape[1]} (height, width)",
            cure="give the part of the picture that the model saw",
        )
    picture = picture.convert("RGB")
    picture.thumbnail((LONGEST, LONGEST))
    return Shown(data_uri(picture), Path(name).name if name else "the picture")


def _from_array(given: Any) -> Image.Image:
    values = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
    if values.ndim == 3 and values.shape[0] in (1, 3) and values.shape[2] not in (1, 3):
        values = np.moveaxis(values, 0, -1)
    if values.ndim not in (2, 3) or values.shape[2:] not in ((), (1,), (3,)) or values.size == 0:
        raise _no_picture(f"shape {values.shape}")
    values = values[..., 0] if values.shape[2:] == (1,) else values
    if values.dtype != np.uint8:
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise _no_picture("numbers outside of 0 to 1")
        values = np.round(values * 255).astype(np.uint8)
    return Image.fromarray(values)


def _no_picture(seen: str) -> InputError:
    cure = "a Pillow picture, a file, or an array (H, W), (H, W, 3) or (3, H, W) of bytes or numbers from 0 to 1"
    return InputError("this is no picture", where="report(picture=...)", seen=seen, cure=cure)


def pictured(values: Array) -> Shown | None:
    """Return an input (H, W), (1, H, W) or (3, H, W) as a picture, its own range as black to white; else None."""
    if values.ndim == 2:
        values = values[None]
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    if values.shape[0] not in (1, 3) or not np.isfinite([low, high]).all():
        return None
    levels = np.round(255 * (values - low) / ((high - low) or 1)).astype(np.uint8)
    picture = Image.fromarray(levels[0] if len(levels) == 1 else np.moveaxis(levels, 0, -1))
    picture.thumbnail((LONGEST, LONGEST))
    return Shown(data_uri(picture), f"what the model was given, from {low:.3g} (black) to {high:.3g} (white)")


def traces(values: Array) -> Shown | None:
    """Return a signal (channels, time steps) as lines one above the other; None where it is not finite.

    Of a long one the smallest and the largest value of each stretch are drawn.
    """
    if not np.isfinite(values).all():
        return None
    channels, steps = values.shape
    height = int(np.clip(960 / channels, 14, 140))
    lines = "".join(_line(row, height, at * height) for at, row in enumerate(values))
    return Shown(
        data_uri(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="{channels * height}" '
            f'viewBox="0 0 1000 {channels * height}" preserveAspectRatio="none" fill="none" stroke-linejoin="round">'
            f"{lines}</svg>"
        ),
        f"{channels} channel{'s' if channels > 1 else ''}, {steps} steps, each channel in its own range",
    )


def _line(values: Array, height: int, top: int) -> str:
    starts = np.arange(0, len(values), -(-len(values) // POINTS))
    lowest, highest = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    drawn = values if len(starts) == len(values) else np.stack([lowest, highest], axis=1).reshape(-1)
    low, high = float(drawn.min()), float(drawn.max())
    x = 1000 * (np.arange(len(drawn)) + 0.5) / len(drawn)
    y = top + height * (0.9 - 0.8 * (drawn - low) / ((high - low) or 1))
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return "".join(
        f'<polyline stroke="{color}" stroke-width="{width}" points="{points}"/>'
        for color, width in (("#fff", 3), ("#222", 1.2))
    )
