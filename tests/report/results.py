"""Small results of every kind of input, for pages."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import lrp
from lrp import Relevance
from lrp.targets import Class, Several
from lrp.text import TextRelevance
from lrp.text.pieces import Piece

HOSTILE = "<img src=x onerror=alert(1)>"
HOSTILE_END = "\"'></script><script>alert(2)</script>"


def image(samples: int = 1, side: int = 16, several: bool = False) -> Relevance:
    """Of an image net with two kept layers."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 6, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)
    )
    x = torch.randn(samples, 3, side, side)
    net(x)
    return lrp.explain(net.eval(), x, target=Several(Class(1), Class(2)) if several else 1, keep=["0", "2"])


def table(samples: int = 1, features: int = 4) -> Relevance:
    """Of a few features."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(features, 6), nn.ReLU(), nn.Linear(6, 1))
    return lrp.explain(net, torch.randn(samples, features), keep="all")


def signal() -> Relevance:
    """Of two channels and 40 steps."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(2, 4, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    return lrp.explain(net, torch.randn(1, 2, 40), keep=["0"])


def volume() -> Relevance:
    """Of a small volume, which no picture shows."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 2, 3), nn.Flatten(), nn.LazyLinear(2))
    x = torch.randn(1, 1, 5, 5, 5)
    net(x)
    return lrp.explain(net, x)


class _Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(10, 4), nn.Linear(4, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embedding(ids).relu().mean(1))


def ids() -> Relevance:
    """Of four token ids."""
    torch.manual_seed(0)
    return lrp.explain(_Text(), torch.tensor([[1, 5, 2, 7]]), keep=["embedding"])


def text(*tokens: str) -> TextRelevance:
    """Of a text of four tokens, the first a special one."""
    r = ids()
    pieces = [
        Piece(token, number, at == 0)
        for at, (token, number) in enumerate(zip(tokens, r.input[0].tolist(), strict=True))
    ]
    return TextRelevance(pieces, pieces[1:], "positive", r)
