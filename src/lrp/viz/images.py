"""Figures of images: maps of one result, results side by side, and channel by channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lrp.errors import InputError, nearest
from lrp.relevance import Relevance
from lrp.viz.figure import Scale, color_bar, explained, figure, finish, number, scale_of, show_map, shown
from lrp.viz.heatmap import PERCENTILE, laid_over
from lrp.viz.parts import Part, numbers, part_of, parts, single
from lrp.viz.photo import array, photo, stretched
from lrp.viz.words import aim

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = ["channels", "compare", "image", "pixel_maps"]

Array = NDArray[np.float64]

MODES = {"overlay": "signed", "heatmap": "signed", "saliency": "size", "positive": "positive", "negative": "negative"}
SIDE = 1000
"""The most pixels along a side that are drawn; larger maps are averaged in blocks."""


def image(
    r: Relevance,
    picture: Any = None,
    *,
    mode: str = "overlay",
    samples: int | Sequence[int] | None = None,
    input: str | None = None,
    cmap: str = "RdBu_r",
    percentile: float = PERCENTILE,
    title: str | None = None,
) -> Figure:
    """Draw the relevance of images, each beside the image itself, all on one scale.

    Args:
        r: a result with an input of shape (N, H, W) or (N, C, H, W); channels are added up, signs kept.
        picture: what the model was shown: a Pillow picture, or an array or tensor of shape (H, W) or (C, H, W), values
            from 0 to 1 or integers of 8 or 16 bits; a list of these for several samples. None: the model's input, from
            its smallest to its largest value.
        mode: `"overlay"` (over the grey picture, the more opaque the larger), `"heatmap"`, `"positive"` or
            `"negative"` (one sign alone), `"saliency"` (sizes without signs, in one colour).
        samples: a number or several; None: the first four.
        input: the input's name, where several are images.
        cmap: `"RdBu_r"` (white is zero); `"berlin"` or `"coldnhot"` on dark paper.
        percentile: the size of relevance that gets the full colour, as a percentile of those shown.
        title: words above.

    Raises:
        InputError: no input is an image, or the picture, mode, sample or colour map does not exist or fit.
        MissingExtraError: matplotlib is not installed.
    """
    r = single(r, "image")
    _check(mode)
    chosen = parts(r, "image", input, numbers(samples, len(r.explained), 4))
    pictures = picture if isinstance(picture, (list, tuple)) else [picture] * len(chosen)
    if len(pictures) != len(chosen):
        seen = f"{len(pictures)} pictures, {len(chosen)} samples"
        raise InputError("each sample has one picture", where="picture", seen=seen)
    maps, factor = pixel_maps([part.relevance for part in chosen])
    scale = _scale(chosen, maps, percentile, cmap, MODES[mode])
    panels = []
    for part, pixels, given in zip(chosen, maps, pictures, strict=True):
        beneath = _beneath(part, given, pixels.shape)
        if beneath is not None:
            words = "input" if len(chosen) == 1 else f"sample {part.sample}"
            panels.append((words, np.asarray(beneath.convert("RGB")) / 255))
        panels.append((_sums(part), _map(scale, pixels, beneath if mode == "overlay" else None)))
    words = explained(r, chosen[0].sample) if len(chosen) == 1 else _target(r)
    sums = shown(chosen[0].sum, chosen[0].explained) if len(chosen) == 1 else "Sums shown above each map."
    return _grid(panels, scale, title, [words, sums, _meaning(mode), scale.words, _averaged(factor)])


def compare(
    results: Relevance | Sequence[Relevance] | Mapping[str, Relevance],
    titles: Sequence[str] | None = None,
    *,
    picture: Any = None,
    mode: str = "heatmap",
    sample: int = 0,
    input: str | None = None,
    cmap: str = "RdBu_r",
    percentile: float = PERCENTILE,
    shared: bool = True,
    title: str | None = None,
) -> Figure:
    """Draw the maps of several results side by side: targets, models, methods.

    Args:
        results: several results of images; a mapping from title to result; or one result of several targets.
        titles: one for each; None: what they differ in, composite or target.
        sample: which sample of each.
        shared: one scale for all, so that equal colours are equal relevance; False gives each map its own, for methods
            whose maps add up to very different sums.
        picture, mode, input, cmap, percentile, title: as in `image`.

    Raises:
        InputError, MissingExtraError: as in `image`.
    """
    if isinstance(results, Mapping):
        titles, results = [str(key) for key in results], list(results.values())
    several = results.split() if isinstance(results, Relevance) else [one for r in results for one in r.split()]
    _check(mode)
    if titles is not None and len(titles) != len(several):
        seen = f"{len(titles)} titles, {len(several)} results"
        raise InputError("each result has one title", where="titles", seen=seen)
    chosen = [part_of(r, "compare", sample, input) for r in several]
    made = [pixel_maps([part.relevance]) for part in chosen]
    maps = [pixels[0] for pixels, _ in made]
    scales = [
        _scale([part], [pixels], percentile, cmap, MODES[mode]) for part, pixels in zip(chosen, maps, strict=True)
    ]
    if shared:
        scales = [_scale(chosen, maps, percentile, cmap, MODES[mode])] * len(chosen)
    names = list(titles) if titles is not None else _differences(several, sample)
    beneath = [_beneath(part, picture, pixels.shape) for part, pixels in zip(chosen, maps, strict=True)]
    panels = [("input", np.asarray(beneath[0].convert("RGB")) / 255)] if beneath[0] is not None else []
    for part, pixels, scale, name, below in zip(chosen, maps, scales, names, beneath, strict=True):
        panels.append((f"{name}\n{_sums(part)}", _map(scale, pixels, below if mode == "overlay" else None)))
    common = scales[0].words if shared else f"Each map has its own scale, the {percentile:g}th percentile of its sizes."
    composites = {r.composite.name for r in several}
    by = (
        f"By {composites.pop()}."
        if len(composites) == 1
        else "By " + ", ".join(r.composite.name for r in several) + "."
    )
    targets = {aim(r, None) for r in several}
    words = f"Explained: {targets.pop()}." if len(targets) == 1 else ""
    sentences = [words, by, _meaning(mode), common, _averaged(max(factor for _, factor in made))]
    return _grid(panels, scales[0] if shared else None, title, sentences, cmap)


def channels(
    r: Relevance,
    names: Sequence[str] | None = None,
    *,
    sample: int = 0,
    input: str | None = None,
    cmap: str = "RdBu_r",
    percentile: float = PERCENTILE,
    title: str | None = None,
) -> Figure:
    """Draw the relevance of each channel of an image, and their sum, on one scale.

    Args:
        r: a result with an input of shape (N, C, H, W).
        names: the channels' names.
        sample, input, cmap, percentile, title: as in `image`.

    Raises:
        InputError: no input has channels, more than 32 channels, or another number of names.
        MissingExtraError: matplotlib is not installed.
    """
    part = part_of(r, "channels", sample, input)
    count = len(part.relevance)
    if count > 32:
        raise InputError("too many channels to show", where="viz.channels", seen=f"{count}", cure="viz.image or volume")
    if names is not None and len(names) != count:
        seen = f"{len(names)} names, {count} channels"
        raise InputError("each channel has one name", where="names", seen=seen)
    maps, factor = pixel_maps([*part.relevance, part.relevance])
    scale = _scale([part], maps, percentile, cmap, "signed")
    labels = [*(names or [f"channel {n}" for n in range(count)]), "sum of channels"]
    sums = [float(channel.double().sum()) for channel in part.relevance] + [part.sum]
    panels = [(f"{name}\nsum {number(s)}", _map(scale, p)) for name, s, p in zip(labels, sums, maps, strict=True)]
    sentences = [explained(r, part.sample), shown(part.sum, part.explained), _meaning("heatmap"), scale.words]
    return _grid(panels, scale, title, [*sentences, _averaged(factor)])


def pixel_maps(relevance: Sequence[Tensor]) -> tuple[list[Array], int]:
    """Relevance per pixel, channels added up; averaged in blocks of as many pixels along each side as is returned."""
    if any(not r.numel() for r in relevance):
        raise InputError("the relevance has no pixels", where="viz", seen=str([tuple(r.shape) for r in relevance]))
    # channel by channel, so that a huge map is never held whole in float64
    summed = [r.double() if r.dim() == 2 else reduce(add, (channel.double() for channel in r)) for r in relevance]
    factor = max(-(-max(r.shape) // SIDE) for r in summed)
    if factor > 1:
        summed = [F.avg_pool2d(r[None], factor, ceil_mode=True, count_include_pad=False)[0] for r in summed]
    return [array(r) for r in summed], factor


def _scale(chosen: Sequence[Part], maps: Sequence[Array], percentile: float, cmap: str, kind: str) -> Scale:
    odd = sum(int((~part.relevance.isfinite()).sum()) for part in chosen)
    return scale_of(maps, percentile, cmap, kind=kind, odd=odd)


def _beneath(part: Part, given: Any, shape: tuple[int, ...]) -> Image | None:
    """The picture that was explained, of as many pixels as the map that is drawn."""
    height, width = shape
    if given is None:
        values = part.values
        if values is None or values.is_complex():
            return None
        return stretched(F.adaptive_avg_pool2d(values.double().reshape(-1, *values.shape[-2:]), (height, width)))
    picture = photo(given)
    if abs(picture.width * height - picture.height * width) > max(picture.width, picture.height):
        rows, columns = part.relevance.shape[-2:]
        seen = f"picture {picture.width} x {picture.height}, relevance {columns} x {rows}"
        cure = "the part of the picture that the model was shown"
        raise InputError("picture and relevance differ in shape", where="picture", seen=seen, cure=cure)
    return picture if picture.size == (width, height) else picture.resize((width, height))


def _map(scale: Scale, pixels: Array, beneath: Image | None = None) -> Array:
    """The colours of a map, over the grey picture where there is one."""
    colours = scale.rgba(pixels)
    if beneath is not None:
        grey = np.asarray(beneath.convert("L"), dtype=np.float64)
        colours[..., :3] = laid_over(np.nan_to_num(scale.shares(pixels)), grey, scale.cmap) / 255
    return colours


def _grid(
    panels: Sequence[tuple[str, Array]],
    scale: Scale | None,
    title: str | None,
    sentences: Sequence[str],
    cmap: str = "",
) -> Figure:
    """Pictures with words above each, up to four in a row."""
    cmap = scale.cmap if scale is not None else cmap
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    ratio = float(np.clip(max(p.shape[0] / p.shape[1] for _, p in panels), 0.3, 2))
    lines = max(words.count("\n") + 1 for words, _ in panels)
    side = 3.0 if columns < 3 else 2.3
    fig = figure(max(columns * side + 0.9, 6.0), rows * (side * ratio + lines * 0.16) + 0.65, cmap)
    axes = fig.subplots(rows, columns, squeeze=False)
    for panel, (words, colours) in zip(axes.flat, panels, strict=False):
        show_map(panel, colours, cmap, title=words)
    for panel in axes.flat[len(panels) :]:
        panel.set_axis_off()
    if scale is not None:
        color_bar(fig, axes, scale, label="relevance of a pixel")
    return finish(fig, cmap, title, sentences)


def _check(mode: str) -> None:
    if mode not in MODES:
        raise InputError("there is no such mode", where="mode", seen=repr(mode), cure=nearest(mode, list(MODES)))


def _sums(part: Part) -> str:
    return f"sum {number(part.sum)} of {number(part.explained)}"


def _meaning(mode: str) -> str:
    return {
        "saliency": "Sizes of relevance, without signs.",
        "positive": "Red supports; what opposes is left out.",
        "negative": "Blue opposes; what supports is left out.",
    }.get(mode, "Red supports, blue opposes.")


def _averaged(factor: int) -> str:
    return f"Each pixel drawn is the mean of {factor} x {factor}." if factor > 1 else ""


def _target(r: Relevance) -> str:
    return f"Explained: {aim(r, None)}, by {r.composite.name}."


def _differences(results: Sequence[Relevance], sample: int) -> list[str]:
    """What the results differ in: composites, else targets, else their order."""
    for names in ([r.composite.name for r in results], [aim(r, sample) for r in results]):
        if len(set(names)) == len(names):
            return names
    return [f"result {n}" for n in range(len(results))]
