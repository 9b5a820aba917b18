from io import BytesIO

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

import lrp
from lrp import viz
from lrp.errors import InputError, LayerError, MissingExtraError
from tests.viz.results import caption, network, pixels, result, with_relevance, words


def shown(fig, panel: int = -1) -> np.ndarray:
    """The colours of one panel's picture, from 0 to 255."""
    axes = [a for a in fig.axes if a.images]
    return np.round(np.asarray(axes[panel].images[0].get_array()) * 255).astype(int)


RED, BLUE, WHITE = [103, 0, 31, 255], [5, 48, 97, 255], [255, 255, 255, 255]


def test_the_largest_relevance_has_the_strongest_red_and_zero_is_white() -> None:
    relevance = torch.tensor([[[0.0, 1.0, 2.0], [3.0, -1.0, -3.0]]])
    colours = shown(viz.image(result(relevance), mode="heatmap", percentile=100))
    assert colours[0, 0].tolist() == WHITE
    assert colours[1, 0].tolist() == RED
    assert colours[1, 2].tolist() == BLUE
    depth = np.where(colours[..., 0] > colours[..., 2], 3 * 255 - colours[..., :3].sum(-1), -1)
    assert np.unravel_index(depth.argmax(), depth.shape) == (1, 0)


def test_what_is_drawn_has_these_colours_too() -> None:
    relevance = torch.zeros(1, 4, 4)
    relevance[0, 1, 2] = 5.0
    drawn = pixels(viz.image(result(relevance), mode="heatmap", percentile=100)).reshape(-1, 3)
    assert (drawn == [103, 0, 31]).all(-1).any()
    others = drawn[(drawn != [103, 0, 31]).any(-1)]
    assert (others == 255).all(-1).mean() > 0.5


def test_panels_on_one_scale_give_equal_colours_to_equal_values() -> None:
    small = torch.tensor([[[1.0, 0.0], [0.5, -1.0]]])
    large = torch.tensor([[[1.0, 0.0], [4.0, -1.0]]])
    fig = viz.compare([result(small), result(large)], ["a", "b"], percentile=100)
    one, other = shown(fig, 1), shown(fig, 2)
    same = (small == large)[0]
    assert (one[same] == other[same]).all()
    assert (one[~same] != other[~same]).any()
    assert other[1, 0].tolist() == RED
    apart = viz.compare([result(small), result(large)], ["a", "b"], percentile=100, shared=False)
    assert shown(apart, 1)[0, 0].tolist() == RED
    assert "own scale" in caption(apart)


def test_samples_share_one_scale() -> None:
    relevance = torch.tensor([[[1.0, 0.0]], [[4.0, 1.0]]])
    fig = viz.image(result(relevance), mode="heatmap", percentile=100)
    assert shown(fig, 1)[0, 0].tolist() == shown(fig, 3)[0, 1].tolist()
    assert shown(fig, 3)[0, 0].tolist() == RED


def test_channels_are_added_with_their_signs_and_shown_one_by_one() -> None:
    relevance = torch.tensor([[[[1.0, 2.0]], [[-1.0, 2.0]]]])
    fig = viz.channels(result(relevance), ["u", "v"], percentile=100)
    first, second, both = (shown(fig, n)[0] for n in range(3))
    assert both[0].tolist() == WHITE
    assert both[1].tolist() == RED
    assert first[1].tolist() == second[1].tolist()
    assert first[0, 0] > first[0, 2]
    assert second[0, 0] < second[0, 2]
    assert "u\nsum 3" in words(fig)


def test_modes_show_one_sign_or_none() -> None:
    r = result(torch.tensor([[[2.0, -2.0, 0.0]]]), bias=1.0)
    up, down, size = (
        shown(viz.image(r, mode=mode, percentile=100))[0] for mode in ("positive", "negative", "saliency")
    )
    assert up.tolist() == [RED, WHITE, WHITE]
    assert down.tolist() == [WHITE, BLUE, WHITE]
    assert size[0].tolist() == size[1].tolist() == [63, 0, 125, 255]
    assert size[2].tolist() == WHITE


def test_the_overlay_is_the_one_of_viz_overlay() -> None:
    relevance = torch.randn(1, 5, 6)
    photograph = Image.fromarray(np.arange(30, dtype=np.uint8).reshape(5, 6) * 8)
    r = result(relevance)
    mine = shown(viz.image(r, photograph))[..., :3]
    assert (mine == np.asarray(viz.overlay(r.input[0], photograph))).all()


def test_the_caption_says_what_is_shown() -> None:
    model, x = network()
    r = lrp.explain(model, x, target=1)
    said = caption(viz.image(r, samples=1))
    value, total = float(r.explained[1]), float(r.input[1].sum())
    minus = "\N{MINUS SIGN}"
    for part in ("class 1", r.composite.name, "99.5th percentile"):
        assert part in said
    assert f"{value:.3g}".replace("-", minus) in said
    assert f"{total:.3g}".replace("-", minus) in said
    assert "all relevance" in caption(viz.image(result(torch.zeros(1, 2, 2)), mode="heatmap")).lower()


def test_what_is_not_finite_is_hatched_and_counted() -> None:
    r = with_relevance(result(torch.ones(1, 3, 3)), [[[1.0, np.nan, -1.0], [np.inf, 0.0, 0.5], [-np.inf, 0.2, 0.1]]])
    for mode in ("heatmap", "overlay"):
        fig = viz.image(r, mode=mode)
        panel = [a for a in fig.axes if a.images][-1]
        assert panel.patch.get_hatch()
        assert shown(fig)[..., 3].tolist() == [[255, 0, 255], [0, 255, 255], [0, 255, 255]]
        assert "Hatched: 3 values are NaN or infinite" in caption(fig)
    drawn = pixels(viz.image(r, mode="heatmap"))
    assert ((drawn.max(-1) - drawn.min(-1) < 5) & (drawn.max(-1) < 200)).mean() > 0.01  # grey lines
    assert viz.image(result(torch.ones(1, 3, 3)), mode="heatmap").axes[1].patch.get_hatch() is None


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("L", (4, 5), 200),
        Image.new("1", (4, 5)),
        Image.new("P", (4, 5)),
        Image.new("RGBA", (4, 5), (255, 0, 0, 0)),
        Image.new("LA", (4, 5), (3, 0)),
        Image.new("CMYK", (4, 5)),
        Image.fromarray(np.full((5, 4), 65535, dtype=np.uint16)),
        np.full((5, 4), 65535, dtype=np.uint16),
        np.full((5, 4, 3), 255, dtype=np.uint8),
        torch.full((3, 5, 4), 0.5),
        np.full((4, 5, 4), 0.5),
    ],
    ids=lambda picture: getattr(picture, "mode", None) or f"{picture.dtype}{tuple(picture.shape)}",
)
def test_pictures_of_every_kind(picture) -> None:
    fig = viz.image(result(torch.randn(1, 3, 5, 4)), picture)
    assert shown(fig, 0).shape == (5, 4, 3)


def test_sixteen_bits_are_scaled_and_transparency_is_white() -> None:
    r = result(torch.zeros(1, 1, 2))
    levels = np.array([[0, 30000]], dtype=np.uint16)
    for picture in (levels, Image.fromarray(levels)):
        assert shown(viz.image(r, picture))[0, :, 0].tolist() == [0, 117]
        assert np.asarray(viz.overlay(r.input[0], picture))[0, :, 0].tolist() == [0, 117]
    assert (np.asarray(viz.overlay(r.input[0], Image.new("RGBA", (2, 1), (9, 9, 9, 0)))) == 255).all()


def test_one_pixel_and_one_row() -> None:
    assert shown(viz.image(result(torch.ones(1, 1, 1)), mode="heatmap")).tolist() == [[RED]]
    assert pixels(viz.image(result(torch.randn(1, 1, 400)))).size


def test_a_huge_picture_is_averaged_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrp.viz.images.SIDE", 10)
    relevance = torch.randn(1, 2, 25, 31)
    r = result(relevance)
    fig = viz.image(r, np.zeros((25, 31)), mode="heatmap", percentile=100)
    assert shown(fig).shape[:2] == (7, 8)
    assert "mean of 4 x 4" in caption(fig)
    assert f"{float(relevance.sum()):.3g}".replace("-", "\N{MINUS SIGN}") in caption(fig)
    blocks = relevance[0].sum(0)[:4, :4].mean()
    largest = torch.nn.functional.avg_pool2d(relevance[0].sum(0)[None], 4, ceil_mode=True, count_include_pad=False)
    expected = viz.colors.colors(np.array(float(blocks / largest.abs().max())))
    assert np.abs(shown(fig)[0, 0, :3] - expected).max() <= 1


@pytest.mark.parametrize("bad", [np.zeros((3, 3, 3)) + 2, np.zeros(5), np.full((4, 4), np.nan), np.zeros((8, 4))])
def test_pictures_that_do_not_fit(bad: np.ndarray) -> None:
    with pytest.raises(InputError):
        viz.image(result(torch.ones(1, 4, 4)), bad)


def test_a_larger_picture_of_the_same_shape_is_reduced() -> None:
    assert shown(viz.image(result(torch.ones(1, 4, 6)), np.zeros((80, 120))), 0).shape == (4, 6, 3)


def test_errors_say_what_there_is() -> None:
    r = result(torch.ones(2, 3, 4, 4))
    with pytest.raises(InputError, match="RdBu_r"):
        viz.image(r, cmap="RdBu")
    with pytest.raises(InputError, match="saliency"):
        viz.image(r, mode="salience")
    with pytest.raises(InputError, match="numbers from 0 to 1"):
        viz.image(r, samples=2)
    with pytest.raises(InputError, match=r"viz\.bars"):
        viz.image(result(torch.ones(2, 5)))
    with pytest.raises(InputError, match=r"viz\.volume"):
        viz.image(result(torch.ones(1, 2, 3, 4, 5)))
    with pytest.raises(InputError, match="percentile"):
        viz.image(r, percentile=0)
    with pytest.raises(InputError, match="one picture"):
        viz.image(r, [np.zeros((4, 4))])
    with pytest.raises(InputError, match="one of '0', '1'"):
        viz.image(result(torch.ones(1, 4, 4), torch.ones(1, 4, 4)), input="2")
    with pytest.raises(InputError, match="several inputs"):
        viz.image(result(torch.ones(1, 4, 4), torch.ones(1, 4, 4)))
    with pytest.raises(InputError, match=r"r\.split"):
        viz.image(lrp.explain(network()[0], network()[1], target=lrp.targets.Several(0, 1)))
    with pytest.raises(InputError, match=r"lrp\.explain"):
        viz.image(torch.ones(4, 4))
    with pytest.raises(InputError, match="2 titles, 1 results"):
        viz.compare([result(torch.ones(1, 4, 4))], ["a", "b"])
    with pytest.raises(LayerError, match="keep"):
        viz.strip(r)
    with pytest.raises(LayerError, match="'2'"):
        viz.strip(lrp.explain(*network(), keep="all"), ["22"])


def test_an_image_beside_a_number_is_found() -> None:
    fig = viz.image(result(torch.ones(1, 4, 4), torch.ones(1, 3)), mode="heatmap")
    assert "Sum shown: 16, 84.2 % of the explained value" in caption(fig)


def test_results_are_named_by_what_they_differ_in() -> None:
    model, x = network()
    by_method = [lrp.explain(model, x, target=0, composite=c) for c in (lrp.presets.zero(), lrp.presets.epsilon())]
    assert {"zero", "epsilon"} <= {line.split("\n")[0] for line in words(viz.compare(by_method))}
    several = lrp.explain(model, x, target=lrp.targets.Several(0, 2))
    assert {"class 0", "class 2"} <= {line.split("\n")[0] for line in words(viz.compare(several))}
    named = viz.compare({"first $model$": by_method[0], "second": by_method[1]})
    assert any(line.startswith(r"first \$model\$") for line in words(named))


def test_a_strip_goes_from_the_input_to_the_output() -> None:
    model, x = network()
    titles = [axes.get_title().split("\n")[0] for axes in viz.strip(lrp.explain(model, x, keep="all")).axes]
    assert [title for title in titles if title] == ["input", "0", "1", "2", "3"]


def test_figures_leave_matplotlib_as_it_was() -> None:
    before = {name: value for name, value in matplotlib.rcParams.items() if name != "backend"}  # is found when asked
    fig = viz.image(result(torch.randn(1, 4, 4)), title="a title")
    assert {name: value for name, value in matplotlib.rcParams.items() if name != "backend"} == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []
    assert Image.open(BytesIO(fig._repr_png_())).size[0] > 100


def test_the_defaults_of_the_user_change_no_colour() -> None:
    r = result(torch.randn(1, 4, 4))
    draws = [lambda: viz.image(r, mode="heatmap"), lambda: viz.flow(lrp.explain(*network(), keep="all"))]
    plain = [pixels(draw()) for draw in draws]
    with matplotlib.rc_context(
        {"axes.facecolor": "black", "axes.grid": True, "image.cmap": "jet", "text.color": "red"}
    ):
        assert all((pixels(draw()) == before).all() for draw, before in zip(draws, plain, strict=True))


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lrp\[viz\]"'):
        viz.image(result(torch.ones(1, 4, 4)))
    assert viz.heatmap(torch.ones(2, 2)).size == (2, 2)
