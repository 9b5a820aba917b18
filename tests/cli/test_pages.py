"""`lrp explain --out x.html`."""

from __future__ import annotations

import sys
from collections.abc import Callable
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
    made = lrp_cli("explain", "net.py:Net", "photos", "--out", "pages", "--format", "html")
    assert made.exit_code == 0, made.output
    text = (tmp_path / "pages" / "explanation.html").read_text()
    assert "Sample cat.png" in text
    assert "Sample dog.png" in text
    assert str(tmp_path) not in text
    lines = (tmp_path / "pages" / "relevance.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["input", "cat.png", "dog.png"]


def test_the_table_has_what_the_page_has_no_room_for(lrp_cli: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from torch import nn\nnet = nn.Linear(2, 1)\n")
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.ones((40, 2)))
    made = lrp_cli("explain", "net.py:net", "a.npy", "b.npy", "--out", "pages", "--format", "html")
    assert made.exit_code == 0, made.output
    assert len((tmp_path / "pages" / "relevance.csv").read_text().splitlines()) == 81


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
