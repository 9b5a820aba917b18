"""Pictures of relevance: signed heatmaps and overlays, with numpy and Pillow alone."""

from __future__ import annotations

from lrp.viz.heatmap import heatmap, overlay
from lrp.viz.png import png_bytes

__all__ = ["heatmap", "overlay", "png_bytes"]
