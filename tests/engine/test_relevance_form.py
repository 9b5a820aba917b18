"""Runs that carry relevance instead of multipliers: the same numbers, and rules that no multiplier can express."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lrp
from lrp import on, presets, rules
from lrp.engine.run import Run
from tests.cases.linear_calls import LINEAR_CALLS
from tests.cases.networks import CASES, signed
from tests.engine.checks import PRESETS, assert_balanced, assert_same
from tests.ops.driving import assert_books_balance, drive, kept, multiplier_for
from tests.ops.operations import AFFINE, SELECTING
from tests.rules.twins import matrix

OPERATIONS = {**AFFINE, **SELECTING}


class Forced(Run):
    """A run that always asks for relevance form."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.needs_relevance_form = True


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Within `forced.context()` every run is in relevance form."""
    return monkeypatch


def both_forms(forced: pytest.MonkeyPatch, explain: Any) -> tuple[lrp.Relevance, lrp.Relevance]:
    multipliers = explain()
    with forced.context() as patch:
        patch.setattr("lrp.explainer.Run", Forced)
        return multipliers, explain()


def amounts(r: lrp.Relevance) -> dict[str, float]:
    assert r.ledger is not None
    return {kind: float(amount) for kind, amount in r.ledger.by_kind().items() if amount != 0}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["conv1d_net", "vgg_bn", "resnet18_small", "depthwise_net"])
def test_networks(forced: pytest.MonkeyPatch, name: str, preset: str) -> None:
    case = CASES[name]
    model, x = case.build(), case.inputs()
    m, r = both_forms(
        forced, lambda: lrp.explain(model, x, composite=PRESETS[preset](), keep="all", target=1, ledger="calls")
    )
    assert_same(r.input, m.input)
    assert r.layers.keys() == m.layers.keys()
    for path in m.layers:
        assert_same(r[path], m[path], 1e-11)
    assert_balanced(r)
    for call, lost in (r.ledger.lost or {}).items():
        assert float(lost.abs()) <= 1e-12 * float(r.ledger.scale), call
    assert amounts(r) == pytest.approx(amounts(m), abs=1e-11 * float(m.ledger.scale))


@pytest.mark.parametrize("preset", ["zero", "epsilon"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(forced: pytest.MonkeyPatch, name: str, preset: str) -> None:
    function, shape = OPERATIONS[name]
    x = signed(*shape, seed=len(name))
    if "batch_norm" in name and preset == "epsilon":
        x[x == 0] = 0.1  # Pass at 0: a multiplier has nothing to hand relevance on by
    arriving = multiplier_for(function(x).detach())
    m, r = both_forms(forced, lambda: drive(function, x, arriving, PRESETS[preset](), ledger="calls"))
    assert_same(r.input, m.input)
    assert_books_balance(r)


EACH_RULE: list[rules.Rule] = [
    *(rules.Zero(), rules.Epsilon(0.3), rules.Epsilon(0.3, relative=True), rules.ZPlus(0.3), rules.Flat(0.1)),
    *(rules.Gamma(0.5, 0.1), rules.AlphaBeta(2, 1, 0.3), rules.WSquare(0.1), rules.Box(-4, 5, 0.1)),
]


@pytest.mark.parametrize("rule", EACH_RULE, ids=str)
@pytest.mark.parametrize("name", LINEAR_CALLS)
def test_linear_calls(forced: pytest.MonkeyPatch, name: str, rule: rules.Rule) -> None:
    case = LINEAR_CALLS[name]
    arriving = multiplier_for(case.apply(case.x, case.weight, case.bias))

    def explain() -> lrp.Relevance:
        run = case.apply
        entries = [(on.conv | on.linear, rule)]
        return drive(lambda x: run(x, case.weight, case.bias), case.x, arriving, entries, ledger="calls")

    m, r = both_forms(forced, explain)
    assert_same(r.input, m.input)
    assert_books_balance(r)


def test_explanations_by_sample(forced: pytest.MonkeyPatch) -> None:
    case = CASES["vgg_bn"]
    m, r = both_forms(forced, lambda: lrp.explain(case.build(), case.inputs(), composite=presets.epsilon_plus()))
    assert_same(r.ledger.by_sample().sources, m.ledger.by_sample().sources)


# --- rules for input layers on hidden op calls ------------------------------------------------------------------------


class TwoConvolutions(nn.Module):
    """conv, ReLU, max pool, conv, ReLU, linear; the second convolution's inputs are often zero."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 3, padding=1), nn.Linear(16, 2)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.fc(F.relu(self.conv2(x)).flatten(1))


def test_hidden_flat_reaches_units_that_are_zero() -> None:
    """Against dense matrices in relevance form, step by step."""
    torch.manual_seed(1)
    model, x = TwoConvolutions(), signed(1, 2, 6, 6, seed=5)
    with torch.no_grad():
        model.conv1.bias -= 1
    entries = [("conv2", rules.Flat(0.0)), (on.conv, rules.Epsilon(0.0)), (on.activation, rules.Pass())]
    r = lrp.explain(model, x, target=1, composite=lrp.Composite(entries), keep="all", ledger="calls")

    with torch.no_grad():
        z1 = model.conv1(x)
        hidden = F.max_pool2d(F.relu(z1), 2)
        z2 = model.conv2(hidden)
        above = F.relu(z2).flatten() * model.fc.weight[1]
        joined = torch.tensor(
            matrix(lambda t: F.conv2d(t, torch.ones(4, 3, 3, 3).double(), padding=1), hidden), dtype=x.dtype
        )
        below = (joined / joined.sum(1, keepdim=True)).T @ above
        assert float(below.reshape(hidden.shape)[hidden == 0].abs().sum()) > 1e-3, "no zero unit got anything"
        _, places = F.max_pool2d(F.relu(z1), 2, return_indices=True)
        arrived = F.max_unpool2d(below.reshape(hidden.shape), places, 2)
        weights = torch.tensor(matrix(lambda t: F.conv2d(t, model.conv1.weight), x), dtype=x.dtype)
        truth = x.flatten() * (weights.T @ (arrived / z1).flatten())
    assert_same(r["conv2", "in"], below.reshape(hidden.shape))
    assert_same(r["conv1"], arrived)
    assert_same(r.input, truth.reshape(x.shape))
    assert_balanced(r)
    assert all(float(lost.abs()) <= 1e-12 * float(r.ledger.scale) for lost in r.ledger.lost.values())


def test_only_runs_that_need_it_carry_relevance(monkeypatch: pytest.MonkeyPatch) -> None:
    forms: list[bool] = []

    class Noted(Run):
        def __init__(self, *args: Any, relevance_form: bool = False, **options: Any) -> None:
            super().__init__(*args, relevance_form=relevance_form, **options)
            forms.append(relevance_form)

    monkeypatch.setattr("lrp.explainer.Run", Noted)
    model, x = TwoConvolutions(), signed(1, 2, 6, 6, seed=5)
    lrp.explain(model, x, composite=presets.epsilon_plus_flat())
    assert forms == [False]
    lrp.explain(model, x, composite=lrp.Composite([(on.conv, rules.Flat())]))
    assert forms == [False, False, True]


def test_what_is_filled_in_keeps_its_part_of_a_hidden_flat() -> None:
    """Three units, one of them zero, beside a constant: each gets a quarter, and the constant's stays there."""
    x = torch.tensor([[1.0, -2.0, 3.0]], dtype=torch.float64)

    def model(x: Tensor) -> Tensor:
        hidden = torch.cat([F.relu(x), torch.zeros(1, 1, dtype=x.dtype)], 1)
        return F.linear(hidden, torch.tensor([[1.0, 1.0, 1.0, 1.0]], dtype=x.dtype))

    entries = [(on.linear, rules.Flat(0.0))]
    for level in ("sinks", "calls"):
        r = lrp.explain(model, x, composite=lrp.Composite(entries), ledger=level)
        assert r.input.tolist() == [[1.0, 1.0, 1.0]]
        assert kept(r, "constant") == 1.0
        assert_books_balance(r)


def test_what_finds_nothing_to_be_shared_by_stays_in_the_books() -> None:
    """LRP-0 behind a hidden Flat: a unit that is zero has no parts to share its relevance among."""
    x = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    first, second = torch.tensor([[1.0, 1.0], [2.0, -1.0]]).double(), torch.tensor([[3.0, 5.0]]).double()
    entries = [("(model)", rules.Zero()), (on.linear & ~on.first, rules.Flat(0.0))]
    composite = lrp.Composite(entries, strict=False)
    r = lrp.explain(lambda x: F.linear(F.linear(x, first), second), x, composite=composite)
    # z = (3, 0), y = 9: Flat gives 4.5 to each; the first unit's go to x1 and x2 as 1 to 2
    assert r.input.tolist() == [[1.5, 3.0]]
    assert kept(r, "stabiliser") == 4.5
    assert_books_balance(r)


def test_complex_data_below_a_hidden_input_rule_is_refused() -> None:
    x = signed(1, 4, seed=1)
    entries = [(on.linear, rules.Flat())]
    with pytest.raises(lrp.errors.ModelError, match="complex"):
        lrp.explain(
            lambda x: F.linear((torch.view_as_complex(x.reshape(1, 2, 2)) * 2.0).real, torch.ones(1, 2).double()),
            x,
            composite=lrp.Composite(entries),
        )


def test_padding_with_its_default_value_keeps_what_arrives_at_it() -> None:
    """z = (2x + 1, 1, 2): the batch norm passes relevance to the zero that was padded, which keeps it."""
    norm = nn.BatchNorm1d(1, eps=0.0).double().eval()
    with torch.no_grad():
        norm.running_var.fill_(0.25)
        norm.bias.fill_(1.0)
    x = torch.tensor([[[3.0]]], dtype=torch.float64)
    entries = [(on.norm, rules.Pass())]
    for widened in (
        lambda x: F.pad(x, (0, 1)),
        lambda x: F.pad(x, (0, 1), value=0.0),
        lambda x: x.expand(1, 2, 2).triu(),
    ):
        r = lrp.explain(
            lambda x, w=widened: norm(w(x)[:, :1]).sum((1, 2)) + norm(w(x)[:, -1:]).sum((1, 2)),
            x,
            composite=lrp.Composite(entries),
        )
        assert_balanced(r)
        assert kept(r, "constant") > 0


@pytest.mark.filterwarnings("ignore:.*the map may be noise")
def test_a_gate_that_is_nearly_closed_is_as_precise_as_in_multipliers(forced: pytest.MonkeyPatch) -> None:
    """`sigmoid(-30)` is 1e-13: less its offset and again with it, three digits of it would be left."""
    x = torch.tensor([[-30.0, 2.0]], dtype=torch.float64)
    scale = torch.tensor([1e13, 1.0], dtype=torch.float64)
    m, r = both_forms(forced, lambda: lrp.explain(lambda x: (scale * x.sigmoid()).sum(1), x, composite=presets.zero()))
    assert_same(r.input, m.input)
    assert_balanced(r)


@pytest.mark.parametrize("level", [False, "sinks", "calls"])
def test_dropout_in_eval_parts_no_activation(forced: pytest.MonkeyPatch, level: Any) -> None:
    """`x * sigmoid(dropout(x))` is SiLU: x takes all, in both forms and with any books."""
    x = torch.tensor([[1.0, -2.0]], dtype=torch.float64)

    def silu(x: Tensor) -> Tensor:
        return (x * F.dropout(x, 0.5, False).sigmoid()).sum(1)

    for r in both_forms(forced, lambda: lrp.explain(silu, x, composite=presets.zero(), ledger=level)):
        assert_same(r.input, F.silu(x))
