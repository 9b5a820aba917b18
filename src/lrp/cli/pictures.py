"""Explanations of images as PNG pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lrp import viz
from lrp.cli.items import filename
from lrp.cli.records import Sample
from lrp.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["pictures"]


def pictures(
    samples: list[Sample], path: Path, folder: bool, photograph: Image | None, stem: str = ""
) -> dict[Path, bytes]:
    """Return the heatmap of each sample and target, and its overlay where there is a photograph and a folder for both.

    Args:
        samples: each with one input of shape (H, W) or (C, H, W).
        path: a folder, or the file of the only heatmap.
        folder: which of the two it is.
        photograph: what the overlay is laid over.
        stem: what the names of the files in a folder begin with.

    Raises:
        InputError: the relevance is no picture, or there are several and only one file.
    """
    if not folder and len(samples) > 1:
        seen = f"{len(samples)} {'samples and targets' if samples[0].which else 'samples'}"
        cure = "give a folder: --out maps/ --format png"
        raise InputError("several pictures for one file", where=str(path), seen=seen, cure=cure)
    several = len({sample.number for sample in samples}) > 1
    start = f"{stem}-" if stem else ""
    made = {}
    for sample in samples:
        if len(sample.sources) != 1:
            seen = f"{len(sample.sources)} inputs"
            raise InputError("a picture needs one input", where=str(path), seen=seen, cure="use another --format")
        values = sample.sources[0].values
        facts = {"explained": sample.explained, "target": sample.target, "composite": sample.composite}
        mark = f"-{sample.number}" if several else ""
        mark += f"-target{sample.which}-{filename(sample.asked)}" if sample.which else ""
        made[path / f"{start}heatmap{mark}.png" if folder else path] = viz.png_bytes(viz.heatmap(values), facts)
        if folder and photograph is not None:
            made[path / f"{start}overlay{mark}.png"] = viz.png_bytes(viz.overlay(values, photograph), facts)
    return made
