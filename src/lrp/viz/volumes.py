"""Figures of volumes: three planes through one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lrp.errors import InputError
from lrp.relevance import Relevance
from lrp.viz.figure import color_bar, explained, figure, finish, scale_of, show_map, shown
from lrp.viz.heatmap import PERCENTILE, laid_over
from lrp.viz.parts import part_of
from lrp.viz.photo import array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["volume"]


def volume(
    r: Relevance,
    at: Sequence[int] | None = None,
    *,
    mode: str = "overlay",
    sample: int = 0,
    input: str | None = None,
    cmap: str = "RdBu_r",
    percentile: float = PERCENTILE,
    title: str | None = None,
) -> Figure:
    """Draw three planes of a volume through one place, on the scale of the whole volume; lines show where they meet.

    Args:
        r: a result with an input of shape (N, D, H, W) or (N, C, D, H, W); channels are added up, signs kept.
        at: the place (depth, row, column); None: where relevance is largest in size.
        mode: `"overlay"` (over the grey volume) or `"heatmap"`.
        sample, input, cmap, percentile, title: as in `image`, one sample.

    Raises:
        InputError: no input is a volume, a place outside it, no such mode.
        MissingExtraError: matplotlib is not installed.
    """
    if mode not in ("overlay", "heatmap"):
        raise InputError("there is no such mode", where="mode", seen=repr(mode), cure="'overlay' or 'heatmap'")
    part = part_of(r, "volume", sample, input)
    relevance = array(part.relevance)
    relevance = relevance.sum(0) if relevance.ndim == 4 else relevance
    size = np.nan_to_num(np.abs(relevance), posinf=0, neginf=0)
    place = tuple(at) if at is not None else tuple(int(n) for n in np.unravel_index(size.argmax(), size.shape))
    if len(place) != 3 or not all(0 <= n < limit for n, limit in zip(place, relevance.shape, strict=False)):
        seen = f"{place} in a volume of {relevance.shape}"
        raise InputError("there is no such place", where="at", seen=seen, cure="(depth, row, column), each from 0")
    scale = scale_of([relevance], percentile, cmap, odd=int((~part.relevance.isfinite()).sum()))
    grey = None
    if mode == "overlay" and part.values is not None:
        values = np.nan_to_num(array(part.values), posinf=0, neginf=0)
        values = values.mean(0) if values.ndim == 4 else values
        span = float(values.max() - values.min())
        grey = 255 * (values - values.min()) / span if span else np.full(values.shape, 127.5)
    depth, row, column = place
    planes = ((f"depth {depth}", 0, row, column), (f"row {row}", 1, depth, column), (f"column {column}", 2, depth, row))
    fig = figure(9, 3.3, cmap)
    axes = fig.subplots(1, 3)
    for panel, (words, axis, down, across) in zip(axes, planes, strict=True):
        plane = np.take(relevance, place[axis], axis)
        colours = scale.rgba(plane)
        if grey is not None:
            beneath = np.take(grey, place[axis], axis)
            colours[..., :3] = laid_over(np.nan_to_num(scale.shares(plane)), beneath, cmap) / 255
        show_map(panel, colours, cmap, title=words)
        panel.axhline(down, color=scale.palette.ink, linewidth=0.5, linestyle=":")
        panel.axvline(across, color=scale.palette.ink, linewidth=0.5, linestyle=":")
    color_bar(fig, axes, scale, label="relevance of a voxel")
    sentences = [explained(r, part.sample), shown(part.sum, part.explained, "Sum of the volume")]
    sentences += [f"Planes through (depth, row, column) = {place}.", "Red supports, blue opposes.", scale.words]
    return finish(fig, cmap, title, sentences)
