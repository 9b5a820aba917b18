import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from lrp.models import imagenet

Cli = Callable[..., Result]


def opened(path: Path) -> Image.Image:
    """Read a picture and close its file."""
    with Image.open(path) as image:
        image.load()
    return image


def test_the_demo_names_the_cat_and_paints_its_face(lrp_cli: Cli, tmp_path: Path) -> None:
    result = lrp_cli("demo")
    assert result.exit_code == 0, result.output
    for words in ("38.6%  282 tiger cat", "35.6%  285 Egyptian cat", "the logit of tiger cat", "residual"):
        assert words in result.stdout
    for name in ("heatmap.png", "overlay.png"):
        assert f"wrote lrp-demo/{name}" in result.stdout
        assert opened(tmp_path / "lrp-demo" / name).size == (224, 224)
    heatmap = np.asarray(opened(tmp_path / "lrp-demo" / "heatmap.png")).astype(int)
    redness = heatmap[..., 0] - heatmap[..., 2]
    assert redness.mean() > 0
    facts = opened(tmp_path / "lrp-demo" / "heatmap.png").text
    assert facts["lrp:composite"] == "epsilon_gamma"
    assert f"{float(facts['lrp:explained']):+.5g}" in result.stdout


def test_the_demo_takes_a_file_and_a_folder(lrp_cli: Cli, tmp_path: Path) -> None:
    imagenet.photograph("coffee").save(tmp_path / "mine.png")
    result = lrp_cli("demo", "--image", "mine.png", "--out", "pictures/of/coffee")
    assert "espresso" in result.stdout
    assert sorted(path.name for path in (tmp_path / "pictures/of/coffee").iterdir()) == ["heatmap.png", "overlay.png"]


def test_the_demo_without_its_packages_gives_the_pip_line(
    lrp_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    result = lrp_cli("demo")
    assert result.exit_code == 2
    assert 'pip install "lrp[demo]"' in result.stderr
    assert list(tmp_path.iterdir()) == []
