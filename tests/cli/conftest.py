from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lrp.cli import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def lrp_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `lrp` with these words in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words])

    return run


@pytest.fixture
def tutorial() -> list[str]:
    """MODEL, INPUT and weights of the tutorial."""
    return [
        f"{EXAMPLES / 'sample_model.py'}:SampleModel",
        str(EXAMPLES / "samples.csv"),
        "--weights",
        str(EXAMPLES / "model_weights.pth"),
    ]
