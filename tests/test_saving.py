"""Results in files: what is saved comes back, and nothing else is read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp
from lrp import errors
from lrp.relevance import Relevance
from tests.cases.networks import CASES
from tests.cases.small import FULL, MODEL, X


@dataclasses.dataclass
class Record:
    first: Tensor
    name: str


class Part(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, None, list[Tensor]]:
        return x * 2, None, [x + 1, x.argmax(1)]


class Shapes(nn.Module):
    """A module within that returns a structure."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Part()

    def forward(self, x: Tensor) -> Tensor:
        a, _, (b, _) = self.part(x)
        return a + b


def same(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, Tensor):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            same(ours[key], theirs[key])
    elif isinstance(theirs, (tuple, list)):
        assert type(ours) is type(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            same(mine, other)
    else:
        assert ours == theirs


RESULTS: dict[str, Any] = {
    "all": lambda: FULL,
    "bare": lambda: lrp.explain(MODEL, X, ledger=False),
    "calls": lambda: lrp.explain(MODEL, X, ledger="calls"),
    "automatic": lambda: lrp.explain(CASES["vgg_bn"].build(), CASES["vgg_bn"].inputs(), keep={"2*": lrp.channels}),
    "structured": lambda: lrp.explain(Shapes(), X, keep="all", target=0),
    "inputs": lambda: lrp.explain(lambda x, mask, name: x * mask, {"x": X, "mask": X.long(), "name": "n"}, target=0),
    "outputs": lambda: lrp.explain(lambda x: {"logits": x, "more": (x, None, [1, "a"])}, X, target=0),
    "stepped": lambda: lrp.explain(lambda x: torch.sigmoid(x), X, target=lrp.targets.Top(2)),
    "brain float": lambda: lrp.explain(lambda x: x * 2, X.bfloat16(), target=0),
    "float32 view": lambda: lrp.explain(lambda x: x.T.contiguous().T, X.float().T.contiguous().T, target=0),
}


@pytest.mark.parametrize("what", RESULTS)
def test_save_and_load(what: str, tmp_path: Path):
    r = RESULTS[what]()
    r.save(tmp_path / "r.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["r.safetensors"]
    loaded = Relevance.load(tmp_path / "r.safetensors")
    for part in ("input", "values", "output", "explained", "indices", "layers", "layer_inputs"):
        same(getattr(loaded, part), getattr(r, part))
    assert str(loaded) == str(r)
    assert str(loaded.plan) == str(r.plan)
    assert loaded.plan == r.plan
    assert list(loaded.notes) == list(r.notes)
    assert (loaded.ledger is None) == (r.ledger is None)
    if r.ledger is not None:
        assert loaded.ledger.rows == r.ledger.rows
        assert float(loaded.ledger.residual) == float(r.ledger.residual)
        with pytest.raises(lrp.LRPError, match="totals of the batch alone"):
            loaded.ledger.by_sample()
    loaded.save(tmp_path / "again.safetensors")
    assert str(Relevance.load(tmp_path / "again.safetensors")) == str(r)


def test_loaded_result_answers_like_the_first(tmp_path: Path):
    FULL.save(tmp_path / "r.safetensors")
    loaded = Relevance.load(tmp_path / "r.safetensors")
    assert torch.equal(loaded["fc1", "in"], FULL["fc1", "in"])
    assert loaded.top(2) == FULL.top(2)
    assert torch.equal(loaded.totals()["input"].share, FULL.totals()["input"].share)
    with pytest.raises(errors.LayerError, match="'fc1'"):
        loaded["fc11"]


def test_inputs_can_stay_out_of_the_file(tmp_path: Path):
    FULL.save(tmp_path / "r.safetensors", values=False)
    loaded = Relevance.load(tmp_path / "r.safetensors")
    assert loaded.values is None
    same(loaded.input, FULL.input)


def test_output_that_is_an_object_is_saved_with_its_numbers(tmp_path: Path):
    r = lrp.explain(lambda x: Record(x * 2, "n"), X, target=lambda y: y.first[:, 0])
    r.save(tmp_path / "r.safetensors")
    output = Relevance.load(tmp_path / "r.safetensors").output
    assert "tensor(" not in str(output) or isinstance(output, (dict, Record))
    assert torch.equal(output["first"] if isinstance(output, dict) else output.first, X * 2)


@pytest.mark.parametrize(
    "content", [None, b"", b"no safetensors", b"PK\x03\x04"], ids=["missing", "empty", "text", "zip"]
)
def test_file_that_is_no_result(content: bytes | None, tmp_path: Path):
    path = tmp_path / "r.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.LoadError) as caught:
        Relevance.load(path)
    assert "r.safetensors" in str(caught.value)


def test_file_of_other_tensors_is_refused(tmp_path: Path):
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(errors.LoadError, match="no result of lrp"):
        Relevance.load(tmp_path / "w.safetensors")


def test_saving_elsewhere_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(errors.LoadError, match=r"\.safetensors"):
        FULL.save(tmp_path / "r.pt")
    with pytest.raises((OSError, errors.LRPError)):
        FULL.save(tmp_path / "missing" / "r.safetensors")
    assert not list(tmp_path.iterdir())


def test_saving_that_fails_at_the_end_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "r.safetensors"
    FULL.save(path)
    before = path.read_bytes()

    def fails(*args: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises((OSError, errors.LRPError)):
        FULL.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["r.safetensors"]
    assert path.read_bytes() == before
