"""A digit classifier with trained weights, and 1,000 digits for it (data/README.md says where they are from)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

__all__ = ["LOW_HIGH", "DigitCNN", "classifier", "digits"]

DATA = Path(__file__).parent / "data"
MEAN, STD = 0.1307, 0.3081  # what the network was trained with
LOW_HIGH = (0 - MEAN) / STD, (1 - MEAN) / STD
"""The range of its inputs."""


class DigitCNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, width in ((1, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.conv_layers = nn.Sequential(*layers)
        self.fc_layers = nn.Sequential(nn.Linear(128 * 3 * 3, 256), nn.ReLU(), nn.Linear(256, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc_layers(self.conv_layers(x).flatten(1))


def classifier() -> nn.Module:
    """The trained network, in eval mode, without gradients for its parameters, in the layout that is fast on a CPU."""
    model = DigitCNN()
    model.load_state_dict(load_file(DATA / "digit_cnn.safetensors"))
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def digits(per_class: int = 100, skip: int = 0) -> tuple[Tensor, Tensor]:
    """Digits of each class as the network reads them, (10 per_class, 1, 28, 28), and their labels.

    Args:
        per_class: how many.
        skip: how many of each class are left out before them.
    """
    with np.load(DATA / "digits.npz") as stored:
        images, labels = torch.from_numpy(stored["images"]), torch.from_numpy(stored["labels"])
    first = torch.arange(len(labels)).view(10, -1)[:, skip : skip + per_class].flatten()
    return ((images[first] / 255 - MEAN) / STD)[:, None], labels[first].long()
