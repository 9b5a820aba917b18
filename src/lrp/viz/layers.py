"""A strip of maps through the layers of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lrp.errors import LayerError, nearest
from lrp.relevance import Relevance
from lrp.viz.figure import explained, figure, finish, number, scale_of, short, show_map
from lrp.viz.heatmap import PERCENTILE
from lrp.viz.images import pixel_maps
from lrp.viz.parts import evenly, layers_of, numbers, outermost, parts, single

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["strip"]


def strip(
    r: Relevance,
    layers: Sequence[str] | None = None,
    *,
    sample: int = 0,
    input: str | None = None,
    cmap: str = "RdBu_r",
    percentile: float = PERCENTILE,
    title: str | None = None,
) -> Figure:
    """Draw the relevance of an image on its way through the layers, from the input to the output.

    Each map has a scale of its own, as a pixel of a small map stands for many of a large one.

    Args:
        r: a result with kept layers (`keep="all"`), of shape (N, C, H, W); channels are added up.
        layers: their module paths, in this order; None: seven of the outermost modules.
        sample, input, cmap, percentile, title: as in `image`.

    Raises:
        LayerError: no such layer was kept, or none that is a map.
        InputError: no input is an image.
        MissingExtraError: matplotlib is not installed.
    """
    r = single(r, "strip")
    n = numbers(sample, len(r.explained), 1)[0]
    found = {
        name: t for name, t in layers_of(r, axes=(4,)).items() if t.shape[0] == len(r.explained) and t[0, 0].numel() > 1
    }
    if not found:
        raise LayerError("no layer that was kept is a map", where="viz.strip", cure='keep="all", or viz.flow')
    if layers is not None:
        unknown = [name for name in layers if name not in found]
        if unknown:
            raise LayerError(
                "no such layer was kept as a map", seen=", ".join(unknown), cure=nearest(unknown[0], list(found))
            )
        chosen = list(layers)
    else:
        chosen = evenly(outermost(list(found), 40), 7)
    part = parts(r, "image", input, [n])[0]
    panels = [(part.name, part.relevance), *((name, found[name][n]) for name in chosen)]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    fig = figure(max(6.0, 2.3 * columns), rows * 2.8 + 0.7, cmap)
    axes = fig.subplots(rows, columns, squeeze=False)
    odd = 0
    for panel, (name, relevance) in zip(axes.flat, panels, strict=False):
        (pixels,), _ = pixel_maps([relevance])
        scale = scale_of([pixels], percentile, cmap)
        odd += scale.odd
        size = f"{relevance.shape[-2]} x {relevance.shape[-1]}"
        words = f"{short(name, 30)}\n{size}, sum {number(float(relevance.double().sum()))}"
        show_map(panel, scale.rgba(pixels), cmap, title=words)
    for panel in axes.flat[len(panels) :]:
        panel.set_axis_off()
    sentences = [explained(r, n), "From the input to the output, channels added up; sums above each map."]
    sentences.append(
        f"Red supports, blue opposes. Each map has its own scale: full colour at the {percentile:g}th percentile."
    )
    sentences.append(f"Hatched: {odd} pixels that are NaN or infinite." if odd else "")
    return finish(fig, cmap, title, sentences)
