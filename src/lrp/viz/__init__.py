"""Pictures of relevance: red supports, blue opposes, white is zero.

What you have, and which picture shows it (each takes a result; `image(r)`, `bars(r, names)` ...):

- an image: `image` (beside the picture, over it, one sign, sizes alone), `channels`, `strip` (layer by layer)
- several targets, models or methods for an image: `compare`, on one scale
- a volume: `volume` (three planes through one place)
- a signal: `signal` (traces), `eeg` (channels by time, spectrograms), `audio` (waveform and spectrogram)
- a graph: `graph` (nodes and edges)
- a text, from `explain_text`: `tokens` (HTML, or for a terminal), `token_matrix` (prompt by generated tokens),
  `layers_by_tokens`
- a table: `bars` (one sample), `waterfall` (from zero to the output), `beeswarm` (many samples)
- any result: `ledger` (where the explained output went), `flow` (the relevance at each kept layer)
- an array: `heatmap`, `overlay` (Pillow pictures, no matplotlib needed), `png_bytes` (with the facts inside)

The others (but `tokens`, a string) return a matplotlib figure (extra `viz`) that nobody else holds: no pyplot;
`figure.savefig("a.png")` writes it, a notebook shows it. Below each stands what was explained, its value, the
sum shown, the composite, and where colours are clipped.
"""

from __future__ import annotations

from lrp.viz.books import flow, ledger
from lrp.viz.graphs import graph
from lrp.viz.heatmap import heatmap, overlay
from lrp.viz.images import channels, compare, image
from lrp.viz.layers import strip
from lrp.viz.png import png_bytes
from lrp.viz.signals import audio, eeg, signal
from lrp.viz.tables import bars, beeswarm, waterfall
from lrp.viz.text import tokens
from lrp.viz.token_grids import layers_by_tokens, token_matrix
from lrp.viz.volumes import volume

__all__ = [
    "audio",
    "bars",
    "beeswarm",
    "channels",
    "compare",
    "eeg",
    "flow",
    "graph",
    "heatmap",
    "image",
    "layers_by_tokens",
    "ledger",
    "overlay",
    "png_bytes",
    "signal",
    "strip",
    "token_matrix",
    "tokens",
    "volume",
    "waterfall",
]
