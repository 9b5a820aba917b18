"""Questions, answers and their HTML without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import lrp
from lrp.app.answers import INPUT, Answer, Question, answer
from lrp.app.choice import Choice, Words
from lrp.app.shown import pixels, shown
from lrp.app.uploads import MAX_BYTES, check, told
from lrp.cli.composite import composite_of, presets_known
from lrp.cli.parse import target_of, text_target
from lrp.errors import InputError, LayerError, LoadError
from lrp.models import Inputs, load_inputs
from lrp.viz.words import number
from tests.cases.texts import build

WORDS = Words(target_of, text_target, composite_of, presets_known())


def choice(*, features: tuple[str, ...] = ()) -> Choice:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)).double().eval()
    x = torch.tensor([[1.0, -2.0, 0.5], [0.25, 1.0, 2.0]])
    return Choice("<u>net", model, lambda _: Inputs(x, features), ("no", "yes", "<i>perhaps"))


def asked(target: str = "", preset: str = "zero", layer: str = INPUT, row: int = 1) -> Answer:
    return answer(choice(features=("a", "<b>", "c")), Question("file", False, row, target, preset, layer), WORDS)


def test_an_answer_is_what_explain_says_of_that_row() -> None:
    model = choice().model
    x = torch.tensor([[0.25, 1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    (by_hand,) = torch.autograd.grad(model(x)[0, 1], x)
    torch.testing.assert_close(asked(target="yes", row=2).relevance, (by_hand * x)[0].detach())


@pytest.mark.parametrize("row", [0, 3])
def test_a_row_that_is_not_there(row: int) -> None:
    with pytest.raises(InputError, match="no such row"):
        asked(row=row)


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(LayerError):
        asked(layer="fc")


def test_two_answers_share_a_scale_and_equal_numbers_have_equal_bars() -> None:
    one, same, other = asked(), asked(), asked(preset="epsilon:epsilon=2")
    widths = re.findall(r"width: ([\d.]+)%", shown([one, same], shared=True))
    assert widths[:3] == widths[3:]
    widths = re.findall(r"width: ([\d.]+)%", shown([one, other], shared=True))
    sizes = [abs(value) for each in (one, other) for value in sorted(each.relevance.tolist(), key=abs, reverse=True)]
    scale = np.percentile(sizes, 99.5)
    assert [float(width) for width in widths] == pytest.approx([50 * min(size / scale, 1) for size in sizes], abs=0.1)
    assert float(re.findall(r"width: ([\d.]+)%", shown([other], shared=False))[0]) == 50


def test_bars_end_at_the_middle_or_begin_there() -> None:
    one = asked()
    bars = re.findall(
        r"(supports|opposes)\" style=\"margin-left: ([\d.]+)%; width: ([\d.]+)%", shown([one], shared=True)
    )
    assert {kind for kind, _, _ in bars} == {"supports", "opposes"}
    for kind, start, width in bars:
        middle = float(start) + (float(width) if kind == "opposes" else 0)
        assert middle == pytest.approx(50, abs=0.11)


def test_numbers_stand_beside_their_values() -> None:
    cells = re.findall(r"<th scope=row>(.*?)</th><td>(.*?)</td>", shown([asked()], shared=True))
    assert {("a", "1"), ("&lt;b&gt;", "-2"), ("c", "0.5")} <= set(cells)


def test_a_long_signal_is_averaged_where_it_is_drawn() -> None:
    long = torch.arange(2500, dtype=torch.float64)[None]
    drawn = pixels(long)
    assert drawn.shape == (1, 834)
    assert drawn[0, :2].tolist() == [1, 4]
    assert drawn[0, -1] == 2499


def test_a_text_is_its_words_in_colours() -> None:
    model, tokenizer = build("classifier")
    reader = Choice("reader", model, lambda _: Inputs(torch.zeros(1, 1)), tokenizer=tokenizer)
    source = "The capital of <b>France</b>"
    one = answer(reader, Question(source, True, 1, "top", "cp_lrp", INPUT), WORDS)
    truth = lrp.explain_text(model, tokenizer, source, composite=lrp.presets.cp_lrp())
    torch.testing.assert_close(one.relevance, torch.tensor([word.relevance for word in truth.words]))
    html = shown([one], shared=True)
    assert "<b>" not in html
    assert re.findall(r'">(\S+)</span>', html)[:2] == ["The", "capital"]
    largest = max(truth.words, key=lambda word: abs(word.relevance))
    strongest = "103,0,31" if largest.relevance > 0 else "5,48,97"
    assert f'background: rgb({strongest}); color: #fff" title="{number(largest.relevance)}"' in html


def test_a_continuation_of_a_text_is_explained() -> None:
    model, tokenizer = build("gpt2")
    writer = Choice("writer", model, lambda _: Inputs(torch.zeros(1, 1)), tokenizer=tokenizer)
    question = Question("The capital of France is", True, 1, "Paris", "attnlrp", INPUT)
    truth = lrp.explain_text(model, tokenizer, question.source, target="Paris", composite=lrp.presets.attnlrp())
    one = answer(writer, question, WORDS)
    assert one.text is not None
    assert one.text.target == truth.target
    torch.testing.assert_close(one.relevance, torch.tensor([word.relevance for word in truth.words]))


def test_names_are_escaped() -> None:
    html = shown([asked(target="2")], shared=True)
    assert not {"<i>", "<b>", "<u>"} & set(re.findall("<.>", html))
    assert "&lt;i&gt;perhaps" in html
    assert "&lt;b&gt;" in html


def test_numbers_that_are_none_are_counted() -> None:
    one = asked()
    one.relevance[1] = float("nan")
    assert "1 numbers are NaN or infinite" in shown([one], shared=True)


def test_a_report_is_written(tmp_path: Path) -> None:
    path = asked().report(tmp_path)
    assert path.name == "u-net-zero.html"
    assert path.parent.parent == tmp_path


def test_uploads_of_other_kinds_are_refused(tmp_path: Path) -> None:
    for name in ("weights.pth", "model.py", "page.svg", "arrays.npz", "none"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(InputError, match="not read"):
            check(tmp_path / name)


def test_large_uploads_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.npy").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="too large"):
        check(tmp_path / "x.npy")


def test_pictures_of_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    Image.new("1", (9000, 9000)).save(tmp_path / "x.png")
    check(tmp_path / "x.png")
    with pytest.raises(LoadError, match="too large"):
        load_inputs(tmp_path / "x.png")


def test_what_is_no_picture_is_not_handed_to_other_decoders(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(LoadError, match="cannot be read as an image"):
        load_inputs(tmp_path / "x.png")


def test_errors_tell_no_folder() -> None:
    error = InputError("no", where="/srv/uploads/1f/cat.png, line 2", seen="'C:\\Users\\ann\\x.csv'")
    assert told(error) == "no\n  where: cat.png, line 2\n  seen:  'x.csv'"
    assert told(RuntimeError("in /home/ann/net.py")) == "RuntimeError: in net.py"
