"""A small module with names, its input, and all of its relevance under LRP-0."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import lrp
from lrp import presets
from tests.cases.networks import prepare


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


MODEL = prepare(MLP(), seed=1)
X = torch.randn(3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
FULL = lrp.explain(MODEL, X, target=1, composite=presets.zero(), keep="all")


def close(ours: Tensor, truth: Tensor) -> None:
    torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-13)
