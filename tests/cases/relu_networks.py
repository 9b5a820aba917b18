"""Small ReLU networks in spellings that DeepLIFT implementations follow: every ReLU and pool a module of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.cases.networks import CASES, Case, prepare, signed


def conv1d_strided() -> nn.Module:
    layers = nn.Conv1d(2, 6, 5, stride=2, padding=2), nn.BatchNorm1d(6), nn.ReLU(), nn.Conv1d(6, 8, 3, dilation=2)
    return prepare(nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 8, 5)), seed=31)


class ResidualAveraged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu1 = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU()
        self.conv1, self.bn1, self.relu2 = nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()
        self.conv2, self.bn2, self.relu3 = nn.Conv2d(8, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()
        self.pool, self.head = nn.AvgPool2d(3, 2, 1), nn.Linear(6 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.stem(x))
        x = self.relu3(x + self.bn2(self.conv2(self.relu2(self.bn1(self.conv1(x))))))
        return self.head(torch.flatten(self.pool(x), 1))


def residual_averaged() -> nn.Module:
    return prepare(ResidualAveraged(), seed=32)


def relu_then_pool() -> nn.Module:
    """Pools behind a ReLU; the second one's windows overlap."""
    layers = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
    head = nn.Linear(8 * 6, 10), nn.ReLU(), nn.Linear(10, 4)
    return prepare(nn.Sequential(*layers, nn.MaxPool2d(3, 2, 1), nn.Flatten(), *head), seed=33)


def conv_then_pool() -> nn.Module:
    """Pools between linear layers, windows side by side."""
    layers = nn.Conv2d(3, 6, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
    head = nn.Conv2d(8, 6, 3, padding=1), nn.MaxPool2d(2, 3, 1), nn.Flatten(), nn.Linear(6 * 6, 4)
    return prepare(nn.Sequential(*layers, *head), seed=34)


RELU_CASES: dict[str, Case] = {
    case.name: case
    for case in (
        CASES["mlp"],
        Case("conv1d_strided", conv1d_strided, lambda: signed(3, 2, 24, seed=31)),
        Case("residual_averaged", residual_averaged, lambda: signed(3, 3, 8, 8, seed=32)),
        CASES["conv1d_net"],
        Case("relu_then_pool", relu_then_pool, lambda: signed(3, 3, 8, 12, seed=33)),
        Case("conv_then_pool", conv_then_pool, lambda: signed(3, 3, 8, 12, seed=34)),
    )
}
