from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lrp import viz
from lrp.errors import InputError
from lrp.viz.colors import colors


def rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_zero_is_exactly_white_red_supports_blue_opposes() -> None:
    white, red, blue = rgb(viz.heatmap(np.array([[0.0, 2.0, -2.0]])))[0]
    assert white.tolist() == [255, 255, 255]
    assert red.tolist() == [103, 0, 31]
    assert blue.tolist() == [5, 48, 97]
    for weak in (0.05, 0.1, 0.4):
        for channel, value in ((0, weak), (2, -weak)):
            color = rgb(viz.heatmap(np.array([[value, 1.0]])))[0, 0]
            assert color.argmax() == channel
            assert color.max() > color.min()


def test_the_scale_is_symmetric_whatever_the_signs() -> None:
    values = np.array([[0.0, 0.2, 1.0, 4.0]])
    assert viz.heatmap(values).info["scale"] == viz.heatmap(-values).info["scale"]
    one_sided, two_sided = (
        rgb(viz.heatmap(values, percentile=100)),
        rgb(viz.heatmap(values * [1, 1, -1, 1], percentile=100)),
    )
    assert (one_sided[0, [0, 1, 3]] == two_sided[0, [0, 1, 3]]).all()


def test_both_sides_darken_steadily_and_alike() -> None:
    steps = np.linspace(1e-12, 1, 101)
    for side in (colors(steps), colors(-steps)):
        brightness = side.sum(axis=-1)
        assert brightness[0] == pytest.approx(3 * 255)  # no step at zero
        assert (np.diff(brightness) < 0).all()
    assert np.abs(colors(steps).mean(axis=-1) - colors(-steps).mean(axis=-1)).max() < 40


def test_channels_are_added_with_their_signs() -> None:
    relevance = np.array([[[1.0, 1.0]], [[-1.0, 2.0]], [[0.0, 0.0]]])
    cancels, remains = rgb(viz.heatmap(relevance))[0]
    assert cancels.tolist() == [255, 255, 255]
    assert remains.tolist() == [103, 0, 31]


def test_nothing_is_white_and_one_pixel_is_seen() -> None:
    assert (rgb(viz.heatmap(np.zeros((3, 4, 5)))) == 255).all()
    lonely = np.zeros((100, 100))
    lonely[3, 4] = -1.0
    image = rgb(viz.heatmap(lonely))
    assert image[3, 4].tolist() == [5, 48, 97]
    assert (image.reshape(-1, 3) == 255).all(axis=1).sum() == 9999


def test_outliers_are_clipped_and_the_picture_says_so() -> None:
    relevance = np.ones((20, 20))
    relevance[0, 0] = 1000
    image = viz.heatmap(relevance, percentile=90)
    assert image.info == {"scale": 1.0, "percentile": 90}
    assert (rgb(image) == [103, 0, 31]).all()
    assert viz.heatmap(relevance, percentile=100).info["scale"] == 1000


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tensors_of_any_dtype_with_or_without_graph(dtype: torch.dtype) -> None:
    relevance = torch.tensor([[1.0, -1.0]], dtype=dtype, requires_grad=True)
    assert (rgb(viz.heatmap(relevance)) == rgb(viz.heatmap(np.array([[1.0, -1.0]])))).all()


def test_the_overlay_shows_the_image_at_zero_and_colour_where_there_is_relevance() -> None:
    image = np.full((1, 3), 0.4)
    zero, supports, opposes = rgb(viz.overlay(np.array([[0.0, 1.0, -1.0]]), image))[0]
    assert zero.tolist() == [102, 102, 102]
    assert supports[0] > supports[2] + 40
    assert opposes[2] > opposes[0] + 40


def test_the_overlay_grows_more_opaque_with_relevance() -> None:
    relevance = np.array([[0.0, 0.05, 0.2, 0.5, 1.0]])
    black, white = (rgb(viz.overlay(relevance, np.full((1, 5), level), percentile=100)) for level in (0.0, 1.0))
    seen_through = (white - black)[0, :, 1]
    assert (np.diff(seen_through) < 0).all()
    assert seen_through[0] == 255


def test_the_overlay_takes_every_kind_of_image() -> None:
    relevance = np.zeros((2, 2))
    pixels = np.random.default_rng(0).random((3, 2, 2))
    eight_bits = np.round(np.moveaxis(pixels, 0, -1) * 255).astype(np.uint8)
    expected = rgb(viz.overlay(relevance, Image.fromarray(eight_bits)))
    assert (rgb(viz.overlay(relevance, pixels)) == expected).all()
    assert (rgb(viz.overlay(relevance, torch.tensor(pixels))) == expected).all()
    assert (rgb(viz.overlay(relevance, np.full((1, 2, 2), 0.2))) == 51).all()


@pytest.mark.parametrize(
    ("relevance", "options", "words"),
    [
        (np.array([[np.nan, 1]]), {}, "1 of 2"),
        (np.array([[np.inf, 1]]), {}, "not finite"),
        (np.zeros(3), {}, "no picture"),
        (np.zeros((1, 3, 4, 4)), {}, "no picture"),
        (np.zeros((0, 4)), {}, "no picture"),
        (np.zeros((2, 2)), {"percentile": 0}, "percentile"),
        (np.zeros((2, 2)), {"percentile": 101}, "percentile"),
    ],
)
def test_relevance_that_is_no_picture(relevance: np.ndarray, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        viz.heatmap(relevance, **options)


@pytest.mark.parametrize("image", [np.zeros((3, 3)), np.full((2, 2), 255.0), np.full((2, 2), -0.1), np.zeros(2)])
def test_images_that_do_not_fit(image: np.ndarray) -> None:
    with pytest.raises(InputError):
        viz.overlay(np.zeros((2, 2)), image)


def test_a_png_keeps_its_facts() -> None:
    image = viz.heatmap(np.array([[0.0, 3.0]]), percentile=100)
    read = Image.open(BytesIO(viz.png_bytes(image, {"explained": 1.25, "composite": "zero"})))
    assert (rgb(read) == rgb(image)).all()
    assert read.text == {
        "lrp:scale": "3.0",
        "lrp:percentile": "100",
        "lrp:explained": "1.25",
        "lrp:composite": "zero",
    }
