"""What configurations of timm and transformers make of a picture: worked by hand, and as transformers does it, live."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from lrp.errors import InputError, LoadError
from lrp.models import load_inputs, read_preprocess
from lrp.models.preprocess import PROCESSORS

TIMM = {
    "architecture": "resnet18",
    "num_classes": 1000,
    "pretrained_cfg": {
        "input_size": [3, 20, 20],
        "interpolation": "bilinear",
        "crop_pct": 0.8,
        "crop_mode": "center",
        "mean": [0.5, 0.25, 0.0],
        "std": [0.5, 1.0, 2.0],
        "first_conv": "conv1",
    },
}
TRANSFORMERS = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 12, "width": 10},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.5, 1.0],
}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (31, 46, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    return tmp_path / "x.png"


def written(folder: Path, config: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


def normalised(picture: Image.Image, mean: list[float], std: list[float]) -> torch.Tensor:
    pixels = torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)
    return ((pixels - torch.tensor(mean)) / torch.tensor(std)).permute(2, 0, 1)[None]


def test_timm_takes_the_centre_of_the_resized_picture(picture: Path, tmp_path: Path) -> None:
    read = load_inputs(picture, preprocess=read_preprocess(written(tmp_path, TIMM)))
    with Image.open(picture) as image:
        resized = image.resize((37, 25), Image.Resampling.BILINEAR)  # 20 / 0.8 = 25; 46 * 25 / 31 = 37.1
    expected = resized.crop((8, 2, 28, 22))  # 8.5 and 2.5 are rounded to even
    assert read.picture is not None
    assert read.picture.size == (20, 20)
    assert np.array_equal(np.asarray(read.picture), np.asarray(expected))
    torch.testing.assert_close(read.values, normalised(expected, [0.5, 0.25, 0.0], [0.5, 1.0, 2.0]))


@pytest.mark.parametrize(
    ("keys", "resized", "corner"),
    [
        ({"crop_mode": None}, (37, 25), (8, 2)),
        ({"crop_pct": 0.875}, (32, 22), (6, 1)),  # 22.9 and 32.6 are rounded down
        ({"crop_pct": 1.25}, (23, 16), (2, -2)),  # 20 / 1.25 = 16, with black above and below
    ],
)
def test_timm_rounds_down(
    picture: Path, tmp_path: Path, keys: dict[str, Any], resized: tuple[int, int], corner: tuple[int, int]
) -> None:
    read = load_inputs(picture, preprocess=read_preprocess(written(tmp_path, {**TIMM["pretrained_cfg"], **keys})))
    left, top = corner
    with Image.open(picture) as image:
        expected = image.resize(resized, Image.Resampling.BILINEAR).crop((left, top, left + 20, top + 20))
    assert np.array_equal(np.asarray(read.picture), np.asarray(expected))


def test_timm_squashes(picture: Path, tmp_path: Path) -> None:
    config = {**TIMM["pretrained_cfg"], "input_size": [3, 16, 20], "crop_mode": "squash", "crop_pct": 1.0}
    read = load_inputs(picture, preprocess=read_preprocess(written(tmp_path, config)))
    with Image.open(picture) as image:
        expected = image.resize((20, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(np.asarray(read.picture), np.asarray(expected))


@pytest.mark.parametrize(
    ("name", "number"), [("nearest", 0), ("lanczos", 1), ("bilinear", 2), ("bicubic", 3), ("box", 4), ("hamming", 5)]
)
def test_interpolations_have_the_numbers_of_pillow(tmp_path: Path, name: str, number: int) -> None:
    named = read_preprocess(written(tmp_path, {**TRANSFORMERS, "resample": name}))
    assert named == read_preprocess(written(tmp_path, {**TRANSFORMERS, "resample": number}))
    assert named.resample == number


CROPPED = {**TRANSFORMERS, "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 24}, "resample": 3}


@pytest.mark.parametrize(
    "config",
    [
        TRANSFORMERS,
        {**TRANSFORMERS, "do_normalize": False},
        {**TRANSFORMERS, "do_rescale": False, "resample": 1},
        {key: value for key, value in TRANSFORMERS.items() if key not in ("size", "resample")} | {"do_resize": False},
        {**TRANSFORMERS, "rescale_factor": 1 / 127.5},
        {key: value for key, value in TRANSFORMERS.items() if not key.startswith("do_")},
        {**CROPPED, "do_center_crop": True, "crop_size": {"height": 19, "width": 21}},
        {**CROPPED, "do_center_crop": True, "crop_size": {"height": 24, "width": 24}},
        {**CROPPED, "do_center_crop": False, "crop_size": {"height": 19, "width": 21}},
        {**CROPPED, "crop_size": 19},
    ],
)
@pytest.mark.parametrize("upright", [False, True])
def test_transformers_agrees(picture: Path, tmp_path: Path, config: dict[str, Any], upright: bool) -> None:
    if upright:
        with Image.open(picture) as image:
            image.transpose(Image.Transpose.ROTATE_90).save(picture)
    kind = getattr(transformers, f"{config['image_processor_type']}Pil")
    processor = kind(**{key: value for key, value in config.items() if key != "image_processor_type"})
    with Image.open(picture) as image:
        expected = processor(image, return_tensors="pt")["pixel_values"]
    saved = json.loads(processor.to_json_string())
    for each in (config, saved):
        read = load_inputs(picture, preprocess=read_preprocess(written(tmp_path, each)))
        torch.testing.assert_close(read.values, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("family", PROCESSORS)
def test_every_processor_crops_as_it_does_untold(picture: Path, tmp_path: Path, family: str) -> None:
    config = {**TRANSFORMERS, "image_processor_type": f"{family}ImageProcessor", "size": {"height": 24, "width": 26}}
    config["crop_size"] = {"height": 19, "width": 21}
    keys = {key: value for key, value in config.items() if key != "image_processor_type"}
    with Image.open(picture) as image:
        processor = getattr(transformers, f"{family}ImageProcessorPil")(**keys)
        expected = processor(image, return_tensors="pt")["pixel_values"]
    read = load_inputs(picture, preprocess=read_preprocess(written(tmp_path, config)))
    torch.testing.assert_close(read.values, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "kind",
    [
        {"image_processor_type": "ViTImageProcessorFast"},
        {"image_processor_type": "ViTImageProcessorPil"},
        {"image_processor_type": None, "feature_extractor_type": "ViTFeatureExtractor"},
    ],
)
def test_an_image_processor_has_several_names(tmp_path: Path, kind: dict[str, Any]) -> None:
    assert read_preprocess(written(tmp_path, {**TRANSFORMERS, **kind})) == read_preprocess(
        written(tmp_path, TRANSFORMERS)
    )


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**TIMM["pretrained_cfg"], "sharpen": 2, "crop_border": 1}, "crop_border, sharpen"),
        ({**TIMM["pretrained_cfg"], "crop_mode": "border"}, "border"),
        ({**TIMM["pretrained_cfg"], "input_size": [1, 20, 20]}, "1, 20, 20"),
        ({**TIMM["pretrained_cfg"], "input_size": [3, 16, 20]}, "3, 16, 20"),
        ({**TIMM["pretrained_cfg"], "interpolation": "bicubc"}, "one of 'bicubic'"),
        ({key: value for key, value in TIMM["pretrained_cfg"].items() if key != "mean"}, "mean"),
        ({**TRANSFORMERS, "do_pad": True}, "do_pad"),
        ({**TRANSFORMERS, "size": 224}, "several ways"),
        ({**TRANSFORMERS, "size": {"shortest_edge": 24, "longest_edge": 30}}, "several ways"),
        ({**TRANSFORMERS, "size": {"height": 24, "width": 30, "shortest_edge": 20}}, "several ways"),
        ({**TRANSFORMERS, "resample": 6}, "interpolation"),
        ({**TRANSFORMERS, "image_processor_type": "LevitImageProcessor"}, "LevitImageProcessor"),
        ({key: value for key, value in TRANSFORMERS.items() if key != "image_std"}, "image_std"),
        ({**TRANSFORMERS, "image_processor_type": "CLIPImageProcessor"}, "crop_size"),
        ({"vocab_size": 3}, "nothing about images"),
        ([1], "nothing about images"),
    ],
)
def test_configurations_that_are_refused(tmp_path: Path, config: Any, words: str) -> None:
    with pytest.raises(LoadError, match=words):
        read_preprocess(written(tmp_path, config))


def test_files_and_pictures_that_are_refused(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    for name in ("x.json", "absent.json"):
        with pytest.raises(LoadError, match=name):
            read_preprocess(tmp_path / name)
    cropped = {**TRANSFORMERS, "do_resize": False, "do_center_crop": True, "crop_size": {"height": 32, "width": 20}}
    preprocess = read_preprocess(written(tmp_path, cropped))
    with pytest.raises(InputError, match="smaller than what the model sees"):
        load_inputs(picture, preprocess=preprocess)
    with pytest.raises(InputError, match="already"):
        load_inputs(picture, preprocess=preprocess, size=8)
    (tmp_path / "x.csv").write_text("1,2\n")
    with pytest.raises(InputError, match="for images"):
        load_inputs(tmp_path / "x.csv", preprocess=preprocess)
