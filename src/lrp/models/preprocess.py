"""How a model's own configuration says images are prepared: files of timm and of transformers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from lrp.errors import InputError, LoadError, nearest
from lrp.models.images import to_tensor

__all__ = ["Preprocess", "read_preprocess"]

RESAMPLING = {each.name.lower(): each.value for each in Image.Resampling}
"""Interpolations by name, with Pillow's numbers, which transformers writes."""

TIMM = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
TIMM_ELSE = (
    "url",
    "file",
    "state_dict",
    "hf_hub_id",
    "hf_hub_filename",
    "source",
    "architecture",
    "tag",
    "custom_load",
    "fixed_input_size",
    "min_input_size",
    "test_input_size",
    "test_crop_pct",
    "num_classes",
    "label_offset",
    "label_names",
    "label_descriptions",
    "pool_size",
    "test_pool_size",
    "first_conv",
    "classifier",
    "license",
    "description",
    "origin_url",
    "paper_name",
    "paper_ids",
    "notes",
)
"""Keys of timm that change nothing about the picture of a test at the size the model was trained for."""

PROCESSORS = {
    "Beit": False,
    "Bit": True,
    "Blip": False,
    "CLIP": True,
    "ChineseCLIP": True,
    "DeiT": True,
    "MobileNetV1": True,
    "MobileNetV2": True,
    "OwlViT": False,
    "Pvt": False,
    "Siglip": False,
    "ViT": False,
}
"""Image processors of transformers that do what their keys say, and whether one that is not told to cuts out a centre.

Others read the same keys in ways of their own."""

TRANSFORMERS = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)
TRANSFORMERS_ELSE = (
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "auto_map",
    "do_convert_rgb",
    "default_to_square",
    "data_format",
    "do_reduce_labels",
    "input_data_format",
    "return_tensors",
    "device",
    "disable_grouping",
    "_valid_processor_keys",
    "_processor_class",
)


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes an input: `(RGB from 0 to white - mean) / std` of its centre.

    Attributes:
        resize: the shorter side in pixels, or (height, width); None: as it is.
        crop: (height, width) of the centre; None: all of it.
        resample: Pillow's number of the interpolation.
        half_down: whether half a pixel beside the crop is left out, as transformers does; timm rounds it to even.
        white: what 255 becomes before mean and std.
        mean, std: for red, green, blue.
    """

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    resample: int = RESAMPLING["bicubic"]
    half_down: bool = False
    white: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def fitted(self, picture: Image.Image) -> Image.Image:
        """Return the part of the picture that the model sees, at the size at which it sees it.

        >>> Preprocess(resize=20, crop=(16, 16)).fitted(Image.new("RGB", (40, 30))).size
        (16, 16)
        """
        if self.resize is not None:
            width, height = picture.size
            if isinstance(self.resize, tuple):
                height, width = self.resize
            else:
                short = min(width, height)
                width, height = self.resize * width // short, self.resize * height // short
            picture = picture.resize((width, height), Image.Resampling(self.resample))
        if self.crop is None:
            return picture
        height, width = self.crop
        if self.half_down and (picture.width < width or picture.height < height):
            seen = f"{picture.width} x {picture.height} pixels, and {width} x {height} are cut out"
            raise InputError("the picture is smaller than what the model sees", seen=seen, cure="a larger picture")
        left, top = (self.margin(*each) for each in ((picture.width, width), (picture.height, height)))
        return picture.crop((left, top, left + width, top + height))

    def margin(self, side: int, crop: int) -> int:
        """Return where a centre of `crop` pixels begins; where it is larger than the side, black surrounds it.

        >>> Preprocess().margin(10, 7), Preprocess(half_down=True).margin(10, 7), Preprocess().margin(4, 9)
        (2, 1, -2)
        """
        if side < crop:
            return -((crop - side) // 2)
        return (side - crop) // 2 if self.half_down else round((side - crop) / 2)

    def tensor(self, picture: Image.Image) -> Tensor:
        """Return a fitted picture as a model input, float32, (1, 3, H, W)."""
        return to_tensor(picture, mean=self.mean, std=self.std, white=self.white)


def read_preprocess(path: str | Path) -> Preprocess:
    """Return what a configuration says: timm's config.json, or the preprocessor_config.json of transformers.

    Raises:
        LoadError: no such file or no such configuration; a key that is not known, or a value that this cannot do.
    """
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        cure = "give timm's config.json, or the preprocessor_config.json of transformers"
        raise LoadError("the file is no JSON", where="--preprocess", seen=f"{path}: {error}", cure=cure) from error
    config = config.get("pretrained_cfg", config) if isinstance(config, dict) else {}
    try:
        if "input_size" in config:
            return of_timm(checked(config, TIMM, TIMM_ELSE, path))
        if config.keys() & {"image_mean", "do_resize", "do_rescale", "image_processor_type"}:
            return of_transformers(checked(config, TRANSFORMERS, TRANSFORMERS_ELSE, path))
    except LoadError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        seen = f"{type(error).__name__}: {error}"
        raise LoadError("the configuration lacks a value, or has a strange one", where=str(path), seen=seen) from error
    cure = "timm's has input_size, that of transformers image_mean or do_resize"
    seen = ", ".join(map(str, config)) or "no keys"
    raise LoadError("the file says nothing about images", where=str(path), seen=seen[:200], cure=cure)


def checked(
    config: dict[str, Any], known: Sequence[str], without_effect: Sequence[str], path: str | Path
) -> dict[str, Any]:
    """Return a configuration all of whose keys are known: another one might change the numbers."""
    strange = sorted(config.keys() - {*known, *without_effect})
    if strange:
        cure = f"prepare the images yourself (.npy), or take out what changes nothing; known: {', '.join(known)}"
        raise LoadError("the configuration has an unknown key", where=str(path), seen=", ".join(strange), cure=cure)
    return config


def of_timm(config: Mapping[str, Any]) -> Preprocess:
    """Return the picture that timm takes in tests: the shorter side at size / crop_pct, of that the centre."""
    channels, height, width = config["input_size"]
    mode = config.get("crop_mode") or "center"
    if channels != 3 or mode not in ("center", "squash") or (mode == "center" and height != width):
        seen = f"input_size {config['input_size']}, crop_mode {mode}"
        raise LoadError("this size or crop is not known", seen=seen, cure="3 x N x N with crop_mode center or squash")
    high, wide = (math.floor(side / config["crop_pct"]) for side in (height, width))
    return Preprocess(
        resize=high if mode == "center" else (high, wide),
        crop=(height, width),
        resample=resampling(config["interpolation"]),
        mean=tuple(map(float, config["mean"])),
        std=tuple(map(float, config["std"])),
    )


def of_transformers(config: Mapping[str, Any]) -> Preprocess:
    """Return the picture that an image processor makes: resized, cropped, rescaled, normalised."""
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type"))
    family = re.sub(r"(ImageProcessor(Fast|Pil)?|FeatureExtractor)$", "", kind)
    if family not in PROCESSORS:
        cure = f"prepare the images yourself (.npy); known: {', '.join(PROCESSORS)}"
        raise LoadError("what this image processor does is not known", seen=kind, cure=cure)
    normal = config.get("do_normalize", True)
    scale = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
    return Preprocess(
        resize=side_of(config["size"]) if config.get("do_resize", True) else None,
        crop=pair_of(config["crop_size"]) if config.get("do_center_crop", PROCESSORS[family]) else None,
        resample=resampling(config["resample"]) if config.get("do_resize", True) else 0,
        half_down=True,
        white=255.0 * scale,
        mean=tuple(map(float, config["image_mean"])) if normal else (0.0, 0.0, 0.0),
        std=tuple(map(float, config["image_std"])) if normal else (1.0, 1.0, 1.0),
    )


def side_of(size: Any) -> int | tuple[int, int]:
    """Return the shorter side, or height and width.

    >>> side_of({"shortest_edge": 256}), side_of({"height": 224, "width": 224})
    (256, (224, 224))
    """
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        return int(size["shortest_edge"])
    if isinstance(size, Mapping) and set(size) == {"height", "width"}:
        return pair_of(size)
    cure = '{"shortest_edge": N} or {"height": N, "width": N}'
    raise LoadError("the size can be read in several ways", where="size", seen=str(size), cure=cure)


def pair_of(size: Any) -> tuple[int, int]:
    """Return height and width, of a number twice the same."""
    return (int(size["height"]), int(size["width"])) if isinstance(size, Mapping) else (int(size), int(size))


def resampling(found: Any) -> int:
    """Return Pillow's number of an interpolation that is given by name or by number."""
    if found in RESAMPLING.values():
        return int(found)
    if found not in RESAMPLING:
        cure = nearest(str(found), list(RESAMPLING))
        raise LoadError("the interpolation is not known", where="interpolation", seen=str(found), cure=cure)
    return RESAMPLING[found]
