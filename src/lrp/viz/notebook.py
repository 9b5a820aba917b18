"""What a notebook shows of a result that is a picture."""

from __future__ import annotations

from PIL import Image

from lrp.relevance import Relevance, by_sample, named_inputs
from lrp.viz.heatmap import heatmap
from lrp.viz.images import pixel_maps
from lrp.viz.png import png_bytes

__all__ = ["thumbnail"]

SIDE = 280
"""Pixels along the longer side, about: small maps are drawn in larger squares, large ones smaller."""


def thumbnail(r: Relevance) -> bytes | None:
    """The heatmap of the first sample as a PNG.

    None where there are several targets or inputs, the input is no image (N, 1, 3 or 4 channels, H, W), or its
    relevance is not finite.
    """
    inputs = list(named_inputs(r.input).values())
    if r.several or len(inputs) != 1:
        return None
    relevance = by_sample(inputs[0], len(r.explained))[0].detach().cpu()
    if relevance.dim() != 3 or relevance.shape[0] not in (1, 3, 4) or not relevance.numel():
        return None
    if not relevance.isfinite().all():
        return None
    drawn = heatmap(pixel_maps([relevance])[0][0])
    info, longer = drawn.info, max(drawn.size)
    if longer > SIDE:
        width, height = (max(1, round(side * SIDE / longer)) for side in drawn.size)
        drawn = drawn.resize((width, height), Image.Resampling.BOX)
    elif SIDE // longer > 1:
        drawn = drawn.resize([side * (SIDE // longer) for side in drawn.size], Image.Resampling.NEAREST)
    drawn.info = info
    return png_bytes(drawn, {"explained": float(r.explained[0]), "target": r.target, "composite": r.composite.name})
