"""Every torchvision builder of a classifier, a segmentation network and a video classifier."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torchvision import models

import lrp
from benchmarks.coverage.case import Candidate, Case

__all__ = ["candidates", "cases"]

_HEADS = {
    "image-classification": models,
    "semantic-segmentation": models.segmentation,
    "video-classification": models.video,
}


def cases() -> list[Case]:
    return [Case("torchvision", head, name) for head, module in _HEADS.items() for name in models.list_models(module)]


def candidates(case: Case) -> Iterator[Candidate]:
    generator = torch.Generator().manual_seed(1)
    video = case.head == "video-classification"
    sizes = (56,) if case.name.endswith("_14") else (64, 96, 224, 299)  # a multiple of its patches
    for size in (32, 64, 224) if video else sizes:
        options = {"image_size": size} if case.name.startswith("vit_") else {}
        if case.name in ("inception_v3", "googlenet"):
            options = {"init_weights": False}
        if case.head == "semantic-segmentation":
            options = {"weights_backbone": None}
        model = models.get_model(case.name, weights=None, num_classes=10, **options)
        shape = (2, 3, 8 if size == 32 else 16, size, size) if video else (2, 3, size, size)
        target = None
        if case.head == "semantic-segmentation":
            target = lrp.targets.At("out", lrp.targets.Region(torch.ones(size, size, dtype=torch.bool), 0))
        yield Candidate(model, torch.randn(shape, generator=generator), target, f"input {size}")
