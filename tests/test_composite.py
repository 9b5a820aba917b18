"""Composites: which rule meets which op call."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import on, presets, rules
from tests.cases.networks import prepare


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm1d(4), nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.act(self.conv(self.norm(x)))


class Net(nn.Module):
    """One op call of each family."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer1, self.layer10 = nn.Conv1d(2, 4, 3), Block(), Block()
        self.gate, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool1d(F.relu(self.stem(x)), 2)
        x = self.layer10(self.layer1(x)).mean(2)
        return self.head(x * torch.sigmoid(self.gate(x)))


NET = prepare(Net(), seed=1)
X = torch.randn(2, 2, 14, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def plan(*entries: tuple[Any, rules.Rule], model: Any = NET, x: Any = X, **options: Any) -> lrp.Relevance:
    return lrp.explain(model, x, target=0, composite=lrp.Composite(entries, **options))


def chosen(selector: Any, rule: rules.Rule) -> list[str]:
    """The op calls an entry chose, as `path: operation`."""
    return [f"{row.path}: {row.operation}" for row in plan((selector, rule)).plan if row.entry != "(default)"]


SELECTED: dict[str, tuple[Any, rules.Rule, list[str]]] = {
    "first": (on.first, rules.Epsilon(), ["stem: conv1d"]),
    "last": (on.last, rules.Epsilon(), ["head: linear"]),
    "~last": (~on.last & on.linear, rules.Epsilon(), ["gate: linear"]),
    "last | path": (on.last | "stem", rules.Epsilon(), ["stem: conv1d", "head: linear"]),
    "conv": (on.conv, rules.Epsilon(), ["stem: conv1d", "layer1.conv: conv1d", "layer10.conv: conv1d"]),
    "linear": (on.linear, rules.Epsilon(), ["gate: linear", "head: linear"]),
    "sum": (on.sum, rules.Epsilon(), ["layer1: add", "layer10: add"]),
    "pool": (on.pool, rules.Epsilon(), [": mean"]),
    "norm": (on.norm, rules.Epsilon(), ["layer1.norm: batch_norm", "layer10.norm: batch_norm"]),
    "activation": (on.activation, rules.Pass(), [": relu", "layer1.act: gelu", "layer10.act: gelu", ": sigmoid"]),
    "product": (on.product, rules.Uniform(), [": mul"]),
    "op": (on.op(F.gelu), rules.Pass(), ["layer1.act: gelu", "layer10.act: gelu"]),
    "op, functional": (on.op(F.relu), rules.Pass(), [": relu"]),
    "op, in place": (on.op(torch.relu_), rules.Pass(), [": relu"]),
    "op, method": (on.op(Tensor.relu), rules.Pass(), [": relu"]),
    "op, operator": (on.op(torch.add), rules.Epsilon(), ["layer1: add", "layer10: add"]),
    "op, first": (on.op(F.gelu, nth=0), rules.Pass(), ["layer1.act: gelu", "layer10.act: gelu"]),
    "op, second": (on.op(F.gelu, nth=1) | on.op(F.conv1d), rules.ZPlus(), ["stem: conv1d", "layer1.conv: conv1d",
                                                                         "layer10.conv: conv1d"]),
    "module": (on.module(nn.Linear), rules.Epsilon(), ["gate: linear", "head: linear"]),
    "module, all beneath": (on.module(Block), rules.Pass(), ["layer1.norm: batch_norm", "layer1.act: gelu",
                                                           "layer10.norm: batch_norm", "layer10.act: gelu"]),
    "path": ("layer1", rules.Pass(), ["layer1.norm: batch_norm", "layer1.act: gelu"]),
    "pattern": ("layer*", rules.ZPlus(), ["layer1.conv: conv1d", "layer10.conv: conv1d"]),
    "pattern crosses dots": ("*conv", rules.ZPlus(), ["layer1.conv: conv1d", "layer10.conv: conv1d"]),
    "question mark": ("layer?", rules.ZPlus(), ["layer1.conv: conv1d"]),
    "set": ("layer[1]", rules.ZPlus(), ["layer1.conv: conv1d"]),
    "&": (on.conv & on.module(Block), rules.ZPlus(), ["layer1.conv: conv1d", "layer10.conv: conv1d"]),
    "|": (on.linear | on.sum, rules.Epsilon(), ["layer1: add", "layer10: add", "gate: linear", "head: linear"]),
    "~": (~on.first, rules.ZPlus(), ["layer1.conv: conv1d", "layer10.conv: conv1d", "gate: linear", "head: linear"]),
    "& ~": (on.conv & ~on.module(Block), rules.ZPlus(), ["stem: conv1d"]),
    "(|) &": ((on.conv | on.linear) & on.first, rules.ZPlus(), ["stem: conv1d"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SELECTED)
def test_selector_chooses(name: str):
    selector, rule, calls = SELECTED[name]
    assert chosen(selector, rule) == calls


def test_first_match_wins():
    r = plan(("layer1", rules.Epsilon(0.5)), (on.conv, rules.ZPlus()), (on.conv | on.linear, rules.Epsilon(0.25)))
    rows = {row.path: row.rule for row in r.plan if row.family in ("conv", "linear")}
    assert rows == {
        "stem": "ZPlus(epsilon=1e-06)",
        "layer1.conv": "Epsilon(epsilon=0.5)",
        "layer10.conv": "ZPlus(epsilon=1e-06)",
        "gate": "Epsilon(epsilon=0.25)",
        "head": "Epsilon(epsilon=0.25)",
    }


def test_entry_passes_over_calls_its_rule_is_not_for():
    """`layer1` holds a convolution, a norm, an activation and a sum; Gate and ZPlus share them out."""
    r = plan(("layer1", rules.Pass()), ("layer1", rules.ZPlus()))
    assert {row.operation: row.rule for row in r.plan if row.path == "layer1.act"} == {"gelu": "Pass()"}
    assert {row.rule for row in r.plan if row.path == "layer1.conv"} == {"ZPlus(epsilon=1e-06)"}


def test_unmatched_calls_get_the_default_of_their_family():
    r = lrp.explain(NET, X, composite=presets.zero())
    rows = {row.family: row.rule for row in r.plan}
    assert rows["conv"] == rows["linear"] == rows["sum"] == rows["norm"] == "Zero()"
    assert rows["activation"] == "Gate()"
    assert rows["product"] == "Uniform()"
    assert {row.entry for row in r.plan} == {"(default)"}


def test_each_rule_changes_the_numbers_where_it_stands():
    zero = lrp.explain(NET, X, target=0, composite=presets.zero()).input
    for entry in [("head", rules.Epsilon(0.3)), ("layer1", rules.ZPlus()), (on.first, rules.Flat())]:
        assert not torch.allclose(plan(entry).input, zero)


def test_first_is_the_first_call_of_each_branch():
    left, right, shared = (prepare(nn.Linear(3, 3), seed=i) for i in range(3))

    def model(a: Tensor, b: Tensor) -> Tensor:
        return shared(F.relu(left(2 * a)) + shared(right(b)))

    a = torch.randn(2, 3, dtype=torch.float64)
    r = lrp.explain(model, (a, a + 1), composite=lrp.Composite([(on.first, rules.Flat())]))
    assert [(row.number, row.operation) for row in r.plan if row.entry == "first"] == [
        (row.number, row.operation) for row in r.plan if row.family == "linear"
    ][:2]
    for each in r.input:
        torch.testing.assert_close(each, each[:, :1].expand_as(each), rtol=1e-9, atol=1e-12)


def test_last_is_the_last_call_of_each_branch():
    """A convolution with batch norm folded in is one of them; what does not lead to the target is none."""
    conv = prepare(nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3)), seed=1)
    a, b, skip, unused = (prepare(nn.Linear(2, 2), seed=i) for i in range(4))

    def model(x: Tensor) -> Tensor:
        h = a(x.mean(2))
        y = F.relu(skip(h) + b(F.relu(h)) @ torch.ones(2, 2, dtype=x.dtype)) + h
        unused(y)
        return torch.cat([y, conv(x).amax(2)], 1)

    composite = lrp.Composite([(on.last, rules.Epsilon(0.25))])
    for target in (0, 3):  # in one tensor, so both branches lead to either number
        plan = lrp.explain(model, X, target=target, composite=composite).plan
        assert [f"{row.operation} {row.number}" for row in plan if row.entry == "last"] == [
            "linear 2",
            "matmul 5",
            "conv1d 10",
            "batch_norm 11",
        ]


def test_last_needs_a_plan():
    composite = lrp.Composite([(~on.last & on.linear, rules.Gamma())])
    assert composite.needs_plan
    assert not presets.epsilon_plus_flat().needs_plan
    with pytest.raises(lrp.errors.CompositeError, match=r"lrp\.explain"), lrp.record(composite):
        pass


def test_the_nth_call_is_counted_in_each_call_of_a_module():
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(torch.tanh(2 * x))

    twice = Twice()
    for model in (nn.Sequential(twice, twice), lambda x: torch.tanh(torch.tanh(x))):
        r = lrp.explain(
            model, X.flatten(1), target=0, composite=lrp.Composite([(on.op(torch.tanh, nth=1), rules.Pass())])
        )
        rows = [row.rule for row in r.plan if row.operation == "tanh"]
        assert rows == ["Gate()", "Pass()"] * (len(rows) // 2)


def test_module_used_twice_is_selected_by_either_call():
    layer = prepare(nn.Linear(3, 3), seed=4)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    x = torch.randn(2, 3, dtype=torch.float64)
    r = lrp.explain(model, x, composite=lrp.Composite([("0", rules.Epsilon())]))
    assert [row.rule for row in r.plan if row.operation == "linear"] == ["Epsilon(epsilon=1e-06)"] * 2


def test_selectors_in_words():
    assert str(on.first & on.conv) == "first & conv"
    assert str(on.sum | on.pool) == "(sum | pool)"
    assert str(~on.first) == "~(first)"
    assert str(on.op(torch.relu)) == "op(relu)"
    assert str(on.op(torch.relu, nth=2)) == "op(relu #2)"
    assert str(on.module(nn.Linear)) == "module(Linear)"
    text = str(lrp.Composite([(on.conv, rules.ZPlus()), ("head*", rules.Epsilon(0.5))], name="mine"))
    assert text.splitlines()[:3] == ["mine", "  conv      ZPlus(epsilon=1e-06)", "  'head*'   Epsilon(epsilon=0.5)"]
    assert "Gate for activation" in text


def test_selector_with_a_path_is_taken_or_refused_at_once():
    """`on.conv & "layer4"` must not fail in the middle of a forward pass, in words about the input."""
    try:
        selector = on.conv & "layer1"
    except (TypeError, lrp.errors.CompositeError):
        return
    assert chosen(selector, rules.ZPlus()) == ["layer1.conv: conv1d"]


def test_selector_with_a_path_first_is_taken_or_refused_at_once():
    try:
        selector = "layer1" & on.conv
    except (TypeError, lrp.errors.CompositeError):
        return
    assert chosen(selector, rules.ZPlus()) == ["layer1.conv: conv1d"]


def test_a_composite_that_is_not_strict_may_match_nothing():
    r = plan(("nowhere", rules.ZPlus()), (on.conv, rules.ZPlus()), strict=False)
    assert {row.rule for row in r.plan if row.family == "conv"} == {"ZPlus(epsilon=1e-06)"}


def test_presets_may_match_nothing():
    for preset in (presets.epsilon_plus_flat, presets.epsilon_plus, presets.epsilon, presets.zero):
        r = lrp.explain(nn.Identity(), torch.ones(1, 2), target=0, composite=preset())
        assert r.input.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (NET, "epsilon_gamma"),
        (lambda x: F.conv1d(x, torch.ones(1, 2, 3, dtype=x.dtype)).mean(2), "epsilon_gamma"),
        (nn.Sequential(nn.Flatten(), nn.Linear(28, 2)).double(), "zero"),
        (lambda x: x.flatten(1), "zero"),
    ],
    ids=["module", "functional convolution", "no convolution", "nothing"],
)
def test_automatic_choice_says_why(model: Any, name: str):
    r = lrp.explain(model, X)
    assert r.composite.name == name
    assert r.composite.why
    assert r.composite.why in str(r)
    signals = (on.product, rules.SignalTakesAll())
    explicit = lrp.explain(
        model, X, composite=lrp.Composite([*getattr(presets, name)().entries, signals], strict=False)
    )
    assert torch.equal(r.input, explicit.input)


def test_convolution_that_is_not_called_does_not_count():
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv1d(2, 2, 3), nn.Linear(28, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.flatten(1))

    assert lrp.explain(Unused().double(), X).composite.name == "zero"


def test_plan_lists_the_calls_in_order():
    r = lrp.explain(NET, X, composite=presets.epsilon_plus())
    numbers = [row.number for row in r.plan]
    assert numbers == sorted(numbers)
    assert len(r.plan) == len(r.plan.rows) == len(numbers)
    head = str(r.plan).splitlines()
    assert head[0].split()[:6] == ["#", "module", "operation", "output", "family", "rule"]
    stem = next(line for line in head if " stem " in line)
    assert all(word in stem for word in ("conv1d", "(2, 4, 12)", "ZPlus"))


def test_plan_says_what_was_folded():
    model = prepare(nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Flatten()), seed=5)
    (row,) = [row for row in lrp.explain(model, X, composite=presets.epsilon_plus()).plan if row.family == "norm"]
    assert row.note == "with #0 folded in (0: conv1d)"
    assert row.rule == "ZPlus(epsilon=1e-06)"
    assert row.entry == "conv"


def test_plan_says_when_it_is_the_gradient():
    torch.manual_seed(0)
    relu = nn.Sequential(nn.Flatten(), nn.Linear(28, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    r = lrp.explain(relu, X, composite=presets.zero())
    assert r.plan.identical_to_gradient
    assert str(r.plan).endswith("identical to gradient x input")
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(relu(x).max(1).values.sum(), x)
    torch.testing.assert_close(r.input, X * gradient, rtol=1e-12, atol=1e-14)
    for model, preset in [(NET, presets.zero), (relu, presets.epsilon)]:
        assert not lrp.explain(model, X, composite=preset()).plan.identical_to_gradient


def test_preset_keeps_its_input_rule_behind_an_activation():
    """Behind an activation the first convolution is not at a source, and Flat hands on its shares all the same."""
    conv = nn.Conv1d(2, 4, 3).double()
    r = lrp.explain(lambda x: conv(torch.tanh(x)).flatten(1), X, composite=presets.epsilon_plus_flat())
    (row,) = [row for row in r.plan if row.family == "conv"]
    assert (row.rule, row.entry) == ("Flat(epsilon=1e-06)", "first & (conv | linear)")
    beside = lrp.explain(lambda x: conv(x).flatten(1), torch.tanh(X), composite=presets.epsilon_plus_flat())
    torch.testing.assert_close(r.input, beside.input, rtol=1e-12, atol=1e-15)


OPERATORS: list[tuple[Any, Any]] = [
    (torch.add, lambda x, y: x + y),
    (Tensor.add_, lambda x, y: x.add(y)),
    (torch.add, lambda x, y: y.__radd__(x)),
    (torch.sub, lambda x, y: x - y),
    (Tensor.__sub__, lambda x, y: torch.subtract(x, y)),
    (torch.multiply, lambda x, y: x * y),
    (torch.mul, lambda x, y: x.clone().mul_(y)),
    (torch.div, lambda x, y: x / 2),
    (torch.true_divide, lambda x, y: x.clone().div_(2)),
    (torch.matmul, lambda x, y: x @ torch.eye(2, dtype=x.dtype)),
    (torch.relu, lambda x, y: F.relu(x, inplace=False)),
]


@pytest.mark.parametrize(("function", "spelling"), OPERATORS)
def test_op_takes_every_spelling(function: Any, spelling: Any):
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    entries = [(on.op(function), rule) for rule in (rules.Zero(), rules.Gate(), rules.Uniform())]
    with lrp.record(lrp.Composite(entries, strict=False)) as tape:
        y = spelling(tape.source(x), tape.source(2 * x)).sum(1)
    chosen = {row.operation: row.entry for row in tape.relevance(y).plan}
    assert chosen.pop("sum") == "(default)"
    chosen.pop("clone", None)
    assert list(chosen.values()) == [str(on.op(function))]
