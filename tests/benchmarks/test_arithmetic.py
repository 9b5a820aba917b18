"""The committed networks that add and subtract: relevance by LRP-all is what each step contributes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import arithmetic
from benchmarks.arithmetic import LENGTHS, PRESETS, TASKS, load, measured, sequences

RECORD = Path(arithmetic.__file__).parent / "records" / "arithmetic.json"


@pytest.mark.parametrize("task", TASKS)
def test_relevance_is_what_each_step_contributes(task: str) -> None:
    found = measured(load()[task], task, PRESETS["lrp_all"]())
    assert found["correlation over all steps"] > 0.99
    assert found["correlation over the numbers that count"] > 0.99
    of_numbers = found["mean absolute relevance of a number that counts"]
    assert found["mean absolute relevance of a distractor"] < 0.005 * of_numbers
    assert found["largest absolute relevance of a distractor"] < 0.02 * of_numbers
    assert found["root mean square error of the network"] < 0.05


@pytest.mark.parametrize("task", TASKS)
def test_the_record_holds_what_is_measured(task: str) -> None:
    recorded = json.loads(RECORD.read_text())["tasks"][task]["lrp_all"]
    assert measured(load()[task], task, PRESETS["lrp_all"]()) == pytest.approx(recorded, rel=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_two_numbers_count(task: str) -> None:
    x, contributions = sequences(task, 6, 50, torch.Generator().manual_seed(0))
    marked = x[..., 1] != 0
    assert (marked.sum(0) == 2).all()
    assert ((contributions != 0) == marked).all()
    assert ((x[..., 0] != 0) == ~marked).all()
    first, second = contributions.T[marked.T].view(50, 2).T
    a, b = x[..., 1].T[marked.T].view(50, 2).T
    assert torch.equal(first, a)
    assert torch.equal(second, b if task == "addition" else -b)
    assert len(LENGTHS) == 7
