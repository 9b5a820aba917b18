import re

import numpy as np
import pytest
import torch

from lrp import viz
from lrp.errors import InputError, LayerError
from lrp.viz.fonts import families
from tests.viz.results import caption, text, words


def cells(fig) -> np.ndarray:
    return np.round(np.asarray(fig.axes[0].images[0].get_array()) * 255).astype(int)


def test_html_gives_each_token_its_colour_and_escapes_it() -> None:
    page = viz.tokens(text(("<script>alert(1)</script>", 2.0), ('"&', -2.0), ("zero", 0.0)), title="<b>")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&quot;&amp;" in page
    assert "<strong>&lt;b&gt;</strong>" in page
    grounds = re.findall(r"background:rgb(\(.*?\));color:rgb(\(.*?\))", page)
    assert grounds == [
        ("(103, 0, 31)", "(255, 255, 255)"),
        ("(5, 48, 97)", "(255, 255, 255)"),
        ("(255, 255, 255)", "(0, 0, 0)"),
    ]
    assert "Sum shown: 0, 0 % of the explained value." in page


def test_a_hostile_target_is_escaped() -> None:
    assert "<img" not in viz.tokens(text(("a", 1.0), target="<img src=x onerror=alert(1)>"))


def test_the_terminal_gets_colours_and_no_other_control_characters() -> None:
    t = text(("good", 1.0), ("bad", -1.0), ("\x1b[2J\x07", 0.5))
    shown = viz.tokens(t, "terminal")
    assert "\x1b[48;2;103;0;31m\x1b[38;2;255;255;255mgood\x1b[0m" in shown
    assert "\x1b[48;2;5;48;97m" in shown
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert r"\x1b[2J\x07" in shown
    few = viz.tokens(t, "terminal256")
    assert "\x1b[48;5;52m" in few  # (95, 0, 0), of the 216 the nearest to (103, 0, 31)
    assert "48;2" not in few


def test_what_is_not_finite_is_marked() -> None:
    t = text(("a", 1.0), ("b", float("nan")))
    assert "repeating-linear-gradient" in viz.tokens(t)
    assert "1 value is NaN" in viz.tokens(t)
    assert "?b?" in viz.tokens(t, "terminal")


def test_a_matrix_has_a_row_for_each_generated_token_and_grey_for_what_is_not_written() -> None:
    first, second = text(("a", 1.0), ("b", -2.0)), text(("a", 0.0), ("b", 2.0), ("c", 1.0))
    fig = viz.token_matrix([first, second], ["c", "d"])
    assert cells(fig)[0, 2].tolist() == [217, 217, 217, 255]
    assert cells(fig)[0, 1].tolist() == [5, 48, 97, 255]
    assert cells(fig)[1, 0].tolist() == [255, 255, 255, 255]
    assert cells(fig)[1, 1].tolist() == [103, 0, 31, 255]
    assert cells(fig)[0, 0].tolist() == cells(fig)[1, 2].tolist()
    minus = "\N{MINUS SIGN}"
    assert f"Sums of the rows: {minus}1, 3" in caption(fig)
    assert {"c  (9)", "d  (13)"} <= set(words(fig))


def test_matrices_that_do_not_fit() -> None:
    one = text(("a", 1.0))
    with pytest.raises(InputError, match="one text that grows"):
        viz.token_matrix([one, text(("b", 1.0), ("c", 2.0))])
    with pytest.raises(InputError, match="list of TextRelevance"):
        viz.token_matrix([])
    with pytest.raises(InputError, match="2 names, 1 results"):
        viz.token_matrix([one], ["a", "b"])
    with pytest.raises(InputError, match="terminal256"):
        viz.tokens(one, "terminal16")
    with pytest.raises(InputError, match=r"lrp\.explain_text"):
        viz.image(one)


def test_layers_stand_above_the_tokens_with_the_features_added_up() -> None:
    layers = {
        "head": torch.ones(1, 1),
        "layers.1": torch.tensor([[[1.0, 1.0], [4.0, -4.0]]]),
        "layers.0": torch.tensor([[[0.0, 1.0], [-2.0, 0.0]]]),
    }
    t = text(("<s>", 1.0), ("b$", 0.0), layers=layers)
    fig = viz.layers_by_tokens(t)
    assert {"layers.1  (2)", "layers.0  (\N{MINUS SIGN}1)", "tokens  (1)", r"b\$"} <= set(words(fig))
    assert cells(fig)[0].tolist() == [[103, 0, 31, 255], [255, 255, 255, 255]]
    assert cells(fig)[1, 1].tolist() == [5, 48, 97, 255]
    assert "Explained: 'x'" in caption(fig)
    with pytest.raises(LayerError, match=r"layers\.1"):
        viz.layers_by_tokens(t, ["layers.2"])
    with pytest.raises(LayerError, match="keep"):
        viz.layers_by_tokens(text(("a", 1.0)))


def test_letters_that_the_font_lacks_come_from_another_or_are_code_points() -> None:
    """Of glyphs that are missing matplotlib would warn, an error here; no font has a use for the last letter."""
    tokens = text(("\U0010fffd", 1.0), ("naïve$", -1.0), ("a⌕", 0.5), ("日本", 1.0))
    fig = viz.token_matrix([tokens], ["\U0010fffd"], title="\U0010fffd")
    fig.canvas.draw()
    none, usual, other = fig.axes[0].get_xticklabels()[:3]
    assert [none.get_text(), usual.get_text(), other.get_text()] == [r"\U0010fffd", r"naïve\$", "a⌕"]
    assert other.get_fontfamily() == [*usual.get_fontfamily(), *families("⌕")]
    assert families("⌕")
    assert fig.axes[0].get_yticklabels()[0].get_text().startswith(r"\U0010fffd  (")
    assert fig.get_suptitle() == r"\U0010fffd"


def test_a_default_font_that_is_chosen_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    assert families("⌕") == families("⌕⌕") != []
    monkeypatch.setitem(mpl.rcParams, "font.family", families("⌕"))
    assert families("⌕") == []
