"""Images from files, as pictures and as model inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lrp.errors import InputError, LoadError

__all__ = ["ENDINGS", "fit", "read_picture", "to_tensor"]

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def read_picture(path: Path, *, size: int | None = None) -> Image.Image:
    """Return an image file as an upright RGB picture, at its own size or as a centre square of `size` pixels.

    Raises:
        LoadError: the file is no image, is damaged, or is far too large.
        InputError: more than 8 bits a channel, which RGB pictures would cut off.
    """
    try:
        with Image.open(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise LoadError("the file cannot be read as an image", where=str(path), seen=str(error)) from error
    if upright.mode.startswith("I") or upright.mode == "F":
        cure = "convert it to 8 bits, or give the array itself as .npy"
        raise InputError("the image has more than 8 bits a channel", where=str(path), seen=upright.mode, cure=cure)
    picture = upright.convert("RGB")
    return picture if size is None else fit(picture, resize=size, crop=size)


def fit(picture: Image.Image, *, resize: int, crop: int) -> Image.Image:
    """Return the centre square of `crop` pixels after the shorter side was resized (bicubic) to `resize` pixels.

    >>> fit(Image.new("RGB", (40, 30)), resize=20, crop=16).size
    (16, 16)
    """
    if not 0 < crop <= resize:
        raise InputError("the image size must be positive", where="--size", seen=str(crop))
    scale = resize / min(picture.size)
    width, height = (max(resize, round(side * scale)) for side in picture.size)
    resized = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - crop) // 2, (height - crop) // 2
    return resized.crop((left, top, left + crop, top + crop))


def to_tensor(
    picture: Image.Image, *, mean: tuple[float, ...] | None = None, std: tuple[float, ...] | None = None
) -> Tensor:
    """Return a picture as a model input: float32, shape (1, 3, H, W), `(RGB from 0 to 1 - mean) / std`.

    Raises:
        InputError: mean or std that are not three numbers, or a std of zero.

    >>> to_tensor(Image.new("RGB", (2, 1), (255, 0, 51)))[0, :, 0, 0].tolist()
    [1.0, 0.0, 0.20000000298023224]
    """
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != 3:
            cure = "give three numbers, for red, green and blue"
            raise InputError(f"--{name} needs three numbers", where=f"--{name}", seen=str(values), cure=cure)
    if std is not None and not all(std):
        raise InputError("a deviation of zero divides by zero", where="--std", seen=str(std))
    pixels = torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32) / 255)
    pixels = pixels - torch.tensor(mean or (0.0, 0.0, 0.0))
    pixels = pixels / torch.tensor(std or (1.0, 1.0, 1.0))
    return pixels.permute(2, 0, 1)[None].contiguous()
