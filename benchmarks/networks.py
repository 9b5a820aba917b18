"""VGG-11 with batch norm and ResNet-18 at their published sizes, with random weights (torchvision is not needed)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.cases.networks import ResNet, prepare

__all__ = ["NETWORKS", "photograph_like", "resnet18", "vgg11_bn"]


def vgg11_bn() -> nn.Module:
    """Simonyan, Zisserman 2015, configuration A, with a batch norm after each convolution."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool"):
        if width == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
    head: list[nn.Module] = [nn.AdaptiveAvgPool2d(7), nn.Flatten()]
    for inputs in (512 * 7 * 7, 4096):
        head += [nn.Linear(inputs, 4096), nn.ReLU(inplace=True), nn.Dropout()]
    return prepare(nn.Sequential(*layers, *head, nn.Linear(4096, 1000)), seed=21).float().requires_grad_(False)


def resnet18() -> nn.Module:
    """He et al. 2016: widths 64 to 512, a strided stem of 7 x 7."""
    model = ResNet((64, 128, 256, 512))
    model.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
    model.fc = nn.Linear(512, 1000)
    return prepare(model, seed=22).float().requires_grad_(False)


def photograph_like() -> Tensor:
    """One normalised image, (1, 3, 224, 224)."""
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(23)).clamp(-2, 2)


NETWORKS: dict[str, Callable[[], nn.Module]] = {"vgg11_bn": vgg11_bn, "resnet18": resnet18}
