"""`--reference` and `--reference-output`: the numbers of the library, sample by sample."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

import lrp
from lrp.models import load_inputs, load_model
from tests.cli.nets import CONV

Cli = Callable[..., Result]

MODELS = f"""{CONV}
class Two(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(2, 3)
        self.double()

    def forward(self, a, b):
        return torch.tanh(self.fc(a + 2 * b))

class Table(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(2, 1)

    def forward(self, x):
        return self.fc(x)
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(MODELS)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(3, 3, 5, 6)))
    np.save(tmp_path / "one.npy", rng.normal(size=(1, 3, 5, 6)))
    np.save(tmp_path / "each.npy", rng.normal(size=(3, 3, 5, 6)))
    np.savez(tmp_path / "two.npz", a=rng.normal(size=(3, 2)), b=rng.normal(size=(3, 2)))
    (tmp_path / "t.csv").write_text("age,dose\n1,2\n3,4\n")


def read_json(lrp_cli: Cli, *words: object) -> list[dict[str, Any]]:
    result = lrp_cli("explain", *words, "--format", "json")
    assert result.exit_code == 0, result.output
    samples: list[dict[str, Any]] = json.loads(result.stdout)["samples"]
    return samples


@pytest.mark.parametrize("word", ["zero", "mean", "one.npy", "each.npy", "x.npy"])
def test_the_difference_to_a_reference(lrp_cli: Cli, word: str) -> None:
    x = torch.from_numpy(np.load("x.npy"))
    x0 = {"zero": torch.zeros_like(x), "mean": x.mean(0, keepdim=True).expand_as(x)}.get(word)
    x0 = torch.from_numpy(np.load(word)).expand_as(x) if x0 is None else x0
    model = load_model("models.py:Conv").eval()
    r = lrp.explain(model, x, target=1, reference=x0)
    samples = read_json(lrp_cli, "models.py:Conv", "x.npy", "--target", "1", "--reference", word)
    with torch.no_grad():
        differences = (model(x) - model(x0))[:, 1]
    for sample, expected, difference in zip(samples, r.input, differences, strict=True):
        assert sample["explained"] == pytest.approx(float(difference), rel=1e-9, abs=1e-14)
        assert sample["inputs"][0]["sum"] == pytest.approx(float(difference), rel=1e-9, abs=1e-14)
        np.testing.assert_allclose(sample["inputs"][0]["relevance"], expected, rtol=1e-9, atol=1e-14)
        assert any("reference" in note for note in sample["notes"])


def test_several_targets_and_keyword_inputs(lrp_cli: Cli) -> None:
    words = ["models.py:Two", "two.npz", "--reference", "mean", "--target", "0", "--target", "diff:1,2"]
    with np.load("two.npz") as arrays:
        a, b = (torch.from_numpy(arrays[name]) for name in "ab")
    model = load_model("models.py:Two").eval()
    with torch.no_grad():
        difference = model(a, b) - model(a.mean(0, keepdim=True), b.mean(0, keepdim=True))
    for number, sample in enumerate(read_json(lrp_cli, *words)):
        first, second = sample["targets"]
        assert first["explained"] == pytest.approx(float(difference[number, 0]))
        assert second["explained"] == pytest.approx(float(difference[number, 1] - difference[number, 2]))
        for target in (first, second):
            assert sum(item["sum"] for item in target["inputs"]) == pytest.approx(target["explained"])


def test_a_reference_image_is_read_as_the_input_is(lrp_cli: Cli, tmp_path: Path) -> None:
    Image.new("RGB", (12, 10), (250, 20, 90)).save(tmp_path / "x.png")
    Image.new("RGB", (9, 11), (10, 220, 30)).save(tmp_path / "x0.png")
    read = {"size": 8, "mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}
    x, x0 = (load_inputs(tmp_path / name, **read).values.double() for name in ("x.png", "x0.png"))
    model = load_model("models.py:Conv").eval()
    options = ["--size", "8", "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2", "--target", "1"]
    (sample,) = read_json(lrp_cli, "models.py:Conv", "x.png", "--reference", "x0.png", *options)
    with torch.no_grad():
        assert sample["explained"] == pytest.approx(float((model(x) - model(x0))[0, 1]))


def test_json_says_what_was_asked(lrp_cli: Cli) -> None:
    words = ["explain", "models.py:Conv", "x.npy", "--format", "json", "--target", "1"]
    assert not {"reference", "reference_output"} & json.loads(lrp_cli(*words).stdout).keys()
    assert json.loads(lrp_cli(*words, "--reference", "mean").stdout)["reference"] == "mean"
    assert json.loads(lrp_cli(*words, "--reference-output", "0.5").stdout)["reference_output"] == 0.5


def test_a_reference_output(lrp_cli: Cli) -> None:
    words = ["models.py:Conv", "x.npy", "--target", "1", "--target", "2", "--reference-output", "-0.25"]
    x = torch.from_numpy(np.load("x.npy"))
    model = load_model("models.py:Conv").eval()
    for number, sample in enumerate(read_json(lrp_cli, *words)):
        for target in sample["targets"]:
            one = x[number : number + 1]
            r = lrp.explain(model, one, target=target["class"], reference_output=-0.25)
            with torch.no_grad():
                assert target["explained"] == pytest.approx(float(model(one)[0, target["class"]]) + 0.25)
            np.testing.assert_allclose(target["inputs"][0]["relevance"], r.input[0], rtol=1e-10)
            assert "reference" in {row["kind"] for row in target["ledger"]["rows"]}
        assert any("reference output" in note for note in sample["notes"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.npy", "--reference", "zeros"], "no such reference"),
        (["x.npy", "--reference", "t.csv"], "another kind of file"),
        (["x.npy", "--reference", "short.npy"], "other inputs or shapes"),
        (["x.npy", "--reference", "pair.npy"], "neither one sample nor one for each"),
        (["x.npy", "--reference", "two.npz"], "other inputs or shapes"),
        (["one.npy", "--reference", "mean"], "the mean of one sample"),
        (["x.npy", "--reference", "nan.npy"], "not finite"),
        (["x.npy", "--reference", "broken.npy"], "broken.npy"),
        (["x.npy", "--reference", "zero", "--composite", "epsilon"], "reference"),
        (["x.npy", "--reference-output", "nan"], "finite number"),
        (["x.npy", "--reference-output", "half"], "not a valid float"),
    ],
)
def test_references_that_are_none(lrp_cli: Cli, tmp_path: Path, words: list[str], message: str) -> None:
    np.save(tmp_path / "short.npy", np.ones((3, 3, 5, 5)))
    np.save(tmp_path / "pair.npy", np.ones((2, 3, 5, 6)))
    np.save(tmp_path / "nan.npy", np.full((1, 3, 5, 6), np.nan))
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    check_refused(lrp_cli, tmp_path, ["models.py:Conv", *words], message)


def test_a_reference_table_with_other_columns(lrp_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("dose,age\n1,2\n")
    (tmp_path / "same.csv").write_text("age,dose\n1,2\n")
    words = ["models.py:Table", "t.csv", "--reference"]
    check_refused(lrp_cli, tmp_path, [*words, "other.csv"], "other columns")
    first, second = read_json(lrp_cli, *words, "same.csv")
    assert first["explained"] == 0
    assert second["inputs"][0]["features"] == ["age", "dose"]


def check_refused(lrp_cli: Cli, folder: Path, words: list[str], message: str) -> None:
    """See one clear error, and nothing written."""
    before = sorted(folder.iterdir())
    result = lrp_cli("explain", *words, "--out", "written", "--format", "json")
    assert result.exit_code == 2, result.output
    assert message in result.stderr.replace("\n", " ")
    assert result.stderr.lower().count("error: ") == 1
    assert result.stdout == ""
    assert [path for path in sorted(folder.iterdir()) if path.name != "__pycache__"] == before
