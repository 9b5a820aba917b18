import csv
import io
import json

import numpy as np
import pytest
import torch

from lrp.cli.options import Request
from lrp.cli.records import Layer, Row, Sample, Source, arrays
from lrp.cli.rows import csv_of, lines_of
from lrp.cli.tables import json_of, npz_of
from lrp.cli.text import text_of


@pytest.fixture
def sample() -> Sample:
    return Sample(
        number=3,
        explained=2.0,
        target="the logit of class 1",
        index=1,
        output=(Layer("output", np.array([0.25, 0.75])),),
        layers=(Layer("fc2", np.array([0.5, 1.25])), Layer("fc1", np.arange(40.0) / 780 * 1.5)),
        sources=(
            Source("input", np.array([10.0, -20.0, 0.0]), np.array([0.5, -1.0, 1.5]), ("age", "mean size", "dose")),
        ),
        rows=(
            Row("fc2", "fc2", "bias", 0.25),
            Row("fc1", "fc1", "bias", 0.5),
            Row("add", "", "stabiliser", 0.25),
            Row("relu", "", "shift", 0.0),
        ),
        residual=1e-9,
        amplification=1.5,
        composite="zero",
        why="no convolution was met",
        notes=("the final softmax was stepped over",),
    )


def test_text_says_what_was_explained(sample: Sample) -> None:
    text = text_of(sample)
    assert text.startswith("sample 3\n  explained  +2   the logit of class 1\n  output     +0.25 +0.75\n")
    assert "zero: no convolution was met" in text
    assert "note       the final softmax was stepped over" in text


def test_text_sets_each_layers_sum_beside_the_explained_value(sample: Sample) -> None:
    lines = [line.split() for line in text_of(sample).splitlines()]
    for row in (["output", "+2", "0"], ["fc2", "+1.75", "+0.25"], ["fc1", "+1.5", "+0.5"], ["input", "+1", "+1"]):
        assert row in lines


def test_text_lists_features_by_size_with_value_and_share(sample: Sample) -> None:
    lines = [line.split() for line in text_of(sample).splitlines()]
    start = next(index for index, line in enumerate(lines) if line[:3] == ["input", "by", "feature"])
    assert lines[start + 1 : start + 4] == [
        ["dose", "0", "+1.5", "+75.0", "%"],
        ["mean", "size", "-20", "-1", "-50.0", "%"],
        ["age", "+10", "+0.5", "+25.0", "%"],
    ]


def test_text_lists_all_of_few_neurons_and_the_largest_of_many(sample: Sample) -> None:
    text = text_of(sample)
    assert "fc2: 2 values\n     0:       +0.5      +1.25\n" in text
    largest = text[text.index("fc1: the 10 largest of 40 values") :].split("\n\n")[0].splitlines()
    assert len(largest) == 11
    assert largest[1].split() == ["[39]", "+0.075"]


def test_text_ends_with_the_ledger_by_kind(sample: Sample) -> None:
    ledger = text_of(sample).split("ledger\n")[1]
    assert [line.split()[:4] for line in ledger.splitlines()] == [
        ["explained", "+2", *[]][:4],
        ["reached", "the", "input", "+1"],
        ["kept", "as", "bias", "+0.75"],
        ["kept", "as", "stabiliser", "+0.25"],
        ["residual", "+1.0e-09", "explained", "-"],
        ["amplification", "1.5", "sum", "of"],
    ]
    assert "fc1 +0.5, fc2 +0.25" in ledger
    assert "add +0.25" in ledger


def test_text_without_layers_features_or_explained_value(sample: Sample) -> None:
    bare = Sample(**{**vars(sample), "layers": (), "explained": 0.0, "rows": ()})
    source = Source("input", sample.sources[0].inputs, sample.sources[0].values, ())
    text = text_of(Sample(**{**vars(bare), "sources": (source,)}))
    assert "[2]" in text
    assert "%" not in text


def test_text_names_the_best_classes() -> None:
    output = np.arange(20.0)
    sample = Sample(1, 1.0, "t", 19, (Layer("output", output),), (), (), (), 0.0, 1.0, "zero", "", ())
    labels = tuple(f"class {number}" for number in range(19))
    assert "19 +19, 18 class 18 +18," in text_of(sample, labels)


def test_json_holds_everything(sample: Sample) -> None:
    read = json.loads(json_of([sample], Request("net.py:Net", weights="w.pth", inputs=("x.csv",))))
    assert {key: read[key] for key in ("lrp", "model", "inputs", "weights", "through_output", "failed")} == {
        "lrp": 1,
        "model": "net.py:Net",
        "inputs": ["x.csv"],
        "weights": "w.pth",
        "through_output": False,
        "failed": [],
    }
    (one,) = read["samples"]
    assert one["sample"] == 3
    assert one["explained"] == 2.0
    assert one["class"] == 1
    assert one["composite"] == {"name": "zero", "why": "no convolution was met"}
    assert one["layers"][0] == {"name": "fc2", "shape": [2], "sum": 1.75, "relevance": [0.5, 1.25]}
    assert one["inputs"] == [
        {
            "name": "input",
            "features": ["age", "mean size", "dose"],
            "values": [10.0, -20.0, 0.0],
            "shape": [3],
            "sum": 1.0,
            "relevance": [0.5, -1.0, 1.5],
        }
    ]
    assert one["ledger"]["rows"][0] == {"call": "fc2", "where": "fc2", "kind": "bias", "amount": 0.25}
    assert one["ledger"]["residual"] == 1e-9


def test_json_knows_no_infinity_and_leaves_large_arrays_to_npz(sample: Sample) -> None:
    layers = (Layer("big", np.ones((70, 70))), Layer("hole", np.array([np.nan, 1.0])))
    changed = Sample(**{**vars(sample), "layers": layers, "amplification": float("inf")})
    text = json_of([changed], Request("m"))
    assert "NaN" not in text
    assert "Infinity" not in text
    one = json.loads(text)["samples"][0]
    assert one["layers"][0] == {"name": "big", "shape": [70, 70], "sum": 4900.0, "relevance": None}
    assert one["layers"][1]["relevance"] == [None, 1.0]
    assert one["ledger"]["amplification"] is None


def test_csv_has_a_line_for_each_number(sample: Sample) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_of(list(lines_of([sample, sample]))))))
    assert len(rows) == 2 * (2 + 40 + 3)
    keys = {
        "sample": "3",
        "layer": "input",
        "index": "1",
        "feature": "mean size",
        "value": "-20.0",
        "relevance": "-1.0",
    }
    assert rows[43] == keys
    assert rows[0]["layer"] == "fc2"
    assert rows[0]["feature"] == rows[0]["value"] == ""


def test_npz_holds_every_array(sample: Sample) -> None:
    read = np.load(io.BytesIO(npz_of([sample])), allow_pickle=False)
    assert set(read) == {"explained", "3/output", "3/layers/fc2", "3/layers/fc1", "3/inputs/input"}
    assert read["explained"].tolist() == [2.0]
    assert read["3/inputs/input"].tolist() == [0.5, -1.0, 1.5]


def test_structures_become_named_arrays() -> None:
    one = torch.ones(1, 3)
    found = arrays("block", (one, None, {"hidden": one.bfloat16(), "ids": torch.tensor([4])}))
    assert [(name, values.tolist()) for name, values in found] == [
        ("block[0]", [1, 1, 1]),
        ("block[2].hidden", [1, 1, 1]),
        ("block[2].ids", 4),
    ]
