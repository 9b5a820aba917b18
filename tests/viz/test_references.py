import numpy as np
import pytest
from PIL import Image

from tests.viz.references import FOLDER, figures
from tests.viz.results import pixels

FIGURES = figures()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_as_it_was(name: str) -> None:
    stored = np.asarray(Image.open(FOLDER / f"{name}.png").convert("RGB")).astype(int)
    drawn = pixels(FIGURES[name]())
    assert drawn.shape == stored.shape
    different = np.abs(drawn - stored).max(-1) > 8
    assert different.mean() < 0.002


def test_every_stored_drawing_belongs_to_a_figure() -> None:
    assert {path.stem for path in FOLDER.glob("*.png")} == set(FIGURES)
