"""`lrp.record`: relevance through any code, no model needed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import errors, on, presets, rules
from tests.cases.networks import CASES

W = torch.tensor([[2.0, -1.0, 0.5], [1.0, 3.0, -2.0]], dtype=torch.float64)
X = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], dtype=torch.float64)


def test_scalar_of_plain_code():
    with lrp.record() as tape:
        x = tape.source(X[0])
        y = (W @ x).relu()
    r = tape.relevance(y[0])
    assert r.input.tolist() == [2.0, -2.0, 1.5]
    assert r.explained.tolist() == [1.5]
    assert r.composite.name == "zero"
    assert float(r.ledger.residual) == 0


def test_one_number_per_sample():
    with lrp.record() as tape:
        y = F.linear(tape.source(X), W)
    r = tape.relevance(y[:, 1])
    torch.testing.assert_close(r.input, X * W[1])
    torch.testing.assert_close(r.explained, X @ W[1])
    books = r.ledger.by_sample()
    torch.testing.assert_close(books.sources, X @ W[1])


def test_same_numbers_as_explain():
    for name in ("vgg_bn", "residual_functional"):
        model, x = CASES[name].build(), CASES[name].inputs()
        for preset in (presets.zero, presets.epsilon_plus_flat):
            with lrp.record(preset()) as tape:
                y = model(tape.source(x))
            truth = lrp.explain(model, x, target=1, composite=preset())
            torch.testing.assert_close(tape.relevance(y[:, 1]).input, truth.input, rtol=1e-12, atol=1e-15)
            assert torch.equal(y.detach(), truth.output)


def test_several_sources_in_order():
    with lrp.record() as tape:
        a, b = tape.source(X[0]), tape.source(X[1])
        y = (2 * a + 3 * b).sum()
    r = tape.relevance(y)
    assert [each.tolist() for each in r.input] == [(2 * X[0]).tolist(), (3 * X[1]).tolist()]
    assert float(r.explained) == float((2 * X[0] + 3 * X[1]).sum())


def test_source_that_is_not_used_has_no_relevance():
    with lrp.record() as tape:
        a, _ = tape.source(X[0]), tape.source(X[1])
        y = a.sum()
    r = tape.relevance(y)
    assert torch.equal(r.input[0], X[0])
    assert r.input[1] is None or not r.input[1].any()
    assert "explained" in str(r)


def test_source_in_the_middle():
    """What came before it is a constant."""
    with lrp.record() as tape:
        h = tape.source(F.relu(X @ W.T))
        y = h.sum(1)
    assert torch.equal(tape.relevance(y).input, F.relu(X @ W.T))


def test_several_relevances_of_one_recording():
    with lrp.record() as tape:
        y = F.linear(tape.source(X), W)
    first, second = tape.relevance(y[0, 0]), tape.relevance(y[1, 1])
    again = tape.relevance(y[0, 0])
    assert torch.equal(first.input, again.input)
    torch.testing.assert_close(first.input[0], X[0] * W[0])
    assert not first.input[1].any()
    torch.testing.assert_close(second.input[1], X[1] * W[1])


def test_explained_number_may_be_worked_out_within_or_behind_the_block():
    with lrp.record() as tape:
        y = F.linear(tape.source(X), W)
        inside = y[:, 0] - y[:, 1]
    r = tape.relevance(inside)
    torch.testing.assert_close(r.input, X * (W[0] - W[1]))


def test_composite_and_levels():
    composite = lrp.Composite([(on.linear, rules.Epsilon(0.5))])
    with lrp.record(composite, ledger="calls") as tape:
        y = F.linear(tape.source(X), W)
    r = tape.relevance(y[0, 0])
    z = float(X[0] @ W[0])
    torch.testing.assert_close(r.input[0], X[0] * W[0] * z / (z + 0.5))
    assert r.ledger.worst is not None
    with lrp.record(ledger=False) as tape:
        y = tape.source(X).sum()
    assert tape.relevance(y).ledger is None


def test_entry_that_matches_nothing_is_refused():
    with lrp.record(lrp.Composite([(on.conv, rules.ZPlus())])) as tape:
        y = tape.source(X).sum()
    with pytest.raises(errors.CompositeError, match="matched no op call"):
        tape.relevance(y)


def test_module_paths_start_with_the_type():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    with lrp.record() as tape:
        y = model(tape.source(X))
    r = tape.relevance(y[:, 0])
    assert [row.path for row in r.plan if row.operation == "linear"] == ["Sequential.0", "Sequential.2"]


def test_module_paths_can_be_selected():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    with lrp.record(lrp.Composite([("Sequential.2", rules.Epsilon())])) as tape:
        y = model(tape.source(X))
    r = tape.relevance(y[:, 0])
    assert [row.rule for row in r.plan if row.operation == "linear"] == ["Zero()", "Epsilon(epsilon=1e-06)"]


def test_top_and_totals_of_a_vector_that_is_one_sample():
    """The explained scalar is one sample: its source has no batch axis."""
    with lrp.record() as tape:
        x = tape.source(torch.tensor([1.0, -5.0, 2.0]))
        y = (x * torch.tensor([1.0, 2.0, 3.0])).sum()
    r = tape.relevance(y)
    assert [(item.at, item.relevance) for item in r.top(2)[0]] == [((1,), -10.0), ((2,), 6.0)]
    (total,) = r.totals().values()
    assert total.relevance.tolist() == [-3.0]
    assert total.share.tolist() == [1.0]


def test_top_of_a_scalar_over_a_batch_looks_at_all_of_it():
    with lrp.record() as tape:
        y = F.linear(tape.source(X), W)
    r = tape.relevance(y[1, 1])
    ((first, *_),) = r.top(1)
    assert first.relevance == float((X[1] * W[1]).abs().max() * -1)


BAD: dict[str, Any] = {
    "matrix": lambda tape, x: tape.relevance(x * 2),
    "number": lambda tape, x: tape.relevance(2.0),
    "integer": lambda tape, x: tape.relevance(torch.tensor(3)),
}


@pytest.mark.parametrize("what", BAD)
def test_relevance_starts_at_numbers(what: str):
    with lrp.record() as tape:
        x = tape.source(X)
        x * 2
    with pytest.raises(errors.TargetError, match="a scalar or at one number per sample"):
        BAD[what](tape, x)


@pytest.mark.parametrize("source", [[1.0], X[:0], X * torch.nan], ids=range(3))
def test_bad_sources_are_refused(source: Any):
    with lrp.record() as tape, pytest.raises(errors.InputError):
        tape.source(source)


def test_recording_without_a_source_is_refused():
    with lrp.record() as tape:
        y = X.sum()
    with pytest.raises(lrp.LRPError):
        tape.relevance(y)


def test_what_was_not_recorded_is_refused():
    with lrp.record() as tape:
        x = tape.source(X)
    y = torch.special.erfcx(x).sum()
    with pytest.raises(lrp.LRPError):
        tape.relevance(y)


def test_an_exception_in_the_block_passes_and_leaves_nothing_behind():
    def fails() -> None:
        with lrp.record() as tape:
            tape.source(X)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fails()
    assert not torch.overrides._get_current_function_mode_stack()
    assert not nn.modules.module._global_forward_hooks


def test_weights_changed_behind_the_block_are_noticed():
    weight = W.clone()
    with lrp.record() as tape:
        y = F.gelu(F.linear(tape.source(X), weight)).sum(1)
    truth = tape.relevance(y).input
    weight.mul_(2)
    with pytest.warns(lrp.LRPWarning, match="do not balance"):
        later = tape.relevance(y).input
    assert not torch.equal(truth, later)


def test_nested_function_with_grad_mode_off_outside():
    def score(x: Tensor) -> Tensor:
        return F.linear(x, W).max(1).values

    with torch.no_grad(), lrp.record() as tape:
        y = score(tape.source(X))
    r = tape.relevance(y)
    torch.testing.assert_close(r.input.sum(1), score(X))


def test_a_source_that_is_overwritten_behind_the_block_keeps_its_numbers():
    x = X.clone()
    with lrp.record() as tape:
        y = F.linear(tape.source(x), W)
        score = y[:, 0]
    x.zero_()
    assert torch.equal(tape.relevance(score).input, X * W[0])
