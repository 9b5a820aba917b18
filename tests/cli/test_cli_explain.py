import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

import lrp
from lrp.models import load_inputs, load_model, load_weights

Cli = Callable[..., Result]


def opened(path: Path) -> Image.Image:
    """Read a picture and close its file."""
    with Image.open(path) as image:
        image.load()
    return image


CONVNET = """
import warnings

import torch
from torch import nn

print("the model's file talks")

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        import neighbour
        print("the model talks")
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))

class Double(Net):
    def __init__(self):
        super().__init__()
        self.double()

class Cancels(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 1, bias=False)
        self.fc.weight.data = torch.tensor([[1000.0, -999.0]])

    def forward(self, x):
        warnings.warn("the model warns")
        return self.fc(x)

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(2, 3)

    def forward(self, x, y):
        return self.fc(x + y)
"""


@pytest.fixture
def convnet(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(CONVNET)
    (tmp_path / "neighbour.py").write_text("")
    return str(tmp_path / "net.py")


def results(tutorial: list[str], **options: object) -> list[lrp.Relevance]:
    model = load_model(tutorial[0])
    load_weights(model, tutorial[3])
    rows = load_inputs(tutorial[1]).values
    return [lrp.explain(model, rows[index : index + 1], keep="all", **options) for index in range(len(rows))]


def test_the_tutorial_prints_every_layer_and_feature(lrp_cli: Cli, tutorial: list[str]) -> None:
    result = lrp_cli("explain", *tutorial, "--layers", "all")
    assert result.exit_code == 0
    samples = result.stdout.split("sample ")[1:]
    assert len(samples) == 5
    for text, r in zip(samples, results(tutorial), strict=True):
        table = text[text.index("relevance by layer") :].split("\n\n")[0].splitlines()[1:-1]
        assert [line.split()[0] for line in table] == ["output", "fc3", "fc2", "fc1", "input"]
        sums = [float(line.split()[1]) for line in table]
        expected = [r.explained, *(r[name] for name in ("fc3", "fc2", "fc1")), r.input]
        assert sums == pytest.approx([float(value.sum()) for value in expected], rel=1e-4)
        differences = [float(line.split()[2]) for line in table]
        assert differences == pytest.approx([float(r.explained) - total for total in sums], abs=1e-3)
        for feature in ("mean radius", "mean fractal dimension"):
            assert feature in text
        for part in ("fc3: 1 value", "fc2: 16 values", "fc1: 32 values", "kept as bias", "residual"):
            assert part in text


def test_the_default_is_the_logit_and_through_output_the_probability(lrp_cli: Cli, tutorial: list[str]) -> None:
    logits = json.loads(lrp_cli("explain", *tutorial, "--format", "json").stdout)["samples"]
    shares = json.loads(lrp_cli("explain", *tutorial, "--format", "json", "--through-output").stdout)["samples"]
    for logit, share in zip(logits, shares, strict=True):
        assert share["explained"] == pytest.approx(share["output"][0]["values"][0], rel=1e-6)
        assert 1 / (1 + np.exp(-logit["explained"])) == pytest.approx(share["explained"], rel=1e-4)
    assert any("sigmoid" in note for note in logits[0]["notes"])


def test_json_is_what_the_library_says(lrp_cli: Cli, tutorial: list[str]) -> None:
    read = json.loads(lrp_cli("explain", *tutorial, "--format", "json", "--layers", "all").stdout)
    for sample, r in zip(read["samples"], results(tutorial), strict=True):
        assert sample["explained"] == pytest.approx(float(r.explained))
        assert [layer["name"] for layer in sample["layers"]] == list(r.layers)
        for layer in sample["layers"]:
            np.testing.assert_allclose(layer["relevance"], r[layer["name"]][0].tolist())
        np.testing.assert_allclose(sample["inputs"][0]["relevance"], r.input[0].tolist())
        kept = sum(row["amount"] for row in sample["ledger"]["rows"])
        total = sample["inputs"][0]["sum"] + kept + sample["ledger"]["residual"]
        assert total == pytest.approx(sample["explained"], rel=1e-5)


def test_csv_names_the_features(lrp_cli: Cli, tutorial: list[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(lrp_cli("explain", *tutorial, "--format", "csv").stdout)))
    assert len(rows) == 50
    assert rows[10]["sample"] == "2"
    assert rows[10]["feature"] == "mean radius"
    second = results(tutorial)[1]
    assert float(rows[10]["relevance"]) == pytest.approx(float(second.input[0, 0]))


@pytest.mark.parametrize("name", ["r.json", "r.csv", "r.npz", "r.txt"])
def test_out_goes_by_the_ending(lrp_cli: Cli, tutorial: list[str], tmp_path: Path, name: str) -> None:
    result = lrp_cli("explain", *tutorial, "--out", name)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert f"wrote {name}" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name == "r.npz":
        with np.load(tmp_path / name, allow_pickle=False) as read:
            assert read["5/inputs/input"].shape == (10,)
    else:
        kind = {"r.txt": "text"}.get(name, name.removeprefix("r."))
        assert (tmp_path / name).read_text() == lrp_cli("explain", *tutorial, "--format", kind).stdout


def test_a_folder_gets_the_format(lrp_cli: Cli, tutorial: list[str], tmp_path: Path) -> None:
    assert lrp_cli("explain", *tutorial, "--out", "maps", "--format", "csv").exit_code == 0
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["explanation.csv"]


def test_layers_are_kept_by_pattern(lrp_cli: Cli, tutorial: list[str]) -> None:
    words = ["explain", *tutorial, "--format", "json"]
    kept = [
        [layer["name"] for layer in json.loads(lrp_cli(*words, *more).stdout)["samples"][0]["layers"]]
        for more in ([], ["--layers", "fc2"], ["--layers", "fc[12]"], ["--layers", "fc1", "--layers", "fc3"])
    ]
    assert kept == [[], ["fc2"], ["fc2", "fc1"], ["fc3", "fc1"]]


def test_an_image_as_text_and_as_pictures(lrp_cli: Cli, convnet: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    result = lrp_cli("explain", f"{convnet}:Net", "x.png")
    assert result.exit_code == 0
    assert result.stdout.startswith("sample 1\n")
    assert "talks" not in result.stdout
    assert "the model talks" in result.stderr
    assert "input: 3x12x16 values" in result.stdout

    assert lrp_cli("explain", f"{convnet}:Net", "x.png", "--out", "maps", "--format", "png").exit_code == 0
    for name in ("heatmap.png", "overlay.png"):
        assert opened(tmp_path / "maps" / name).size == (16, 12)
    assert lrp_cli("explain", f"{convnet}:Net", "x.png", "--out", "map.png", "--size", "8").exit_code == 0
    picture = opened(tmp_path / "map.png")
    assert picture.size == (8, 8)
    assert float(picture.text["lrp:explained"])
    assert picture.text["lrp:composite"] == "epsilon_gamma"
    assert float(picture.text["lrp:scale"]) > 0


def test_targets_and_labels(lrp_cli: Cli, convnet: str, tmp_path: Path) -> None:
    Image.new("RGB", (6, 6), (250, 20, 90)).save(tmp_path / "x.png")
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\ndog\neel\n")
    with torch.no_grad():
        scores = load_model(f"{convnet}:Net").eval()(load_inputs(tmp_path / "x.png").values)[0].tolist()
    best = sorted(range(5), key=lambda index: -scores[index])

    def explained(*words: str) -> float:
        asked = lrp_cli("explain", f"{convnet}:Net", "x.png", "--format", "json", "--labels", "labels.txt", *words)
        return json.loads(asked.stdout)["samples"][0]["explained"]

    assert explained() == pytest.approx(scores[best[0]], rel=1e-5)
    assert explained("--target", "top:2") == pytest.approx(scores[best[1]], rel=1e-5)
    assert explained("--target", "3") == pytest.approx(scores[3], rel=1e-5)
    assert explained("--target", "dog") == pytest.approx(scores[3], rel=1e-5)
    assert explained("--target", "diff:dog,1") == pytest.approx(scores[3] - scores[1], rel=1e-4, abs=1e-6)


def test_composites_change_the_numbers(lrp_cli: Cli, tutorial: list[str]) -> None:
    def composite(*words: str) -> tuple[str, float]:
        sample = json.loads(lrp_cli("explain", *tutorial, "--format", "json", *words).stdout)["samples"][0]
        return sample["composite"]["name"], sample["inputs"][0]["sum"]

    assert composite() == composite("--composite", "auto") == composite("--composite", "zero")
    assert composite()[0] == "zero"
    name, total = composite("--composite", "epsilon:epsilon=0.5")
    assert name == "epsilon"
    assert abs(total - composite()[1]) > 1e-3


def test_keyword_inputs_and_the_models_dtype(lrp_cli: Cli, convnet: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", x=np.ones((3, 2)), y=np.zeros((3, 2)))
    samples = json.loads(lrp_cli("explain", f"{convnet}:Two", "two.npz", "--format", "json").stdout)["samples"]
    assert len(samples) == 3
    assert {item["name"]: item["relevance"] for item in samples[0]["inputs"]}["y"] == [0.0, 0.0]
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((1, 3, 8, 8)))
    assert lrp_cli("explain", f"{convnet}:Double", "x.npy").exit_code == 0
    assert lrp_cli("explain", f"{convnet}:Net", "x.npy").exit_code == 0


def test_plan_and_layers(lrp_cli: Cli, tutorial: list[str]) -> None:
    plan = lrp_cli("plan", *tutorial)
    assert plan.exit_code == 0
    for name in ("fc1", "fc2", "fc3", "relu"):
        assert name in plan.stdout
    layers = lrp_cli("layers", tutorial[0])
    assert layers.exit_code == 0
    assert "fc2" in layers.stdout
    assert "Linear" in layers.stdout
    assert "weight (16, 32), bias (16,)" in layers.stdout
    assert layers.stdout.count("(16, 32)") == 1


def test_what_was_explained_is_said_in_words(lrp_cli: Cli, tutorial: list[str], convnet: str, tmp_path: Path) -> None:
    assert "the only logit\n" in lrp_cli("explain", *tutorial).stdout
    assert "the only output\n" in lrp_cli("explain", *tutorial, "--through-output").stdout
    Image.new("RGB", (6, 6), (250, 20, 90)).save(tmp_path / "x.png")
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\ndog\neel\n")
    words = ["explain", f"{convnet}:Net", "x.png", "--labels", "labels.txt"]
    assert "the output of class 3, dog\n" in lrp_cli(*words, "--target", "3").stdout
    assert "(class of rank 2)\n" in lrp_cli(*words, "--target", "top:2").stdout
    assert "the output: class 1 minus class 0\n" in lrp_cli(*words, "--target", "diff:bee,ant").stdout


def test_warnings_of_lrp_are_notes_and_others_go_on(lrp_cli: Cli, convnet: str, tmp_path: Path) -> None:
    model = f"{convnet}:Cancels"
    np.save(tmp_path / "x.npy", np.array([[1.0, 1.0]]))
    with pytest.warns(UserWarning, match="the model warns"):
        result = lrp_cli("explain", model, "x.npy")
    assert result.exit_code == 0
    assert result.stdout.count("may be noise") == 1
    assert "may be noise" not in result.stderr
