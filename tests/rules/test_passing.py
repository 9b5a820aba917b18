"""Stop ends relevance, PassDetached takes it past a cut."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lrp
from lrp import on, rules
from lrp.errors import CompositeError, DetachedError
from tests.cases.networks import prepare, signed
from tests.engine.test_detached import CUTS, Cut, PartlyCut, linear
from tests.ops.driving import assert_books_balance, assert_same_map, drive, kept, multiplier_for

X = signed(3, 4, seed=1)


def part_in_place(x: Tensor) -> Tensor:
    x = 3 * x
    x[:, 1:].tanh_()
    return x


LEVELS = ["sinks", "calls"]

# What is stopped, and the function without it. `x` reaches the output by another way too.
STOPPED: dict[str, tuple[Any, Any, Any]] = {
    "activation": (on.op(torch.tanh), lambda x: 2 * x + torch.tanh(x), lambda x: 2 * x),
    "linear": (on.linear, lambda x: 2 * x + F.linear(x, torch.eye(4).double()), lambda x: 2 * x),
    "product": (on.product, lambda x: 2 * x + x * x.exp(), lambda x: 2 * x),
    "sum": (on.sum, lambda x: torch.cat([2 * x, x + x.tanh()], 1), lambda x: torch.cat([2 * x, 0 * x], 1)),
    "view": (on.op(torch.Tensor.view), lambda x: 2 * x + x.view(3, 4), lambda x: 2 * x),
    "in place": (on.activation, lambda x: 2 * x + (3 * x).tanh_(), lambda x: 2 * x),
    "in place in a part": (on.activation, part_in_place, lambda x: 3 * x * torch.tensor([1.0, 0, 0, 0]).double()),
    "several outputs": (on.op(torch.sort), lambda x: 2 * x + torch.sort(x, 1).values, lambda x: 2 * x),
    "without a rule": (on.op(torch.frac), lambda x: 2 * x + torch.frac(x), lambda x: 2 * x),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", STOPPED)
def test_nothing_passes_a_stop(name: str, level: Any) -> None:
    selector, function, rest = STOPPED[name]
    m = multiplier_for(function(X))
    ours = drive(function, X, m, [(selector, rules.Stop())], ledger=level)
    truth = drive(rest, X, m)
    assert_same_map(ours.input, truth.input)
    assert kept(ours, "stopped") == pytest.approx(float(((function(X) - rest(X)) * m).sum()), rel=1e-12)
    assert_books_balance(ours)
    assert torch.equal(ours.output, function(X))


def test_a_stop_on_a_convolution_is_not_folded_away() -> None:
    net = prepare(nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Flatten(), nn.Linear(9, 2)), 1)
    x = signed(2, 2, 5, seed=3)
    composite = lrp.Composite([("0", rules.Stop()), (on.conv | on.linear, rules.Epsilon())], strict=False)
    r = lrp.explain(net, x, target=1, composite=composite, ledger="calls")
    assert not r.input.any()
    assert kept(r, "stopped") != 0
    assert_books_balance(r)


def test_a_stop_keeps_relevance_in_relevance_form() -> None:
    w = torch.ones(1, 8).double()

    def model(x: Tensor) -> Tensor:
        return F.linear(torch.cat([x.relu(), torch.tanh(x)], 1), w)

    entries = [(on.op(torch.tanh), rules.Stop()), (on.linear, rules.Flat(0.0))]
    r = drive(model, X, torch.ones(3, 1).double(), entries, ledger="calls")
    assert_same_map(r.input, (model(X) / 8).expand(3, 4))
    assert kept(r, "stopped") == pytest.approx(float(model(X).sum()) / 2, rel=1e-12)
    assert_books_balance(r)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cut", CUTS)
def test_pass_detached_gives_the_map_of_the_model_without_its_cut(cut: str, level: Any) -> None:
    entries = [("*", rules.PassDetached())]
    for build in (lambda cut: linear(Cut(cut)), lambda cut: linear(PartlyCut(cut, 2.0))):
        model = build(cut)
        x = signed(3, 5, seed=2).abs()
        with pytest.raises(DetachedError):
            lrp.explain(model, x, target=1)
        ours = lrp.explain(model, x, target=1, composite=lrp.Composite(entries), ledger=level)
        plain = build("no_grad")
        plain.load_state_dict(model.state_dict())
        plain.trunk.cut = lambda fc, x: fc(x)
        truth = lrp.explain(plain, x, target=1)
        assert_same_map(ours.input, truth.input)
        assert not kept(ours, "detached")
        assert_books_balance(ours)


def test_pass_detached_in_inference_mode() -> None:
    def model(x: Tensor) -> Tensor:
        with torch.inference_mode():
            y = 3 * x
        return y + 1

    r = drive(model, X, torch.ones_like(X), [("*", rules.PassDetached())])
    assert_same_map(r.input, 3 * X)


def test_pass_detached_that_meets_no_cut_is_an_error() -> None:
    with pytest.raises(CompositeError, match="matched no op call"):
        drive(lambda x: 3 * x, X, torch.ones_like(X), [("*", rules.PassDetached())])
