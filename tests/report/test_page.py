"""What stands on the page, and that it is whole, small and safe."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lrp import LRPError, Relevance, report, writing
from lrp.errors import InputError, MissingExtraError
from lrp.report.grids import grid_of
from lrp.report.words import without_folders
from tests.report import results

EMPTY = {"meta", "link", "img", "input", "br", "rect", "path"}


class Page(HTMLParser):
    """Every tag with its attributes and the text in it; refuses tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.tags if found == tag]

    def text(self, *inside: str) -> str:
        return " ".join(text for tag, text in self.texts if not inside or tag in inside)


ALL = {
    "image": lambda: results.image(2, several=True),
    "table": lambda: results.table(3),
    "signal": results.signal,
    "ids": results.ids,
    "text": lambda: results.text("[CLS]", "good", "film", "."),
    "volume": results.volume,
}


@pytest.mark.parametrize("kind", ALL)
def test_the_page_is_whole_and_asks_for_nothing(kind: str) -> None:
    page = Page(report.page(ALL[kind]()))
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert len(page.all("h1")) == 1
    named = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(named) == len(set(named))


@pytest.mark.parametrize("kind", ALL)
def test_the_policy_names_the_style_and_script_that_stand_there(kind: str) -> None:
    text = report.page(ALL[kind]())
    page = Page(text)
    policy = next(meta["content"] or "" for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for tag in ("style", "script"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("hostile", [results.HOSTILE, results.HOSTILE_END])
def test_names_tokens_labels_and_files_are_text(hostile: str) -> None:
    picture = Image.new("RGB", (16, 16))
    picture.filename = hostile.replace("/", "")
    image = replace(results.image(), notes=[hostile])
    pages = [
        report.page(results.table(), names=[hostile] * 4, title=hostile),
        report.page(results.text(hostile, hostile, "x", "y")),
        report.page(image, picture=picture, labels=[hostile] * 4, command=["lrp", hostile]),
        report.page(replace(image, layers={hostile: image.layers["0"]})),
    ]
    for text in pages:
        page = Page(text)
        assert len(page.all("script")) == 1
        assert not any(attributes.get("onerror") or attributes.get("src") == "x" for _, attributes in page.tags)
        assert hostile.replace("/", "")[-12:] in page.text().replace("/", "") + str(page.tags).replace("/", "")


def test_a_grid_holds_the_numbers() -> None:
    values = np.random.default_rng(0).normal(size=(5, 7))
    grid = grid_of(values)
    integers = np.frombuffer(base64.b64decode(grid.data), "<i2").reshape(5, 7)
    assert np.abs(integers * grid.step - values).max() <= grid.step / 2
    assert grid.scale == np.percentile(np.abs(values), 99.5)


def test_a_large_grid_is_summed_in_blocks() -> None:
    values = np.random.default_rng(0).normal(size=(1100, 30))
    grid = grid_of(values)
    assert (grid.rows, grid.columns, grid.block) == (367, 30, (1, 3, 1))
    integers = np.frombuffer(base64.b64decode(grid.data), "<i2").reshape(367, 30)
    assert np.allclose(integers[-1] * grid.step, values[1098:].sum(0), atol=grid.step)


def test_what_is_not_finite_is_marked_and_counted() -> None:
    grid = grid_of(np.array([[0.0, np.nan, 1.0, -np.inf]]))
    assert np.frombuffer(base64.b64decode(grid.data), "<i2").tolist() == [0, -32768, 32767, -32768]
    assert grid.missing == 2
    r = results.image()
    broken = r.input.clone()
    broken[0, 0, 3, 4] = float("nan")
    page = Page(report.page(replace(r, input=broken)))
    assert "1 cell is not finite" in page.text()


def test_zeros_are_a_white_map() -> None:
    r = results.image()
    assert grid_of(np.zeros((2, 2))).scale == 1.0
    report.page(replace(r, input=r.input * 0))


def test_a_picture_for_where_no_script_runs() -> None:
    grid = grid_of(np.array([[0.0, 1.0], [-1.0, 0.0]]))
    picture = Image.open(io.BytesIO(base64.b64decode(grid.picture.partition(",")[2]))).convert("RGB")
    assert [picture.getpixel((x, y)) for y in range(2) for x in range(2)] == [
        (255, 255, 255),
        (103, 0, 31),
        (5, 48, 97),
        (255, 255, 255),
    ]


def test_numbers_on_the_page_are_those_of_the_result() -> None:
    r = results.table()
    page = Page(report.page(r, names=["a", "b", "c", "d"]))
    values = [attributes["data-value"] for attributes in page.all("td") if "data-value" in attributes]
    for number in r.input[0].tolist():
        assert any(abs(float(value) - number) < 1e-9 for value in values)
    assert all(name in page.text("td") for name in "abcd")


def test_of_very_many_layers_some_are_shown() -> None:
    r = results.table()
    layers = {f"layer{n}": torch.full((1, 2), float(n)) for n in range(100)}
    page = Page(report.page(replace(r, layers=layers)))
    shown = [attributes["data-layer"] for attributes in page.all("div") if attributes.get("data-layer")]
    assert shown == [f"layer{n}" for n in range(0, 100, 3)]
    assert "Of the 100 kept layers 34 can be picked" in page.text("p")


def test_the_relevance_of_positions_stands_below_that_of_the_tokens() -> None:
    text = results.text("[CLS]", "good", "film", ".")
    positions = {"position_embeddings": torch.tensor([[0.25, -0.5, 0.125, 0.0]])}
    page = Page(report.page(replace(text, relevance=replace(text.relevance, positions=positions))))
    assert [title for tag, title in page.texts if tag == "h4"][:2] == ["input", "position_embeddings"]
    assert "-0.5" in page.text("td")
    assert page.text("caption").count("Words") == 1
    assert f"{float(text.relevance.input.sum()) - 0.125:+.4g}" in page.text("p")


def test_labels_and_targets_are_named() -> None:
    page = Page(report.page(results.image(several=True), labels=["ant", "bee", "cat", "dog"]))
    assert "class 1, bee" in page.text("h3")
    assert "class 2, cat" in page.text("option")


def test_twenty_images_with_five_layers_each_are_under_8_megabytes() -> None:
    """The shapes of EfficientNet-Lite0; noise, which no format makes small, and photographs of noise."""
    small = results.image(20)
    shapes = {"_conv_stem": (32, 112, 112), "_blocks.1": (24, 56, 56), "_blocks.4": (40, 28, 28)}
    shapes |= {"_blocks.10": (112, 14, 14), "_conv_head": (1280, 7, 7)}
    r = replace(
        small,
        input=torch.randn(20, 3, 224, 224),
        values=torch.randn(20, 3, 224, 224),
        layers={name: torch.randn(20, *shape) for name, shape in shapes.items()},
    )
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 255, (56, 56, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1) for _ in range(20)]
    assert len(report.page(r, picture=pictures)) < 8_000_000


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((16, 8)), "differ in proportion"),
        (np.full((16, 16), 2.0), "no picture"),
        (np.zeros((16, 16, 7)), "no picture"),
        ([], "do not go round"),
    ],
)
def test_a_picture_that_does_not_fit(given: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        report.page(results.image(), picture=given)


def test_a_picture_of_a_table() -> None:
    with pytest.raises(InputError, match="rows and columns"):
        report.page(results.table(), picture=np.zeros((4, 4)))


def test_names_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="3 names, 4 features"):
        report.page(results.table(), names=["a", "b", "c"])


def test_no_absolute_path_is_shown(tmp_path: Path) -> None:
    Image.new("L", (16, 16)).save(tmp_path / "cat.png")
    command = ["lrp", "explain", f"{tmp_path}/net.py:Net", f"--weights={tmp_path}/w.pth", str(tmp_path / "cat.png")]
    r = replace(results.image(), notes=[f"read from {tmp_path}/w.pth"])
    text = report.page(r, picture=tmp_path / "cat.png", command=command, title=f"About {tmp_path}/cat.png")
    assert str(tmp_path) not in text
    assert "lrp explain net.py:Net --weights=w.pth cat.png" in text
    assert "About cat.png" in text


def test_words_with_slashes_that_are_no_paths_stay() -> None:
    words = "and/or 1/2 https://example.org/a/b x/y.png"
    assert without_folders(words) == words


def test_without_the_extra_the_error_has_its_pip_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lrp\[report\]"'):
        results.table().report(tmp_path / "x.html")


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r = results.table()
    path = tmp_path / "x.html"
    r.report(path)
    whole = path.read_text()

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    def opened(temporary: Path, mode: str) -> Full:
        temporary.touch()
        return Full()

    monkeypatch.setattr(writing, "open", opened, raising=False)
    with pytest.raises(LRPError, match="No space left"):
        r.report(path)
    assert path.read_text() == whole
    assert [file.name for file in tmp_path.iterdir()] == ["x.html"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(LRPError, match="cannot be written"):
        results.table().report(tmp_path / "missing" / "x.html")
    assert not list(tmp_path.iterdir())


def test_a_report_ends_in_html(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.html"):
        results.table().report(tmp_path / "x.pdf")


def test_several_results_have_their_own_books() -> None:
    first, second = results.image(), replace(results.image(), notes=["the second"])
    page = Page(report.page([first, second], samples=["cat.png", "dog.png"]))
    books = [attributes for attributes in page.all("div") if "data-sample" in attributes]
    assert [attributes["data-sample"] for attributes in books] == ["0", "1"]
    assert "The second." in page.text("p")
    assert "Sample dog.png" in page.text("h2")


def test_several_results_are_of_one_sample_each() -> None:
    with pytest.raises(InputError, match="one sample each"):
        report.page([results.image(2), results.image()])
    with pytest.raises(InputError, match="the same targets"):
        report.page([results.image(several=True), results.image()])
    with pytest.raises(InputError, match="1 names, 2 samples"):
        report.page(results.image(2), samples=["a"])


def test_a_loaded_result_has_a_page(tmp_path: Path) -> None:
    r = results.image(several=True)
    r.save(tmp_path / "r.safetensors", values=False)
    loaded = Relevance.load(tmp_path / "r.safetensors")
    page = Page(report.page(loaded))
    assert "bias" in page.text("td")
    assert "target=..." in page.text("code")


def test_without_a_ledger_the_page_says_so() -> None:
    assert "no ledger was kept" in Page(report.page(replace(results.table(), ledger=None))).text("p")
