"""Inputs and sources: the structure that relevance is given back in, and where it ends."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp
from lrp import presets
from tests.cases.networks import prepare
from tests.cases.small import FULL, MLP, MODEL, X, close

INPUTS: dict[str, tuple[Any, Any]] = {
    "tensor": (lambda x: 2 * x, X),
    "tuple": (lambda x, y: 2 * x + y, (X, X + 1)),
    "mapping": (lambda y, x: 2 * x + y, {"x": X, "y": X + 1}),
    "mixed": (lambda x, mask, scale, name=None: x * mask * scale, (X, X.long(), 2.0)),
    "nested": (lambda pair: pair[0] * 2 + pair[1]["y"], ((X, {"y": X - 2}),)),
    "list within": (lambda xs: xs[0] + xs[1], ([X, X + 1],)),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_input_relevance_has_the_inputs_structure(kind: str):
    model, inputs = INPUTS[kind]
    r = lrp.explain(model, inputs, target=0, composite=presets.zero())

    def check(relevance: Any, given: Any) -> float:
        if isinstance(given, Tensor) and given.is_floating_point():
            assert relevance.shape == given.shape
            return float(relevance.sum())
        if isinstance(given, (tuple, list, dict)):
            assert type(relevance) is type(given)
            pairs = (
                [(relevance[k], given[k]) for k in given]
                if isinstance(given, dict)
                else zip(relevance, given, strict=True)
            )
            return sum(check(a, b) for a, b in pairs)
        assert relevance is None
        return 0.0

    assert check(r.input, inputs) == pytest.approx(float(r.explained.sum()), rel=1e-12)


@pytest.mark.parametrize(("sources", "found"), [(["x"], "x"), (["y"], "y"), (["x", "y"], "xy"), (None, "xy")])
def test_sources_by_name(sources: Any, found: str):
    r = lrp.explain(lambda x, y: 2 * x + y, {"x": X, "y": X + 1}, target=0, sources=sources, composite=presets.zero())
    assert "".join(name for name, relevance in r.input.items() if relevance is not None) == found
    kept = {row.kind: float(row.amount) for row in r.ledger.rows}
    assert ("constant" in kept) == (len(found) == 1)
    assert float(r.ledger.residual) == pytest.approx(0, abs=1e-12)


def test_sources_by_position():
    r = lrp.explain(lambda x, y: 2 * x + y, (X, X + 1), target=0, sources=[1], composite=presets.zero())
    assert r.input[0] is None
    close(r.input[1][:, 0], X[:, 0] + 1)
    assert torch.equal(lrp.explain(MODEL, X, sources=[0]).input, lrp.explain(MODEL, X).input)


def test_a_tensor_given_twice_is_a_source_where_it_was_named():
    r = lrp.explain(lambda x, y: 2 * x + y, (X, X), target=0, sources=[0], composite=presets.zero())
    close(r.input[0][:, 0], 2 * X[:, 0])
    assert r.input[1] is None


def test_module_path_as_source():
    """Relevance ends at its output; nothing below needs a rule."""
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    prepare(model, seed=1)
    full = lrp.explain(model, X, target=1, composite=presets.zero(), keep="all")
    r = lrp.explain(model, X, target=1, composite=presets.zero(), sources="1", keep="all")
    close(r["1"], full["1"])
    close(r.ledger.sources, full["1"].sum())
    assert r.input is None
    assert {row.where for row in r.ledger.rows} == {"2"}
    assert list(r.layers) == ["2", "1"]


def test_module_path_as_source_is_kept_without_asking():
    model = prepare(MLP(), seed=1)
    r = lrp.explain(model, X, target=1, composite=presets.zero(), sources="act")
    close(r["act"], FULL["act"])
