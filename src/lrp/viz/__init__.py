"""Pictures of relevance: red supports, blue opposes, white is zero.

What you have, and which picture shows it (each takes a result; `image(r)`, `bars(r, names)` ...):

- an image: `image` (beside the picture, over it, one sign, sizes alone), `channels`, `strip` (layer by layer)
- several targets, models or methods for an image: `compare`, on one scale
- a table: `bars` (one sample), `waterfall` (from zero to the output), `beeswarm` (many samples)
- any result: `ledger` (where the explained output went), `flow` (the relevance at each kept layer)
- an array: `heatmap`, `overlay` (Pillow pictures, no matplotlib needed), `png_bytes` (with the facts inside)

The others return a matplotlib figure (extra `viz`) that nobody else holds: no pyplot, no `show()`;
`figure.savefig("a.png")` writes it, a notebook shows it. Below each stands what was explained, its value, the
sum shown, the composite, and where colours are clipped.
"""

from __future__ import annotations

from lrp.viz.books import flow, ledger
from lrp.viz.heatmap import heatmap, overlay
from lrp.viz.images import channels, compare, image
from lrp.viz.layers import strip
from lrp.viz.png import png_bytes
from lrp.viz.tables import bars, beeswarm, waterfall

__all__ = [
    "bars",
    "beeswarm",
    "channels",
    "compare",
    "flow",
    "heatmap",
    "image",
    "ledger",
    "overlay",
    "png_bytes",
    "strip",
    "waterfall",
]
