"""PNG files that carry the facts of the picture."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

from PIL import Image, PngImagePlugin

__all__ = ["png_bytes"]


def png_bytes(image: Image.Image, facts: Mapping[str, object] | None = None) -> bytes:
    """Return a picture as the bytes of a PNG file, with its `info` and the facts as text fields ``lrp:NAME``.

    >>> made = Image.new("RGB", (2, 2))
    >>> Image.open(BytesIO(png_bytes(made, {"explained": 1.5}))).text
    {'lrp:explained': '1.5'}
    """
    text = PngImagePlugin.PngInfo()
    for name, value in [*image.info.items(), *(facts or {}).items()]:
        text.add_itxt(f"lrp:{name}", str(value))
    buffer = BytesIO()
    image.save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()
