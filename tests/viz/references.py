"""The figures whose drawings are stored; `python -m tests.viz.references` draws them anew, to be looked at."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

import lrp
from lrp import viz
from tests.viz.results import Draw, network, pixels, result

FOLDER = Path(__file__).parent / "references"


def waves(*shape: int) -> torch.Tensor:
    """Numbers of both signs that repeat nowhere."""
    steps = torch.arange(int(np.prod(shape)), dtype=torch.float64).reshape(shape)
    return torch.sin(steps * 0.7) * (0.2 + torch.cos(steps * 0.05) ** 2)


def figures() -> dict[str, Draw]:
    """Each family of figures, by name."""
    model, x = network()
    kept = lrp.explain(model, x, keep="all", target=1)
    targets = lrp.explain(model, x, target=lrp.targets.Several(0, 1, 2))
    table = result(waves(9, 5), values=2 + waves(9, 5), bias=0.7)
    names = ["age", "income", "height", "weight", "$ spent"]
    return {
        "image": lambda: viz.image(kept),
        "image-heatmap-dark": lambda: viz.image(kept, mode="heatmap", cmap="berlin", samples=1),
        "image-saliency": lambda: viz.image(kept, mode="saliency", samples=0),
        "compare": lambda: viz.compare(targets),
        "channels": lambda: viz.channels(kept, sample=1),
        "strip": lambda: viz.strip(kept),
        "bars": lambda: viz.bars(table, names, sample=2, most=3),
        "waterfall": lambda: viz.waterfall(table, names, sample=2),
        "beeswarm": lambda: viz.beeswarm(table, names),
        "ledger": lambda: viz.ledger(kept),
        "flow": lambda: viz.flow(kept, sample=0),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, draw in figures().items():
        Image.fromarray(pixels(draw()).astype(np.uint8)).save(FOLDER / f"{name}.png", optimize=True)
