"""Ten photographs that come inside scikit-image and scikit-learn, as EfficientNet-Lite0 reads them."""

from __future__ import annotations

import numpy as np
import skimage.data
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from lrp.models import imagenet
from lrp.models.images import fit

__all__ = ["LOW_HIGH", "PHOTOGRAPHS", "classifier", "photographs"]

PHOTOGRAPHS = {
    "chelsea": skimage.data.chelsea,
    "coffee": skimage.data.coffee,
    "rocket": skimage.data.rocket,
    "motorcycle": lambda: skimage.data.stereo_motorcycle()[0],
    "astronaut": skimage.data.astronaut,
    "camera": skimage.data.camera,
    "coins": skimage.data.coins,
    "moon": skimage.data.moon,
    "china": lambda: load_sample_image("china.jpg"),
    "flower": lambda: load_sample_image("flower.jpg"),
}
LOW_HIGH = (0 - 127) / 128, (255 - 127) / 128
"""The range of the network's inputs."""


def classifier() -> nn.Module:
    """EfficientNet-Lite0 without gradients for its parameters, in the layout that is fast on a CPU."""
    return imagenet.classifier().requires_grad_(False).to(memory_format=torch.channels_last)


def photographs() -> Tensor:
    """All ten, (10, 3, 224, 224): shorter side to 256, centre 224; grey ones have three equal channels."""
    pictures = (Image.fromarray(np.asarray(load())) for load in PHOTOGRAPHS.values())
    return torch.cat([imagenet.model_input(fit(picture, resize=256, crop=224)) for picture in pictures])
