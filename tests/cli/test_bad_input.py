"""Every line of 'Bad input' that the command line can meet: one clear error, exit code 2, nothing written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

Cli = Callable[..., Result]

MODELS = """
import os
import torch
from torch import nn

class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3))

class Tuple(Conv):
    def forward(self, x):
        return super().forward(x), x

class Dict(Conv):
    def forward(self, x):
        return {"scores": super().forward(x)}

class Moody(Conv):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        self.drop.train()
        return self.drop(super().forward(x))

class Runs:
    def __reduce__(self):
        return os.mkdir, ("written-by-the-pickle",)
"""


@pytest.fixture
def bad(lrp_cli: Cli, tmp_path: Path) -> Callable[..., str]:
    """Run `lrp explain --out written`, see it fail as it should, and return the message."""
    (tmp_path / "models.py").write_text(MODELS)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32))

    def run(*words: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        for out in ([], ["--out", "written"]):
            result = lrp_cli("explain", *words, *out)
            assert result.exit_code == 2, result.output
            assert result.exception is None or isinstance(result.exception, SystemExit)
            assert result.stdout == ""
            after = sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)
            assert after == before
        return result.stderr

    return run


def changed(tutorial: list[str], path: Path, content: str) -> list[str]:
    path.write_text(content)
    return [tutorial[0], str(path), *tutorial[2:]]


def test_wrong_shape(bad: Callable[..., str], tutorial: list[str], tmp_path: Path) -> None:
    message = bad(*changed(tutorial, tmp_path / "t.csv", "1,2,3\n"))
    assert "(1, 3)" in message or "1x3" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(bad: Callable[..., str], tmp_path: Path, value: float) -> None:
    x = np.ones((2, 3, 8, 8), dtype=np.float32)
    x[1, 2, 3, 4] = value
    np.save(tmp_path / "y.npy", x)
    assert "NaN" in (message := bad("models.py:Conv", "y.npy")) or "finite" in message


def test_nan_in_a_table(bad: Callable[..., str], tutorial: list[str], tmp_path: Path) -> None:
    message = bad(*changed(tutorial, tmp_path / "t.csv", "1,2,3,4,5,nan,7,8,9,10\n"))
    assert "column 6" in message


def test_empty_batch(bad: Callable[..., str], tutorial: list[str], tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.ones((0, 3, 8, 8), dtype=np.float32))
    assert "no samples" in bad("models.py:Conv", "y.npy")
    assert "no samples" in bad(*changed(tutorial, tmp_path / "t.csv", "a,b\n"))


def test_integer_image(bad: Callable[..., str], tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.ones((1, 3, 8, 8), dtype=np.uint8))
    assert "uint8" in bad("models.py:Conv", "y.npy")


def test_dropout_in_training_mode(bad: Callable[..., str]) -> None:
    assert "training" in bad("models.py:Moody", "x.npy")


def test_target_out_of_range(bad: Callable[..., str]) -> None:
    message = bad("models.py:Conv", "x.npy", "--target", "4")
    assert "4" in message
    assert "cure" in message


@pytest.mark.parametrize("target", ["1,2", "[1, 2]"])
def test_list_as_target(bad: Callable[..., str], target: str) -> None:
    assert "a list is no target" in bad("models.py:Conv", "x.npy", "--target", target)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("logodds:4", "out of range: 4"),
        ("logodds:x", "unknown"),
        ("token:-1", "positions and vocabulary"),
        ("token:x", "whole numbers"),
        ("diff:1", "two classes"),
        ("top:5", "rank 5"),
    ],
)
def test_one_wrong_target_among_several(bad: Callable[..., str], target: str, words: str) -> None:
    message = bad("models.py:Conv", "x.npy", "--target", "1", "--target", target)
    assert words in message
    assert message.count("error: ") == 1
    assert "cure" in message


def test_layer_that_matches_nothing_names_the_nearest(bad: Callable[..., str], tutorial: list[str]) -> None:
    message = bad(*tutorial, "--layers", "fc22")
    assert "fc22" in message
    assert "fc2" in message.replace("fc22", "")


def test_unknown_composite(bad: Callable[..., str]) -> None:
    message = bad("models.py:Conv", "x.npy", "--composite", "epsilon_pluss")
    assert "one of 'epsilon_plus'" in message
    assert "lrp composites" in message


@pytest.mark.parametrize(
    ("composite", "words"),
    [
        ("epsilon_gamma_box", "needs low and high"),
        ("epsilon_gamma_box:low=1,high=0", "each low at most its high"),
        ("epsilon_gamma_box:low=0/0,high=1", "low does not fit the input"),
        ("epsilon:epsilon=-1", "at least 0"),
    ],
)
def test_wrong_arguments_of_a_preset(bad: Callable[..., str], composite: str, words: str) -> None:
    message = bad("models.py:Conv", "x.npy", "--composite", composite)
    assert words in message
    assert "where" in message
    assert "cure" in message


def test_missing_and_extra_weights(bad: Callable[..., str], tmp_path: Path) -> None:
    weights = {"conv.weight": torch.zeros(4, 3, 3, 3), "conv.bias": torch.zeros(4)}
    torch.save({"conv.weight": weights["conv.weight"]}, tmp_path / "missing.pth")
    torch.save({**weights, "conv.extra": torch.zeros(1)}, tmp_path / "extra.pth")
    assert "missing conv.bias" in bad("models.py:Conv", "x.npy", "--weights", "missing.pth")
    assert "unexpected conv.extra" in bad("models.py:Conv", "x.npy", "--weights", "extra.pth")


def test_pickle_that_would_run_code(bad: Callable[..., str], tmp_path: Path) -> None:
    from lrp.models.spec import find, read_file

    torch.save({"w": find(read_file(tmp_path / "models.py"), "Runs", "")()}, tmp_path / "w.pth")
    message = bad("models.py:Conv", "x.npy", "--weights", "w.pth")
    assert "mkdir" in message
    assert "save" in message


def test_text_column(bad: Callable[..., str], tutorial: list[str], tmp_path: Path) -> None:
    message = bad(*changed(tutorial, tmp_path / "t.csv", "age,kind\n1,benign\n"))
    for word in ("'kind'", "line 2", "benign"):
        assert word in message


@pytest.mark.parametrize("model", ["Tuple", "Dict"])
def test_structured_output_without_a_target_that_says_which(bad: Callable[..., str], model: str) -> None:
    message = bad(f"models.py:{model}", "x.npy")
    assert "targets.At" in message
    assert "cure" in message


def test_samples_not_on_the_first_axis(bad: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(MODELS + "\n\ndef turned():\n    return Turned()\n\n" + TURNED)
    np.save(tmp_path / "y.npy", np.ones((5, 2, 3), dtype=np.float32))
    assert "sample axis" in bad("models.py:turned", "y.npy")


TURNED = """
class Turned(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(x.sum(0))
"""


@pytest.mark.parametrize("name", ["x.png", "x.npz", "x.parquet", "absent.npy"])
def test_files_that_cannot_be_read(bad: Callable[..., str], tmp_path: Path, name: str) -> None:
    if "absent" not in name:
        (tmp_path / name).write_bytes(b"nothing")
    assert name in bad("models.py:Conv", name)


def test_size_of_what_is_no_image(bad: Callable[..., str]) -> None:
    assert "for images" in bad("models.py:Conv", "x.npy", "--size", "8")


def test_several_heatmaps_in_one_file(lrp_cli: Cli, bad: Callable[..., str], tmp_path: Path) -> None:
    for words in ([], ["--target", "1", "--target", "2"]):
        result = lrp_cli("explain", "models.py:Conv", "x.npy", "--out", "map.png", *words)
        assert result.exit_code == 2
        assert "give a folder" in result.stderr
        assert not (tmp_path / "map.png").exists()


def test_a_table_has_no_picture(lrp_cli: Cli, tutorial: list[str], tmp_path: Path) -> None:
    result = lrp_cli("explain", *tutorial, "--out", "maps", "--format", "png")
    assert result.exit_code == 2
    assert "no picture" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_found(bad: Callable[..., str]) -> None:
    assert "one of 'Conv'" in bad("models.py:Cnv", "x.npy")
    assert "absent.py" in bad("absent.py:Net", "x.npy")
    assert "JSON" in bad("models.py:Conv", "x.npy", "--model-kwargs", "{")


def test_an_unknown_photograph(lrp_cli: Cli, tmp_path: Path) -> None:
    result = lrp_cli("demo", "--image", "chelsey")
    assert result.exit_code == 2
    assert "one of 'chelsea'" in result.stderr
    assert list(tmp_path.iterdir()) == []
    Image.new("RGB", (3, 3)).save(tmp_path / "lrp-demo", format="PNG")
    result = lrp_cli("demo")
    assert result.exit_code == 2
    assert "the folder for the pictures is a file" in result.stderr
