import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

import lrp
from lrp import viz
from lrp.errors import InputError, LayerError, LRPError
from tests.viz.results import caption, network, result, with_relevance, words

RED, BLUE = "#b2182b", "#2166ac"


def drawn(axes) -> list[tuple[float, float, str]]:
    """Where each bar begins, how long it is, and its colour."""
    return [(bar.get_x(), bar.get_width(), to_hex(bar.get_facecolor())) for bar in axes.patches]


def labels(axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def test_bars_are_the_relevance_largest_first_with_names_and_values() -> None:
    r = result([[1.0, -3.0, 0.5, 0.25]], values=[[10.0, 20.0, 30.0, 40.0]])
    axes = viz.bars(r, ["a", "b", "c", "d"], most=2).axes[0]
    assert drawn(axes) == [(0, -3.0, BLUE), (0, 1.0, RED), (0, 0.75, RED)]
    assert labels(axes) == ["b = 20", "a = 10", "2 others"]


def test_features_without_names_are_told_apart() -> None:
    assert set(labels(viz.bars(result([[1.0, 2.0]])).axes[0])) == {"feature 0 = 1", "feature 1 = 1"}
    assert set(labels(viz.bars(result([[[1.0, 2.0]]])).axes[0])) == {"feature 0, 0 = 1", "feature 0, 1 = 1"}
    two = result([[1.0, 2.0]], [[3.0]])
    assert labels(viz.bars(two).axes[0]) == ["1[0] = 1", "0[1] = 1", "0[0] = 1"]
    assert labels(viz.bars(two, input="1").axes[0]) == ["1[0] = 1"]


def test_a_sample_is_chosen_and_the_caption_is_its_own() -> None:
    fig = viz.bars(result([[1.0, 2.0], [5.0, -1.0]]), sample=-1)
    assert [length for _, length, _ in drawn(fig.axes[0])] == [5.0, -1.0]
    assert caption(fig).startswith("Explained: the output, 4, by zero. Sum shown: 4, 100 % of the explained value.")


def test_a_waterfall_leads_from_zero_to_the_output_through_the_books() -> None:
    r = result([[1.0, -3.0, 0.5]], bias=2.0)
    axes = viz.waterfall(r, ["a", "b", "c"]).axes[0]
    steps = drawn(axes)
    assert labels(axes) == ["b = 1", "a = 1", "c = 1", "kept: constant", "explained"]
    ends = [start + length for start, length, _ in steps]
    assert [start for start, _, _ in steps[1:-1]] == pytest.approx(ends[:-2])
    assert ends[-2] == pytest.approx(float(r.explained[0]))
    assert steps[-1][:2] == (0, pytest.approx(0.5))


def test_a_waterfall_of_one_sample_takes_the_books_of_that_sample() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)).double()
    r = lrp.explain(model, torch.randn(4, 3, dtype=torch.float64))
    for sample in range(4):
        axes = viz.waterfall(r, sample=sample).axes[0]
        assert labels(axes)[-2:] == ["kept: bias", "explained"]
        assert sum(length for _, length, _ in drawn(axes)[:-1]) == pytest.approx(float(r.explained[sample]))


def test_a_waterfall_without_books_or_with_other_inputs_says_what_is_left(tmp_path) -> None:
    model = torch.nn.Linear(3, 1).double()
    x = torch.randn(2, 3, dtype=torch.float64)
    assert labels(viz.waterfall(lrp.explain(model, x, ledger=False)).axes[0])[-2] == "not in the books"
    assert labels(viz.waterfall(result([[1.0, 2.0]], [[3.0]]), input="0").axes[0])[-2] == "other sources"
    lrp.explain(model, x).save(tmp_path / "r.safetensors")
    with pytest.raises(LRPError, match="loaded"):
        viz.waterfall(lrp.Relevance.load(tmp_path / "r.safetensors"))


def test_a_beeswarm_has_a_dot_for_every_sample_and_feature() -> None:
    relevance = np.array([[1.0, -5.0], [2.0, 4.0], [2.0, 3.0]])
    axes = viz.beeswarm(result(relevance, values=[[1.0, 1.0], [2.0, 1.0], [9.0, 5.0]]), ["a", "b"]).axes[0]
    first, second = (dots.get_offsets().data for dots in axes.collections)
    assert labels(axes) == ["b", "a"]
    assert first[:, 0].tolist() == [-5.0, 4.0, 3.0]
    assert second[:, 0].tolist() == [1.0, 2.0, 2.0]
    assert second[1, 1] != second[2, 1]  # side by side, not one upon the other
    assert axes.collections[1].get_array().tolist() == [0.0, 0.5, 1.0]
    assert axes.collections[0].get_array().tolist() == [0.0, 0.0, 1.0]


def test_what_is_not_finite_is_counted() -> None:
    r = with_relevance(result([[1.0, 2.0, 3.0]]), [[np.nan, 2.0, -np.inf]])
    fig = viz.bars(r)
    assert "2 values are NaN or infinite" in caption(fig)
    assert {"nan", "\N{MINUS SIGN}inf"} <= set(words(fig))
    assert "2 values are NaN" in caption(viz.beeswarm(r))
    with pytest.raises(InputError, match="NaN"):
        viz.waterfall(r)


def test_the_ledger_adds_up_to_the_explained_value() -> None:
    model, x = network()
    r = lrp.explain(model, x, target=0)
    for sample in (None, 1):
        fig = viz.ledger(r, sample=sample)
        left, right = fig.axes
        whole = float(r.explained.sum() if sample is None else r.explained[sample])
        assert sum(length for _, length, _ in drawn(left)) == pytest.approx(whole)
        kept = sum(length for _, length, _ in drawn(left)) - drawn(left)[0][1] - drawn(left)[-1][1]
        assert sum(length for _, length, _ in drawn(right)) == pytest.approx(kept)
        assert labels(left)[0] == "inputs"
        assert labels(left)[-1] == "residual"
        assert "bias: what biases added to the output" in caption(fig)
    assert labels(viz.ledger(r, most=1).axes[1])[-1] == "2 others"
    with pytest.raises(InputError, match="no ledger"):
        viz.ledger(lrp.explain(model, x, target=0, ledger=False))


def test_every_kind_of_row_has_words() -> None:
    from lrp.ledger import KINDS
    from lrp.viz.books import _KINDS

    assert set(KINDS) == set(_KINDS)


def test_the_flow_shows_both_signs_of_each_layer() -> None:
    model, x = network()
    r = lrp.explain(model, x, target=0, keep="all")
    axes = viz.flow(r, sample=1).axes[0]
    assert labels(axes) == ["5", "4", "3", "2", "1", "0", "inputs"]
    lengths = [length for _, length, _ in drawn(axes)]
    for row, name in enumerate(labels(axes)):
        relevance = r.input[1] if name == "inputs" else r[name][1]
        assert lengths[2 * row] == pytest.approx(float(relevance.clamp(min=0).sum()))
        assert lengths[2 * row + 1] == pytest.approx(float(relevance.clamp(max=0).sum()))
    assert "4 of 6 kept layers" in caption(viz.flow(r, most=4))
    with pytest.raises(LayerError, match="keep"):
        viz.flow(result([[1.0]]))


def test_names_that_do_not_fit_and_images_are_refused() -> None:
    with pytest.raises(InputError, match="3 names, 2 features"):
        viz.bars(result([[1.0, 2.0]]), ["a", "b", "c"])
    with pytest.raises(InputError, match=r"viz\.image"):
        viz.bars(result(torch.ones(1, 3, 4, 4)))


def test_a_dollar_in_a_name_begins_no_formula() -> None:
    fig = viz.bars(result([[1.0, 2.0]]), ["$x_1$", "costs $"], title="$")
    assert words(fig)
    assert any(label.startswith(r"\$x_1\$") for label in labels(fig.axes[0]))
