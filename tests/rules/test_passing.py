"""Stop ends relevance, AsConstant takes data for a constant, PassDetached takes relevance past a cut."""

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


E = torch.exp(X)
W = signed(4, 4, seed=2)

# What counts as a constant, and the function with its value in its place.
CONSTANT: dict[str, tuple[Any, Any, Any]] = {
    "a factor": (on.op(torch.exp), lambda x: (2 * x) * x.exp(), lambda x: (2 * x) * E),
    "a summand": (on.op(torch.exp), lambda x: (2 * x) + x.exp(), lambda x: (2 * x) + E),
    "a denominator": (on.op(torch.exp), lambda x: (2 * x) / x.exp(), lambda x: (2 * x) / E),
    "what is made of it": (on.op(torch.exp), lambda x: x @ (x.exp().T @ x.exp()), lambda x: x @ (E.T @ E)),
    "weights of a layer": (on.op(torch.exp), lambda x: F.linear(x, x.exp()), lambda x: F.linear(x, E)),
    "without a rule": (on.op(torch.frac), lambda x: x * torch.frac(x), lambda x: x * torch.frac(X)),
    "a softmax": (on.softmax, lambda x: x.softmax(1) * (x @ W), lambda x: X.softmax(1) * (x @ W)),
    "a view": (on.op(torch.Tensor.view), lambda x: x * x.view(3, 4), lambda x: x * X),
    "all of several outputs": (on.op(torch.sort), lambda x: x * x.sort(1).values, lambda x: x * X.sort(1).values),
    "some of them": (
        (on.op(torch.chunk), rules.AsConstant(outputs=(1,))),
        lambda x: torch.mul(*(x @ W).chunk(2, 1)),
        lambda x: (x @ W)[:, :2] * (X @ W)[:, 2:],
    ),
    "one of a batch norm's": (on.norm, lambda x: x * batch_norm(x), lambda x: x * batch_norm(X)),
}


def batch_norm(x: Tensor) -> Tensor:
    return F.batch_norm(F.linear(x, W), torch.ones(4).double(), torch.full((4,), 2.0).double())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CONSTANT)
def test_what_counts_as_a_constant_is_one(name: str, level: Any) -> None:
    entry, function, constant = CONSTANT[name]
    entry = entry if isinstance(entry, tuple) else (entry, rules.AsConstant())
    m = multiplier_for(function(X))
    ours, truth = drive(function, X, m, [entry], ledger=level), drive(constant, X, m)
    assert_same_map(ours.input, truth.input)
    assert kept(ours, "constant") == pytest.approx(kept(truth, "constant"), abs=1e-12)
    assert_books_balance(ours)
    assert torch.equal(ours.output, function(X))
    assert [row.rule for row in ours.plan if row.rule == str(entry[1])], "the plan shows it"
    assert not ours.plan.identical_to_gradient


def test_a_router_is_a_constant_or_gets_half() -> None:
    """Two experts of which the softmax of a router weighs the better one: `w_e(x) (A_e x)`."""
    router, experts = signed(4, 2, seed=5), signed(2, 4, 3, seed=6)

    def mixture(x: Tensor) -> Tensor:
        weight, chosen = (x @ router).softmax(1).max(1)
        out = torch.zeros(len(x), 3, dtype=x.dtype)
        for number, expert in enumerate(experts):
            rows = (chosen == number).nonzero()[:, 0]
            out.index_add_(0, rows, (x[rows] @ expert) * weight[rows, None])
        return out

    weight, chosen = (X @ router).softmax(1).max(1)
    m = multiplier_for(mixture(X))
    whole = X * torch.einsum("nk,njk->nj", m * weight[:, None], experts[chosen])
    assert_same_map(drive(mixture, X, m, [(on.op(torch.softmax), rules.AsConstant())]).input, whole)
    assert_same_map(drive(mixture, X, m, [(on.product, rules.SignalTakesAll())]).input, whole)
    uniform = drive(mixture, X, m, ledger="calls")
    assert_books_balance(uniform)
    s = (X @ router).softmax(1)
    slope = weight[:, None] * (router.T[chosen] - s @ router.T)  # d s_e / d x = s_e (r_e - sum s r)
    steered = X * slope * (m * torch.einsum("nj,njk->nk", X, experts[chosen])).sum(1)[:, None]
    assert_same_map(uniform.input, (whole + steered) / 2)


def test_picked_and_normalised_router_weights_are_gates_still() -> None:
    router = signed(4, 4, seed=7)

    def model(x: Tensor) -> Tensor:
        weights = (x @ router).softmax(1).topk(2).values
        return (x @ W)[:, :2] * (weights / weights.sum(1, keepdim=True))

    m = multiplier_for(model(X))
    ours = drive(model, X, m, [(on.product, rules.SignalTakesAll())])
    weights = model(X) / (X @ W)[:, :2]
    assert_same_map(ours.input, drive(lambda x: (x @ W)[:, :2] * weights, X, m).input)


@pytest.mark.parametrize(
    ("function", "entry", "message"),
    [
        (lambda x: (2 * x).exp_() * x, (on.op(torch.exp), rules.AsConstant()), "written into data"),
        (lambda x: torch.mul(*x.chunk(2, 1)), (on.op(torch.chunk), rules.AsConstant(outputs=(2,))), "fewer outputs"),
        (lambda x: x * x.view(3, 4), (on.op(torch.Tensor.view), rules.AsConstant(outputs=(0,))), "fewer outputs"),
    ],
    ids=["in place", "two outputs", "one output"],
)
def test_what_cannot_be_a_constant(function: Any, entry: Any, message: str) -> None:
    with pytest.raises(CompositeError, match=message):
        drive(function, X, multiplier_for(function(X)), [entry])


def test_where_nothing_is_left_of_the_data_it_is_said() -> None:
    composite = lrp.Composite([(on.op(torch.exp), rules.AsConstant())])
    with pytest.raises(DetachedError, match=r"AsConstant\(\) on \(model\): exp"):
        lrp.explain(torch.exp, X, target=0, composite=composite)
