"""`lrp explain --out x.html`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
"""


def test_a_table(lrp_cli: Callable[..., Result], tutorial: list[str], tmp_path: Path) -> None:
    made = lrp_cli("explain", *tutorial, "--layers", "all", "--out", "x.html")
    assert made.exit_code == 0, made.output
    text = (tmp_path / "x.html").read_text()
    assert "mean concave points" in text
    assert "lrp explain sample_model.py:SampleModel samples.csv --weights model_weights.pth --layers all" in text
    assert tutorial[1] not in text
    assert [path.name for path in tmp_path.iterdir()] == ["x.html"]


def test_a_folder_of_images_shares_a_page(lrp_cli: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(("cat", "dog")):
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    made = lrp_cli("explain", "net.py:Net", "photos", "--out", "page.html")
    assert made.exit_code == 0, made.output
    text = (tmp_path / "page.html").read_text()
    assert "Sample cat.png" in text
    assert "Sample dog.png" in text
    assert str(tmp_path) not in text


def links_in(page: Path) -> list[tuple[str, str]]:
    """The addresses and the words of all links."""
    found = re.findall(r'<a href="(.*?)">(.*?)</a>', page.read_text("utf-8"))
    return [(unescape(address), unescape(words)) for address, words in found]


def test_in_a_folder_an_index_leads_to_a_report_of_each(lrp_cli: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    names = [
        "a/cat.png",
        "b/cat.png",
        "b/cat.jpg",
        "index.png",
        "<img src=x onerror=alert(1)>.png",
        "\udcff.png",
        "bad.png",
    ]
    for name in names[:-1]:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "green").save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "bad.png").write_bytes(b"nothing")
    made = lrp_cli("explain", "net.py:Net", str(tmp_path / "photos"), "--out", "pages", "--format", "html")
    assert made.exit_code == 3
    assert "wrote index.html, relevance.csv and 6 reports to pages" in made.output
    text = (tmp_path / "pages" / "index.html").read_text()
    table, *reports = links_in(tmp_path / "pages" / "index.html")
    assert table == ("relevance.csv", "relevance.csv")
    assert {words for _, words in reports} == {*names[:4], names[4], "?.png"}
    assert len({address.lower() for address, _ in reports}) == 6
    for address, words in reports:
        report = (tmp_path / "pages" / address).read_text()
        assert f"<h1>{escape(words)}</h1>" in report
        assert str(tmp_path) not in report
    assert sorted(path.name for path in (tmp_path / "pages").iterdir()) == ["index.html", "relevance.csv", "reports"]
    assert text.count('<img src="data:image/') == 6
    assert "<dt>bad.png</dt><dd>the file cannot be read as an image" in text
    assert str(tmp_path) not in text
    assert "<img src=x" not in text


def test_the_index_of_tables_has_the_numbers_of_the_first_samples(
    lrp_cli: Callable[..., Result], tmp_path: Path
) -> None:
    weights = "net.weight.data = torch.tensor([[2.0, -3.0], [0.5, 0.25]])"
    (tmp_path / "net.py").write_text(f"import torch\nnet = torch.nn.Linear(2, 2, bias=False)\n{weights}\n")
    (tmp_path / "a.csv").write_text("age,<b>dose</b>\n1,2\n" + "0,0\n" * 64)
    (tmp_path / "b.csv").write_text("age,<b>dose</b>\n4,1\n")
    words = ["a.csv", "b.csv", "--target", "0", "--target", "1", "--out", "pages/", "--format", "html"]
    made = lrp_cli("explain", "net.py:net", *words)
    assert made.exit_code == 0, made.output
    text = (tmp_path / "pages" / "index.html").read_text()
    rows = [re.sub(r"<[^>]*>", "|", row).split("|") for row in re.findall(r"<tr>\s*<td.*?</tr>", text, re.DOTALL)]
    assert [[unescape(cell) for cell in row if cell.strip()] for row in rows] == [
        ["a.csv", "65", "the output of class 0", "-4", "-4", "<b>dose</b> -6"],
        ["a.csv", "65", "the output of class 1", "+1", "+1", "age +0.5"],
        ["b.csv", "1", "the output of class 0", "+5", "+5", "age +8"],
        ["b.csv", "1", "the output of class 1", "+2.25", "+2.25", "age +2"],
    ]
    assert "Reports show the first 64 samples of an input." in text
    assert len((tmp_path / "pages" / "relevance.csv").read_text().splitlines()) == 1 + 2 * 66
    assert 'value="63">64</option>' in (tmp_path / "pages" / "reports" / "a.html").read_text()


FAILS = """
from torch import nn

class Net(nn.Linear):
    def forward(self, x):
        if x[0, 0] > 2:
            x = x[:, :1]
        return super().forward(x)

net = Net(2, 1)
"""


def test_of_an_input_that_fails_on_the_way_the_index_counts_what_was_explained(
    lrp_cli: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(FAILS)
    (tmp_path / "a.csv").write_text("age,dose\n1,2\n2,2\n3,2\n4,2\n")
    (tmp_path / "b.csv").write_text("age,dose\n1,2\n")
    words = ["explain", "net.py:net", "a.csv", "b.csv", "--out", "pages", "--format", "html"]
    assert lrp_cli(*words).exit_code == 3
    text = (tmp_path / "pages" / "index.html").read_text()
    assert re.findall(r">([ab]\.csv)</a></td><td[^>]*>(\d+)<", text) == [("a.csv", "2"), ("b.csv", "1")]
    assert "<dt>a.csv</dt>" in text
    assert len((tmp_path / "pages" / "relevance.csv").read_text().splitlines()) == 1 + 3


def test_more_inputs_than_a_page_has_room_for(lrp_cli: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from torch import nn\nnet = nn.Linear(2, 1)\n")
    (tmp_path / "rows").mkdir()
    for number in range(66):
        np.save(tmp_path / "rows" / f"{number}.npy", np.ones((1, 2)))
    made = lrp_cli("explain", "net.py:net", "rows", "--out", "pages", "--format", "html")
    assert made.exit_code == 0, made.output
    assert len(list((tmp_path / "pages" / "reports").iterdir())) == 66
    assert len(links_in(tmp_path / "pages" / "index.html")) == 67


def test_interrupted_or_on_a_full_disk_what_is_there_is_whole(
    lrp_cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text("from torch import nn\nnet = nn.Linear(2, 1)\n")
    for name in "abc":
        np.save(tmp_path / f"{name}.npy", np.ones((1, 2)))
    replace = os.replace
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def full(source: Path, to: Path, error: BaseException = error) -> None:
            if to.name == "b.html":
                raise error
            replace(source, to)

        monkeypatch.setattr("lrp.writing.os.replace", full)
        made = lrp_cli("explain", "net.py:net", "a.npy", "b.npy", "c.npy", "--out", "pages", "--format", "html")
        assert made.exit_code in (1, 2)
        assert [path.name for path in (tmp_path / "pages").rglob("*")] == ["reports", "a.html"]
        assert (tmp_path / "pages" / "reports" / "a.html").read_text().rstrip().endswith("</html>")


def test_a_page_is_not_for_a_terminal(lrp_cli: Callable[..., Result], tutorial: list[str]) -> None:
    made = lrp_cli("explain", *tutorial, "--format", "html")
    assert made.exit_code == 2
    assert "add --out" in made.output


def test_without_the_extra(
    lrp_cli: Callable[..., Result], tutorial: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    made = lrp_cli("explain", *tutorial, "--out", "x.html")
    assert made.exit_code == 2
    assert 'pip install "lrp[report]"' in made.output
    assert not list(tmp_path.iterdir())
