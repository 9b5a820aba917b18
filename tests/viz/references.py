"""The figures whose drawings are stored; `python -m tests.viz.references` draws them anew, to be looked at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import lrp
from lrp import viz
from tests.viz.results import Draw, network, pixels, result, text

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
    trace = result(waves(1, 3, 120), values=2 + waves(1, 3, 120), bias=9.0)
    sound = result(
        waves(1, 600), values=2 + torch.sin(torch.arange(600.0) * torch.linspace(0.2, 1, 600))[None], bias=9.0
    )
    space = result(waves(1, 6, 8, 7), values=3 + waves(1, 6, 8, 7), bias=9.0)
    graph = result(waves(1, 7, 2), waves(1, 8) + 0.3)
    ends = [[0, 1, 2, 3, 4, 5, 0, 2], [1, 2, 3, 4, 5, 0, 6, 5]]
    answers = [text(*zip("abcde"[:n], waves(9)[:n].tolist(), strict=True)) for n in (3, 4, 5)]
    layers = {"2": waves(1, 5, 4), "1": waves(1, 5, 4) * 0.5}
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
        "signal": lambda: viz.signal(trace, rate=100.0),
        "eeg": lambda: viz.eeg(trace),
        "audio": lambda: viz.audio(sound, rate=8000),
        "volume": lambda: viz.volume(space),
        "graph": lambda: viz.graph(graph, ends, weights="1", positions="circular"),
        "token-matrix": lambda: viz.token_matrix(answers),
        "layers-by-tokens": lambda: viz.layers_by_tokens(
            replace(answers[2], relevance=replace(answers[2].relevance, layers=layers))
        ),
        "flow": lambda: viz.flow(kept, sample=0),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, draw in figures().items():
        Image.fromarray(pixels(draw()).astype(np.uint8)).save(FOLDER / f"{name}.png", optimize=True)
