import numpy as np
import pytest
import torch

from lrp import viz
from lrp.errors import InputError
from tests.viz.results import caption, result, with_relevance, words

RED, BLUE, WHITE = [103, 0, 31, 255], [5, 48, 97, 255], [255, 255, 255, 255]


def shown(axes) -> np.ndarray:
    return np.round(np.asarray(axes.images[0].get_array()) * 255).astype(int)


def test_a_signal_has_the_colours_of_its_relevance_behind_its_trace() -> None:
    r = result([[0.0, 1.0, 3.0, -3.0]], values=[[5.0, 6.0, 7.0, 8.0]])
    axes = viz.signal(r, rate=2.0, percentile=100).axes[0]
    assert shown(axes)[0, [0, 2, 3]].tolist() == [WHITE, RED, BLUE]
    assert axes.lines[0].get_ydata().tolist() == [5.0, 6.0, 7.0, 8.0]
    assert axes.lines[0].get_xdata().tolist() == [0.25, 0.75, 1.25, 1.75]
    assert axes.images[0].get_extent()[:2] == [0, 2.0]


def test_channels_share_one_scale_and_have_names() -> None:
    fig = viz.signal(result([[[1.0, 0.0], [2.0, 1.0]]]), ["C3", "C4"], percentile=100)
    first, second = fig.axes[:2]
    assert shown(first)[0, 0].tolist() == shown(second)[0, 1].tolist()
    assert shown(second)[0, 0].tolist() == RED
    assert {"C3", "C4"} <= set(words(fig))


def test_long_signals_are_added_up_and_say_so() -> None:
    relevance = torch.randn(1, 2500)
    fig = viz.signal(result(relevance, bias=50.0), percentile=100)
    blocks = torch.nn.functional.pad(relevance, (0, 2))[0].reshape(-1, 3).sum(1)
    colours = shown(fig.axes[0])[0]
    assert len(colours) == len(blocks)
    depth = np.where(colours[:, 0] > colours[:, 2], 765 - colours[:, :3].sum(1), -1)
    assert depth[int(blocks.argmax())] == depth.max()
    assert "adds up 3 steps" in caption(fig)


def test_eeg_shows_sums_of_channels_and_of_steps() -> None:
    relevance = torch.tensor([[[1.0, -4.0, 0.0], [2.0, 1.0, 5.0]]])
    fig = viz.eeg(result(relevance), ["Fz", "Cz"], percentile=100)
    grid, right, _, below = fig.axes[0], fig.axes[1], None, fig.axes[2]
    assert shown(grid)[1, 2].tolist() == RED
    assert [bar.get_width() for bar in right.patches] == [-3.0, 8.0]
    assert [bar.get_height() for bar in below.patches] == [3.0, -3.0, 5.0]


def test_sound_has_a_spectrogram_whose_tone_is_where_it_should_be() -> None:
    time = np.arange(4000) / 8000
    r = result(torch.randn(1, 1, 4000), values=2 + np.sin(2 * np.pi * 1000 * time)[None, None], bias=500.0)
    fig = viz.audio(r, rate=8000)
    power = np.asarray(fig.axes[1].images[0].get_array())
    assert fig.axes[1].images[0].get_extent() == [0, 0.5, 0, 4.0]
    frequency = (power[5:].mean(1).argmax() + 5) / (len(power) - 1) * 4000
    assert frequency == pytest.approx(1000, abs=20)


def test_what_is_not_finite_is_hatched_and_counted() -> None:
    r = with_relevance(result([[1.0, 2.0, 3.0]]), [[np.nan, 1.0, np.inf]])
    fig = viz.signal(r)
    assert fig.axes[0].patch.get_hatch()
    assert shown(fig.axes[0])[0, :, 3].tolist() == [0, 255, 0]
    assert "2 values are NaN" in caption(fig)
    assert "1 value is NaN" in caption(viz.eeg(with_relevance(result([[[1.0, 2.0]]]), [[[np.nan, 1.0]]])))


def test_errors() -> None:
    with pytest.raises(InputError, match=r"viz\.eeg"):
        viz.signal(result(torch.ones(1, 17, 4)))
    with pytest.raises(InputError, match="1 names, 2 channels"):
        viz.eeg(result(torch.ones(1, 2, 4)), ["a"])
    with pytest.raises(InputError, match="one channel"):
        viz.audio(result(torch.ones(1, 2, 4)), rate=8000)
    with pytest.raises(InputError, match="rate"):
        viz.audio(result(torch.ones(1, 4)), rate=0)


def test_a_volume_is_cut_where_relevance_is_largest() -> None:
    relevance = torch.randn(1, 4, 5, 6) * 0.1
    relevance[0, 2, 3, 4] = -9.0
    relevance[0, 1, 1, 1] = 9.0 - 1e-6
    fig = viz.volume(result(relevance), mode="heatmap", percentile=100)
    depth, row, column = fig.axes[:3]
    assert [axes.get_title() for axes in (depth, row, column)] == ["depth 2", "row 3", "column 4"]
    assert [shown(axes).shape[:2] for axes in (depth, row, column)] == [(5, 6), (4, 6), (4, 5)]
    assert shown(depth)[3, 4].tolist() == shown(row)[2, 4].tolist() == shown(column)[2, 3].tolist() == BLUE
    assert shown(viz.volume(result(relevance), (1, 1, 1), mode="heatmap").axes[0])[1, 1].tolist() == RED
    with pytest.raises(InputError, match="no such place"):
        viz.volume(result(relevance), (4, 0, 0))
    with pytest.raises(InputError, match="overlay"):
        viz.volume(result(relevance), mode="saliency")


def test_the_colours_of_nodes_and_edges() -> None:
    r = result([[[1.0, -1.0], [2.0, 2.0], [-4.0, 0.0]]], bias=1.0)
    fig = viz.graph(r, [[0, 1], [1, 2]], ["a", "b", "c"])
    dots = fig.axes[0].collections[0]
    assert np.round(dots.get_facecolors() * 255).astype(int).tolist() == [WHITE, RED, BLUE]
    assert {"a", "b", "c"} <= set(words(fig))
    edges = result([[1.0, 2.0, 3.0]], [[4.0, -4.0]], bias=1.0)
    fig = viz.graph(edges, [[0, 1], [1, 2]], weights="1", positions=[[0, 0], [1, 0], [2, 0]])
    coloured = [line for line in fig.axes[0].lines if line.get_linewidth() == 3]
    assert [np.round(np.array(line.get_color()) * 255).tolist() for line in coloured] == [RED, BLUE]
    assert coloured[1].get_xdata().tolist() == [1, 2]


def test_a_spring_layout_puts_neighbours_beside_each_other_and_is_the_same_each_time() -> None:
    order = [0, 4, 1, 5, 2, 6, 3, 7]
    ends = [order[:-1], order[1:]]
    r = result(torch.ones(1, 8))
    places, again = (np.asarray(viz.graph(r, ends).axes[0].collections[0].get_offsets()) for _ in range(2))
    assert (places == again).all()
    lengths = np.linalg.norm(places[:, None] - places[None], axis=-1)
    joined = np.array([lengths[a, b] for a, b in zip(*ends, strict=True)])
    assert joined.max() < np.median(lengths[np.triu_indices(8, 1)])
    assert lengths[np.triu_indices(8, 1)].min() > 0.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"edges": [[0], [3]]}, "edges are"),
        ({"edges": [0, 1]}, "edges are"),
        ({"names": ["a"]}, "1 names, 3 nodes"),
        ({"positions": "round"}, "spring"),
        ({"positions": [[0, 0]]}, "each node stands"),
        ({"weights": "w"}, "one of 'input'"),
    ],
)
def test_graphs_that_do_not_fit(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        viz.graph(result(torch.ones(1, 3)), **{"edges": [[0], [1]]} | options)
