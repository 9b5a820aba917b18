"""Results whose relevance is chosen: the models multiply their inputs by weights."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from torch import Tensor, nn

import lrp
from lrp.text import Piece, TextRelevance


class Weighted(nn.Module):
    """The sum of the inputs times weights, plus a bias."""

    def __init__(self, weights: list[Tensor], bias: float) -> None:
        super().__init__()
        self.weights, self.bias = weights, bias

    def forward(self, *inputs: Tensor) -> Tensor:
        products = [(x * w).flatten(1).sum(1) for x, w in zip(inputs, self.weights, strict=True)]
        return sum(products) + torch.tensor(self.bias, dtype=torch.float64)


def result(*relevance: Any, values: Any = None, bias: float = 0.0) -> lrp.Relevance:
    """A result with this relevance of its inputs, each (N, ...), and these inputs (the first one's; else ones)."""
    wanted = [torch.as_tensor(r, dtype=torch.float64) for r in relevance]
    inputs = [torch.ones_like(w) for w in wanted]
    if values is not None:
        inputs[0] = torch.as_tensor(values, dtype=torch.float64).clone()
    model = Weighted([w / x for w, x in zip(wanted, inputs, strict=True)], bias)
    made = lrp.explain(model, inputs[0] if len(inputs) == 1 else tuple(inputs), composite=lrp.presets.zero())
    for given, got in zip(wanted, [made.input] if len(inputs) == 1 else made.input, strict=True):
        torch.testing.assert_close(got, given, rtol=1e-12, atol=1e-15)
    return made


def with_relevance(r: lrp.Relevance, relevance: Any) -> lrp.Relevance:
    """The same result with other numbers, such as no model gives."""
    return replace(r, input=torch.as_tensor(relevance, dtype=torch.float64))


def text(*pieces: tuple[str, float], target: str = "'x'", layers: Any = None) -> TextRelevance:
    """A text whose tokens have this relevance, each a word."""
    made = [Piece(word, relevance) for word, relevance in pieces]
    r = result([[relevance for _, relevance in pieces if np.isfinite(relevance)]], bias=10.0)
    return TextRelevance(made, made, target, replace(r, layers=layers or {}))


def network() -> tuple[nn.Module, Tensor]:
    """A small convolutional network in float64, and two images."""
    torch.manual_seed(3)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(6 * 5 * 5, 3)).double().eval()
    return model, torch.randn(2, 3, 12, 12, dtype=torch.float64)


def pixels(fig: Figure, dpi: int = 50) -> np.ndarray:
    """The figure as it is drawn, without its words (which other versions of matplotlib set otherwise)."""
    for words in fig.findobj(Text):
        words.set_visible(False)
    buffer = BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi)
    return np.asarray(Image.open(buffer).convert("RGB")).astype(int)


def caption(fig: Figure) -> str:
    """The words below."""
    return " ".join(fig.get_supxlabel().split())


def words(fig: Figure) -> list[str]:
    """All words of a figure."""
    fig.draw_without_rendering()
    return [text.get_text() for text in fig.findobj(Text) if text.get_text() and text.get_visible()]


Draw = Callable[[], Figure]
