"""One model per timm family: the smallest by parameters of each module of `timm.models`.

python -m benchmarks.coverage.timm_models     # finds them anew and writes timm_families.json (minutes)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import timm
import torch

from benchmarks.coverage.case import Candidate, Case

__all__ = ["candidates", "cases"]

FAMILIES = Path(__file__).with_name("timm_families.json")

DEEP = ("deepseek_vit_412m",)
"""Families whose smallest model would take minutes; two of their blocks do."""


def cases() -> list[Case]:
    return [Case("timm", "image-classification", name) for name in json.loads(FAMILIES.read_text()).values()]


def candidates(case: Case) -> Iterator[Candidate]:
    generator = torch.Generator().manual_seed(1)
    default = timm.models.get_pretrained_cfg(case.name)
    full = default.input_size if default is not None else (3, 224, 224)
    shallow = {"depth": 2} if case.name in DEEP else {}
    for size in (64, 96, 128, full[-1]):
        for options in ({"img_size": size, **shallow}, {"img_size": size}, {}):
            try:
                model = timm.create_model(case.name, num_classes=10, **options)
            except (TypeError, AssertionError, ValueError, RuntimeError):
                continue
            x = torch.randn(2, full[0], size, size, generator=generator)
            yield Candidate(model, x, None, f"input {size}")
            break


def smallest() -> dict[str, str]:
    """The name of the smallest model of each family."""
    found = {}
    for family in timm.list_modules():
        sizes = {}
        for name in timm.list_models(module=family):
            try:
                with torch.device("meta"):
                    model = timm.create_model(name)
            except Exception:
                try:
                    model = timm.create_model(name)
                except Exception:
                    continue
            sizes[name] = sum(parameter.numel() for parameter in model.parameters())
        if sizes:
            found[family] = min(sizes, key=lambda name: (sizes[name], name))
            print(family, found[family], flush=True)
    return found


if __name__ == "__main__":
    FAMILIES.write_text(json.dumps(smallest(), indent=1) + "\n")
