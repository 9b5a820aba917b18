"""Images from files, as pictures and as model inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lrp.errors import InputError, LoadError

__all__ = ["ENDINGS", "MAX_PIXELS", "fit", "read_picture", "to_tensor"]

FORMATS = {
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "DDS": (".dds",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "ICNS": (".icns",),
    "ICO": (".ico",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx"),
    "PCX": (".pcx",),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "PSD": (".psd",),
    "QOI": (".qoi",),
    "SGI": (".sgi",),
    "TGA": (".tga",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""Pillow's formats of pictures by their endings. EPS is not among them: reading it runs Ghostscript."""

ENDINGS = tuple(ending for endings in FORMATS.values() for ending in endings)
MAX_PIXELS = 64_000_000
"""Larger pictures are refused before they are decoded: this one takes 192 MB as RGB, and 768 MB as an input."""


def read_picture(path: Path, *, size: int | None = None) -> Image.Image:
    """Return an image file as an upright RGB picture, at its own size or as a centre square of `size` pixels.

    Grey becomes RGB with three equal channels; transparency is left out; of 16 bits a channel the upper 8 are read.

    Raises:
        LoadError: the file is no image, is damaged, or has more than `MAX_PIXELS` pixels.
        InputError: grey numbers without a known white (32 bits, or floating point).
    """
    try:
        with Image.open(path, formats=tuple(FORMATS)) as image:
            check_size(image, path)
            image.load()
            upright = ImageOps.exif_transpose(image)
    except LoadError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise LoadError("the file cannot be read as an image", where=str(path), seen=str(error)) from error
    if upright.mode.startswith("I;16") or (upright.mode == "I" and image.format == "PNG"):
        upright = Image.fromarray((np.asarray(upright).astype(np.uint32) >> 8).astype(np.uint8))
    if upright.mode.startswith("I") or upright.mode == "F":
        cure = "convert it to 8 or 16 bits, or give the array itself as .npy"
        raise InputError("nothing says which number is white", where=str(path), seen=f"mode {upright.mode}", cure=cure)
    picture = upright.convert("RGB")
    return picture if size is None else fit(picture, resize=size, crop=size)


def check_size(image: Image.Image, path: Path) -> None:
    """Refuse a picture that is far too large; its pixels are not decoded yet."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        cure = f"scale it down to at most {MAX_PIXELS // 10**6} megapixels"
        raise LoadError("the picture is too large", where=str(path), seen=f"{width} x {height} pixels", cure=cure)


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
    picture: Image.Image,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    white: float = 1.0,
) -> Tensor:
    """Return a picture as a model input: float32, shape (1, 3, H, W), `(RGB from 0 to white - mean) / std`.

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
    pixels = torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32) / 255) * white
    pixels = pixels - torch.tensor(mean or (0.0, 0.0, 0.0))
    pixels = pixels / torch.tensor(std or (1.0, 1.0, 1.0))
    return pixels.permute(2, 0, 1)[None].contiguous()
