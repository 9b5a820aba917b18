"""Several --target options: each format shows what the runs of the single targets show, one by one."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

from lrp.models import load_model

Cli = Callable[..., Result]

MODELS = """
import torch
from torch import nn

class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 5)
        self.double()
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))

class Text(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(3, 6)
        self.double()

    def forward(self, x):
        return self.fc(x)

class Shares(Text):
    def forward(self, x):
        return self.fc(x[:, 0]).softmax(1)
"""

TARGETS = ["1", "top:2", "diff:eel,0", "logodds:2"]
ALL = [word for target in TARGETS for word in ("--target", target)]


@pytest.fixture
def conv(lrp_cli: Cli, tmp_path: Path) -> list[str]:
    """MODEL, INPUT and labels."""
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\ndog\neel\n")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(2, 3, 5, 6)))
    np.save(tmp_path / "text.npy", rng.normal(size=(2, 4, 3)))
    return ["models.py:Conv", "x.npy", "--labels", "labels.txt"]


def read_json(lrp_cli: Cli, *words: object) -> list[dict[str, Any]]:
    result = lrp_cli("explain", *words, "--format", "json")
    assert result.exit_code == 0, result.output
    samples: list[dict[str, Any]] = json.loads(result.stdout)["samples"]
    return samples


@pytest.fixture
def singles(lrp_cli: Cli, conv: list[str]) -> list[list[dict[str, Any]]]:
    """For each target, the samples of a run of its own, with all layers."""
    return [read_json(lrp_cli, *conv, "--layers", "all", "--target", target) for target in TARGETS]


def test_json(lrp_cli: Cli, conv: list[str], singles: list[list[dict[str, Any]]]) -> None:
    several = read_json(lrp_cli, *conv, "--layers", "all", *ALL)
    assert len(several) == 2
    for number, sample in enumerate(several):
        assert list(sample) == ["input", "sample", "composite", "notes", "output", "targets"]
        assert [target["asked"] for target in sample["targets"]] == TARGETS
        for target, single in zip(sample["targets"], [runs[number] for runs in singles], strict=True):
            assert {
                **target,
                **{key: sample[key] for key in ("input", "sample", "composite", "notes", "output")},
            }.keys() == {
                *single,
                "asked",
            }
            assert (target["target"], target["class"]) == (single["target"], single["class"])
            assert target["explained"] == pytest.approx(single["explained"], rel=1e-12)
            for kind in ("layers", "inputs"):
                for one, other in zip(target[kind], single[kind], strict=True):
                    assert one["name"] == other["name"]
                    np.testing.assert_allclose(one["relevance"], other["relevance"], rtol=1e-10, atol=1e-15)
            kept, expected = (
                {(row["call"], row["kind"]): row["amount"] for row in found["ledger"]["rows"] if row["amount"]}
                for found in (target, single)
            )
            assert kept == pytest.approx(expected, rel=1e-10, abs=1e-15)
    assert [target["target"] for target in several[0]["targets"]][2:] == [
        "the output: class 4 minus class 0",
        "the log odds of class 2",
    ]


def test_one_forward_pass_a_sample(lrp_cli: Cli, conv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("models.py:Conv")
    monkeypatch.setattr("lrp.models.load_model", lambda *_: model)
    read_json(lrp_cli, *conv, *ALL)
    assert model.runs == 2


def test_text(lrp_cli: Cli, conv: list[str], singles: list[list[dict[str, Any]]]) -> None:
    result = lrp_cli("explain", *conv, "--layers", "all", *ALL)
    parts = result.stdout.split("sample ")[1:]
    heads = [f"{number}, target {k}: {words}" for number in (1, 2) for k, words in enumerate(TARGETS, start=1)]
    assert [part.partition("\n")[0] for part in parts] == heads
    for part, single in zip(parts, [runs[number] for number in (0, 1) for runs in singles], strict=True):
        assert f"explained  {single['explained']:+.5g}   {single['target']}\n" in part
        table = part[part.index("relevance by layer") :].split("\n\n")[0].splitlines()[1:-1]
        assert [line.split()[0] for line in table] == ["output", "fc", "conv", "input"]
        sums = [single["explained"], *(item["sum"] for item in [*single["layers"], *single["inputs"]])]
        assert [line.split()[1] for line in table] == [f"{value:+.5g}" for value in sums]


def test_csv(lrp_cli: Cli, conv: list[str], singles: list[list[dict[str, Any]]]) -> None:
    rows = list(csv.DictReader(io.StringIO(lrp_cli("explain", *conv, *ALL, "--format", "csv").stdout)))
    assert list(rows[0]) == ["sample", "asked", "layer", "index", "feature", "value", "relevance"]
    assert len(rows) == 2 * 4 * 90
    for target, samples in zip(TARGETS, singles, strict=True):
        for sample in samples:
            found = [row for row in rows if row["asked"] == target and row["sample"] == str(sample["sample"])]
            expected = np.ravel(sample["inputs"][0]["relevance"])
            np.testing.assert_allclose([float(row["relevance"]) for row in found], expected, rtol=1e-10, atol=1e-15)


def test_npz(lrp_cli: Cli, conv: list[str], singles: list[list[dict[str, Any]]], tmp_path: Path) -> None:
    assert lrp_cli("explain", *conv, "--layers", "all", *ALL, "--out", "r.npz").exit_code == 0
    with np.load(tmp_path / "r.npz", allow_pickle=False) as read:
        assert read["targets"].tolist() == TARGETS
        expected = [[sample["explained"] for sample in samples] for samples in singles]
        np.testing.assert_allclose(read["explained"], expected)
        for number in (1, 2):
            for k, samples in enumerate(singles):
                (source,) = samples[number - 1]["inputs"]
                np.testing.assert_allclose(read[f"{number}/inputs/input"][k], source["relevance"], rtol=1e-10)
                for layer in samples[number - 1]["layers"]:
                    found = read[f"{number}/layers/{layer['name']}"][k]
                    np.testing.assert_allclose(found, layer["relevance"], rtol=1e-10, atol=1e-15)
            np.testing.assert_allclose(read[f"{number}/output"], singles[0][number - 1]["output"][0]["values"])


def test_a_picture_for_each_target(lrp_cli: Cli, conv: list[str], tmp_path: Path) -> None:
    words = [*conv, "--target", "top:2", "--target", "diff:eel,0"]
    assert lrp_cli("explain", *words, "--out", "maps", "--format", "png").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == [
        "heatmap-1-target1-top-2.png",
        "heatmap-1-target2-diff-eel-0.png",
        "heatmap-2-target1-top-2.png",
        "heatmap-2-target2-diff-eel-0.png",
    ]
    Image.new("RGB", (6, 5), (250, 20, 90)).save(tmp_path / "x.png")
    assert lrp_cli("explain", conv[0], "x.png", *words[2:], "--out", "one", "--format", "png").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        f"{kind}-target{which}.png" for kind in ("heatmap", "overlay") for which in ("1-top-2", "2-diff-eel-0")
    ]
    with Image.open(tmp_path / "one" / "heatmap-target2-diff-eel-0.png") as picture:
        assert picture.info["lrp:target"] == "the output: class 4 minus class 0"


def test_tokens(lrp_cli: Cli, conv: list[str]) -> None:
    words = ["--target", "token:-1", "--target", "token:0=5"]
    samples = read_json(lrp_cli, "models.py:Text", "text.npy", *words)
    x = torch.from_numpy(np.load("text.npy"))
    with torch.no_grad():
        y = load_model("models.py:Text")(x)
    for number, sample in enumerate(samples):
        last, first = sample["targets"]
        best = int(y[number, -1].argmax())
        assert (last["class"], first["class"]) == (best, 5)
        assert last["target"] == f"the output of token {best} (top token at position -1)"
        assert last["explained"] == pytest.approx(float(y[number, -1, best]))
        assert first["explained"] == pytest.approx(float(y[number, 0, 5]))
        assert not np.any(np.array(first["inputs"][0]["relevance"])[1:])


def test_log_odds_are_not_called_a_logit(lrp_cli: Cli, conv: list[str]) -> None:
    (sample, _) = read_json(lrp_cli, "models.py:Shares", "text.npy", "--target", "logodds:1")
    share = sample["output"][0]["values"][1]
    assert sample["target"] == "the log odds of class 1"
    assert sample["explained"] == pytest.approx(np.log(share / (1 - share)))


def test_plan_takes_several_targets(lrp_cli: Cli, conv: list[str]) -> None:
    result = lrp_cli("plan", *conv, *ALL)
    assert result.exit_code == 0
    assert "conv" in result.stdout
