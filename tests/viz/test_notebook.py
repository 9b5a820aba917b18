from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import lrp
from lrp.plan import Plan
from tests.viz.results import network, result, with_relevance


class Balanced(HTMLParser):
    """Every tag that is opened is closed; which there are."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.add(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_picture_of_a_result_is_its_heatmap() -> None:
    relevance = torch.tensor([[[[0.0, 4.0], [-4.0, 0.0]]]])
    picture = Image.open(BytesIO(result(relevance, bias=1.0)._repr_png_()))
    colours = np.asarray(picture)
    assert picture.size == (280, 280)
    assert colours[0, 0].tolist() == [255, 255, 255]
    assert colours[0, -1].tolist() == [103, 0, 31]
    assert colours[-1, 0].tolist() == [5, 48, 97]
    assert picture.text["lrp:composite"] == "zero"
    assert float(picture.text["lrp:scale"]) == 4.0


def test_a_large_picture_is_small_here() -> None:
    assert Image.open(BytesIO(result(torch.ones(1, 3, 600, 300))._repr_png_())).size == (140, 280)


@pytest.mark.parametrize("shape", [(1, 5), (1, 7, 4, 4), (1, 2, 3, 4, 5), (1, 4, 4)])
def test_what_is_no_image_has_no_picture(shape: tuple[int, ...]) -> None:
    r = result(torch.ones(shape))
    assert r._repr_png_() is None
    assert "img" not in Balanced(r._repr_html_()).tags


def test_relevance_that_is_not_finite_has_no_picture() -> None:
    assert with_relevance(result(torch.ones(1, 1, 2, 2)), [[[[1.0, np.nan], [1.0, 1.0]]]])._repr_png_() is None


def test_a_notebook_shows_picture_sums_ledger_and_layers_without_a_script() -> None:
    model, x = network()
    r = lrp.explain(model, x, target=0, keep="all")
    page = r._repr_html_()
    assert {"img", "table", "details"} <= Balanced(page).tags
    assert "script" not in page
    assert "6 kept layers" in page
    data = page.split("base64,")[1].split("'")[0]
    assert b64decode(data) == r._repr_png_()
    assert len(page) < 30_000


def test_names_and_notes_are_escaped() -> None:
    model = nn.Sequential()
    model.add_module("<b>x", nn.Linear(2, 2))
    r = lrp.explain(model, {"input": torch.ones(1, 2)}, composite=lrp.Composite([], name="<i>"), keep="all")
    for page in (r._repr_html_(), r.plan._repr_html_(), r.ledger._repr_html_()):
        Balanced(page)
        assert "<b>" not in page
        assert "<i>" not in page


def test_the_ledger_has_shares_and_bars() -> None:
    page = result([[3.0, 1.0]], bias=-2.0).ledger._repr_html_()
    assert {"table", "div"} <= Balanced(page).tags
    assert "<td>200 %</td><td><div style='width:120px;height:.8em;background:#b2182b'>" in page
    assert "<td>-100 %</td><td><div style='width:60px;height:.8em;background:#2166ac'>" in page
    model, x = network()
    Balanced(lrp.explain(model, x, target=lrp.targets.Several(0, 1)).ledger._repr_html_())


def test_a_long_plan_is_folded_and_counts_its_rules() -> None:
    model, x = network()
    short = lrp.explain(model, x, target=0, composite=lrp.presets.epsilon()).plan
    assert "<details open><summary>" in short._repr_html_()
    assert f"{len(short)} op calls" in short._repr_html_()
    deep = nn.Sequential(*[layer for n in range(20) for layer in (nn.Linear(2, 2), nn.Tanh())])
    long = lrp.explain(deep, torch.ones(1, 2), target=0).plan
    assert "<details><summary>" in long._repr_html_()
    Balanced(long._repr_html_())


def test_a_rule_of_a_loaded_plan_is_escaped() -> None:
    row = replace(result([[1.0, 2.0]]).plan.rows[0], rule="<script>")
    page = Plan((row,))._repr_html_()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 2
