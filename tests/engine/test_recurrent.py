"""Recurrent layers: however they are spelled, packed, stacked or started, the relevance is that of their steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    unpack_sequence,
)

import lrp
from lrp import on, presets, rules
from lrp.errors import TrainingModeError
from lrp.ops.recurrent import LAYERS, Layers, layers
from tests.cases.networks import prepare
from tests.cases.presets import ALL_PRESETS
from tests.engine.checks import assert_balanced, assert_blameless, assert_same, normal
from tests.engine.recurrent import KINDS, Model, States, cells, layer, looped, own_loop
from tests.engine.test_untouched import unchanged

X = normal(5, 3, 4, seed=1)
LENGTHS = torch.tensor([3, 5, 2])
CHOSEN = {name: ALL_PRESETS[name] for name in ("zero", "lrp_all", "excitation_backprop")}

pytestmark = [
    pytest.mark.filterwarnings("ignore:the sources' relevance is"),
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]

each_kind = pytest.mark.parametrize("kind", KINDS)
each_preset = pytest.mark.parametrize("preset", CHOSEN)
OPTIONS = {
    "plain": {},
    "without biases": {"bias": False},
    "stacked, in both directions": {"num_layers": 2, "bidirectional": True},
    "projected": {"proj_size": 2, "num_layers": 2, "bidirectional": True},
}
VARIETIES = [(kind, options) for kind in KINDS for options in OPTIONS if options != "projected" or kind == "LSTM"]


def made(kind: str, **options: Any) -> Model:
    return Model(layer(kind, 4, 5, **options))


def states_of(rnn: nn.RNNBase, n: int = 3, seed: int = 5) -> States:
    """States before the first step, `(layers * directions, N, H)`."""
    count = rnn.num_layers * (2 if rnn.bidirectional else 1)
    widths = [rnn.proj_size or rnn.hidden_size, *([rnn.hidden_size] if rnn.mode == "LSTM" else [])]
    return tuple(normal(count, n, width, seed=seed + i) for i, width in enumerate(widths))


def explained(model: Callable[..., Any], inputs: Any, preset: str = "lrp_all", **options: Any) -> lrp.Relevance:
    r = lrp.explain(model, inputs, **{"target": 1, "composite": CHOSEN[preset](), **options})
    assert_balanced(r)
    return r


# --- the forward pass -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("kind", "options"), VARIETIES)
def test_the_steps_give_what_the_fused_function_gives(kind: str, options: str, packed: bool, dtype: torch.dtype):
    rnn = layer(kind, 4, 5, **OPTIONS[options]).to(dtype)
    states = tuple(state.to(dtype) for state in states_of(rnn))
    x = pack_padded_sequence(X.to(dtype), LENGTHS, enforce_sorted=False) if packed else X.to(dtype)
    given = (x.data, x.batch_sizes) if packed else (x,)
    hx = states if kind == "LSTM" else states[0]
    common = (hx, rnn._flat_weights, rnn.bias, rnn.num_layers, 0.0, False, rnn.bidirectional)
    arguments = (*given, *common) if packed else (*given, *common, False)
    fused = getattr(torch, rnn.mode.lower())(*arguments)
    ours = layers(LAYERS[rnn.mode.lower()], Layers.of(arguments, {}), states, lambda name: nullcontext())
    assert len(ours) == len(fused)
    for one, other in zip(ours, fused, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_kind
def test_the_output_is_bit_equal(kind: str, dtype: torch.dtype):
    model = made(kind, num_layers=2, bidirectional=True).to(dtype)
    x = X.to(dtype)
    assert torch.equal(lrp.explain(model, x, target=1).output, model(x))


# --- spellings --------------------------------------------------------------------------------------------------------


@each_preset
@each_kind
def test_a_layer_equals_its_cells_and_a_loop_of_operations(kind: str, preset: str):
    model = made(kind)
    states = states_of(model.rnn)
    cell = cells(model.rnn)
    ours = explained(model, (X, *states), preset)
    by_cells = explained(lambda x, *s: model.read(looped(cell, x, tuple(each[0] for each in s))), (X, *states), preset)
    loop = explained(
        lambda x, *s: model.read(own_loop(model.rnn, x, tuple(each[0] for each in s))), (X, *states), preset
    )
    for one, other, third in zip(ours.input, by_cells.input, loop.input, strict=True):
        assert_same(one, other)
        assert_same(one, third)


@each_preset
def test_a_projected_lstm_equals_a_loop_of_operations(preset: str):
    model = made("LSTM", proj_size=2)
    states = states_of(model.rnn)
    loop = explained(lambda x, h, c: model.read(own_loop(model.rnn, x, (h[0], c[0]))), (X, *states), preset)
    for one, other in zip(explained(model, (X, *states), preset).input, loop.input, strict=True):
        assert_same(one, other)


@each_preset
@each_kind
def test_two_directions_are_two_layers_of_one(kind: str, preset: str):
    model = made(kind, bidirectional=True)
    forward, backward = layer(kind, 4, 5), layer(kind, 4, 5)
    for single, ending in ((forward, ""), (backward, "_reverse")):
        single.load_state_dict(
            {name: getattr(model.rnn, name + ending).detach() for name, _ in single.named_parameters()}
        )

    def two(x: Tensor) -> Tensor:
        outputs = torch.cat([forward(x)[0], backward(x.flip(0))[0].flip(0)], 2)
        return model.read(outputs)

    assert_same(explained(model, X, preset).input, explained(two, X, preset).input)


@each_preset
@each_kind
def test_stacked_layers_are_layers_in_a_row(kind: str, preset: str):
    model = made(kind, num_layers=2)
    first, second = layer(kind, 4, 5), layer(kind, 5, 5)
    for single, ending in ((first, "l0"), (second, "l1")):
        names = [name for name, _ in single.named_parameters()]
        single.load_state_dict({name: getattr(model.rnn, name.replace("l0", ending)).detach() for name in names})
    states = states_of(model.rnn)

    def chained(x: Tensor, *s: Tensor) -> Tensor:
        of_first, of_second = ([state[i : i + 1] for state in s] for i in (0, 1))
        y, _ = first(x, tuple(of_first) if len(s) > 1 else of_first[0])
        return model.read(second(y, tuple(of_second) if len(s) > 1 else of_second[0])[0])

    ours, theirs = (explained(f, (X, *states), preset) for f in (model, chained))
    for one, other in zip(ours.input, theirs.input, strict=True):
        assert_same(one, other)


@each_kind
def test_the_order_of_the_axes_does_not_matter(kind: str):
    model, first = made(kind), made(kind, batch_first=True)
    truth = explained(model, X).input
    assert_same(explained(first, X.transpose(0, 1)).input.transpose(0, 1), truth)
    alone = explained(lambda x: model.read(model.rnn(x)[0])[None], X[:, 1])
    assert_same(alone.input, truth[:, 1])


@each_kind
def test_a_batch_is_its_samples(kind: str):
    model = made(kind, bidirectional=True)
    batch = explained(model, X).input
    for n in range(3):
        assert_same(batch[:, n : n + 1], explained(model, X[:, n : n + 1]).input)


@each_kind
def test_the_last_state_is_the_last_output(kind: str):
    model = made(kind, num_layers=2)

    def last(x: Tensor, *, state: bool) -> Tensor:
        outputs, after = model.rnn(x)
        hidden = after[0] if isinstance(after, tuple) else after
        return model.out(hidden[-1] if state else outputs[-1])

    by_state, by_output = (explained(lambda x, s=s: last(x, state=s), X).input for s in (True, False))
    assert_same(by_state, by_output)


@each_kind
def test_several_targets_are_single_ones(kind: str):
    model = made(kind)
    together = lrp.explain(model, X, target=lrp.targets.Several(0, 2))
    for k, target in enumerate((0, 2)):
        assert_same(together.input[k], explained(model, X, target=target).input)


def test_functions_of_torch_are_layers():
    model = made("GRU")
    h = torch.zeros(1, 3, 5, dtype=torch.float64)

    def function(x: Tensor) -> Tensor:
        return model.read(torch.gru(x, h, model.rnn._flat_weights, True, 1, 0.0, False, False, False)[0])

    assert_same(explained(function, X).input, explained(model, X).input)


@each_kind
def test_weights_made_of_the_data(kind: str):
    model = made(kind)
    cell, states = cells(model.rnn), states_of(model.rnn)
    names = [name for name, _ in cell.named_parameters()]
    function = getattr(torch, "lstm_cell" if kind == "LSTM" else f"{model.rnn.mode.lower()}_cell")

    def hyper(x: Tensor, scale: Tensor, *before: Tensor) -> Tensor:
        weights = [getattr(cell, name).detach() * scale for name in names]
        hx = tuple(state[0] for state in before)
        after = function(x[0], hx if len(hx) > 1 else hx[0], *weights)
        return model.out(after[0] if len(hx) > 1 else after)

    def written_out(x: Tensor, scale: Tensor, *before: Tensor) -> Tensor:
        named = {f"{name}_l0": getattr(cell, name).detach() * scale for name in names}
        sizes = {"hidden_size": 5, "proj_size": 0, "bias": True, "mode": model.rnn.mode}
        return model.out(own_loop(SimpleNamespace(**named, **sizes), x[:1], tuple(s[0] for s in before))[0])

    given = (X, torch.ones(1, dtype=torch.float64), *states)
    r = explained(hyper, given, "zero", ledger="calls")
    assert_blameless(r)
    of_loop = explained(written_out, given, "zero")
    for one, other in zip(r.input, of_loop.input, strict=True):
        assert_same(one, other)


# --- states before the first step -------------------------------------------------------------------------------------


@each_preset
@each_kind
def test_a_state_that_is_no_source_leaves_the_rest_as_it_is(kind: str, preset: str):
    model = made(kind)
    states = states_of(model.rnn)
    every = explained(model, (X, *states), preset)
    alone = explained(model, (X, *states), preset, sources=[0], ledger="calls")
    assert_same(alone.input[0], every.input[0])
    assert_blameless(alone)
    kept = sum(row.amount for row in alone.ledger.rows if row.kind == "constant" and row.where == "rnn")
    assert float(kept) == pytest.approx(float(sum(r.sum() for r in every.input[1:])), rel=1e-12)


@each_preset
@each_kind
def test_an_absent_state_is_one_of_zeros(kind: str, preset: str):
    model = made(kind)
    zeros = tuple(torch.zeros_like(state) for state in states_of(model.rnn))
    absent, given = explained(model, X, preset), explained(model, (X, *zeros), preset)
    assert_same(absent.input, given.input[0])
    assert float(sum(r.abs().sum() for r in given.input[1:])) == 0


def test_a_learned_state_is_a_constant():
    model = made("LSTM")
    h, c = states_of(model.rnn)
    learned = nn.Parameter(c)
    r = explained(lambda x: model(x, h, learned), X)
    assert_same(r.input, explained(model, (X, h, c)).input[0])
    assert learned.grad is None


def test_without_books_a_constant_state_counts_as_data_too():
    model = made("LSTM")
    states = states_of(model.rnn)
    r = lrp.explain(model, (X, *states), target=1, composite=presets.lrp_all(), sources=[0], ledger=False)
    assert_same(r.input[0], explained(model, (X, *states)).input[0])


def test_a_state_alone_may_be_the_source():
    model = made("LSTM")
    states = states_of(model.rnn)
    r = explained(model, (X, *states), sources=[2], ledger="calls")
    assert_blameless(r)
    assert_same(r.input[2], explained(model, (X, *states)).input[2])


def test_a_detached_state_is_told():
    model = made("LSTM")

    def twice(x: Tensor) -> Tensor:
        _, (h, c) = model.rnn(x)
        return model(x, h.detach(), c.detach())

    with pytest.warns(lrp.errors.LRPWarning, match="left the graph"):
        r = lrp.explain(twice, X, target=1, composite=presets.lrp_all())
    assert "detached" in r.ledger.by_kind()
    assert_balanced(r)


# --- packed sequences -------------------------------------------------------------------------------------------------


class Packing(nn.Module):
    """Sequences of different lengths, packed and padded again."""

    def __init__(self, model: Model, batch_first: bool = False, **padding: Any) -> None:
        super().__init__()
        self.model, self.batch_first, self.padding = model, batch_first, padding

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=self.batch_first, enforce_sorted=False)
        outputs, _ = self.model.rnn(packed)
        padded, _ = pad_packed_sequence(outputs, batch_first=self.batch_first, **self.padding)
        return self.model.read(padded.transpose(0, 1) if self.batch_first else padded)


@each_preset
@each_kind
def test_a_packed_sequence_is_explained_as_if_alone(kind: str, preset: str):
    model = made(kind, num_layers=2, bidirectional=True)
    together = explained(Packing(model), (X, LENGTHS), preset, ledger="calls")
    assert_blameless(together)
    assert not together.notes
    for n, length in enumerate(LENGTHS.tolist()):
        alone = explained(model, X[:length, n : n + 1], preset)
        assert_same(together.input[0][:length, n : n + 1], alone.input)
        assert (together.input[0][length:, n] == 0).all()


@each_kind
def test_packed_states_are_those_after_each_sequence(kind: str):
    model = made(kind, num_layers=2, bidirectional=True)
    states = states_of(model.rnn)

    def last(x: Any, *s: Tensor) -> Tensor:
        after = model.rnn(x, s if len(s) > 1 else s[0])[1]
        hidden = after[1] if isinstance(after, tuple) else after
        return model.out(torch.cat([hidden[2], hidden[3]], 1).tanh())

    def packed(x: Tensor, *s: Tensor) -> Tensor:
        return last(pack_padded_sequence(x, LENGTHS, enforce_sorted=False), *s)

    together = explained(packed, (X, *states))
    for n, length in enumerate(LENGTHS.tolist()):
        alone = explained(last, (X[:length, n : n + 1], *(state[:, n : n + 1] for state in states)))
        assert_same(together.input[0][:length, n : n + 1], alone.input[0])
        for one, other in zip(together.input[1:], alone.input[1:], strict=True):
            assert_same(one[:, n : n + 1], other)


def test_packed_sequences_come_in_and_out():
    model = made("LSTM")
    packed = pack_padded_sequence(X, LENGTHS, enforce_sorted=False)

    def target(outputs: PackedSequence) -> Tensor:
        return model.read(pad_packed_sequence(outputs)[0])[:, 1]

    r = explained(lambda p: model.rnn(p)[0], packed, target=target)
    assert isinstance(r.input, PackedSequence)
    assert isinstance(r.output, PackedSequence)
    truth = explained(Packing(model), (X, LENGTHS)).input[0]
    assert_same(pad_packed_sequence(r.input)[0], truth)
    by_name = explained(lambda p: model.read(pad_packed_sequence(model.rnn(p)[0])[0]), {"p": packed})
    assert_same(by_name.input["p"].data, r.input.data)
    one_of_two = explained(
        lambda p, s: model.read(pad_packed_sequence(model.rnn(p)[0])[0]) * s, (packed, X.new_ones(1))
    )
    assert isinstance(one_of_two.input[0], PackedSequence)


def test_padding_is_a_constant_and_batch_first_does_not_matter():
    model, first = made("LSTM"), made("LSTM", batch_first=True)
    truth = explained(Packing(model), (X, LENGTHS)).input[0]
    longer = explained(Packing(first, True, total_length=7), (X.transpose(0, 1), LENGTHS))
    assert_same(longer.input[0].transpose(0, 1), truth)
    assert longer.ledger.by_kind()["constant"] == 0
    padded = explained(Packing(model, padding_value=0.5), (X, LENGTHS), ledger="calls")
    assert_blameless(padded)
    assert padded.ledger.by_kind()["constant"].abs() > 0


def test_a_list_of_sequences():
    model = made("GRU")
    sequences = [X[:3, 0], X[:2, 2]]

    def read(*given: Tensor) -> Tensor:
        outputs, _ = model.rnn(pack_sequence(given))
        return torch.stack([model.read(each) for each in unpack_sequence(outputs)])

    r = explained(read, tuple(sequences))
    for ours, x in zip(r.input, sequences, strict=True):
        assert_same(ours, explained(model, x[:, None]).input[:, 0])


# --- rules and books --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["zero", "lrp_all", "epsilon_plus_flat", "excitation_backprop"])
@pytest.mark.parametrize(("kind", "options"), VARIETIES)
def test_the_books_balance_call_by_call(kind: str, options: str, preset: str):
    model = made(kind, **OPTIONS[options])
    r = lrp.explain(model, X[:3], target=1, composite=ALL_PRESETS[preset](), ledger="calls")
    assert_balanced(r)
    assert_blameless(r)


@pytest.mark.parametrize("preset", ["zero", "lrp_all"])
@each_kind
def test_relevance_form_gives_the_same_numbers(kind: str, preset: str):
    """Flat on a hidden layer makes the run carry relevance; above it the rules are the same."""
    model, before = made(kind, bidirectional=True), prepare(nn.Linear(4, 4), seed=80)
    states = states_of(model.rnn)
    both = nn.ModuleDict({"first": prepare(nn.Linear(4, 4), seed=81), "before": before, "after": model})

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = both

        def forward(self, x: Tensor, *states: Tensor) -> Tensor:
            return self.parts["after"](self.parts["before"](torch.tanh(self.parts["first"](x))), *states)

    flat = lrp.Composite([("parts.before", rules.Flat()), *CHOSEN[preset]().entries], strict=False)
    given = (X, *states)
    r = lrp.explain(Whole(), given, target=1, composite=flat, keep="parts.after", ledger="calls")
    plain = lrp.explain(Whole(), given, target=1, composite=CHOSEN[preset](), keep="parts.after")
    assert_balanced(r)
    assert_blameless(r)
    assert_same(r["parts.after", "in"][0], plain["parts.after", "in"][0])
    for one, other in zip(r.input[1:], plain.input[1:], strict=True):
        assert_same(one, other)
    alone = lrp.explain(Whole(), given, target=1, composite=flat, sources=[0], ledger="calls")
    assert_balanced(alone)
    assert_same(alone.input[0], r.input[0])


@each_kind
def test_differences_to_a_reference_add_up(kind: str):
    model = made(kind, num_layers=2, bidirectional=True)
    other = normal(5, 3, 4, seed=9)
    r = lrp.explain(model, X, target=1, reference=other, ledger="calls")
    assert_same(r.explained, (model(X) - model(other))[:, 1].detach())
    assert_same(r.input.sum((0, 2)), r.explained)
    assert_blameless(r)


def test_rules_are_selected_by_layer_and_direction():
    model = made("LSTM", num_layers=2, bidirectional=True)
    composite = lrp.Composite([("rnn.l1_reverse" & on.linear, rules.Epsilon(0.5)), (on.product, rules.Uniform())])
    r = lrp.explain(model, X, target=1, composite=composite)
    stabilised = {row.path for row in r.plan if row.rule == "Epsilon(epsilon=0.5)"}
    assert stabilised == {"rnn.l1_reverse"}
    in_modules = lrp.Composite([(on.module(nn.LSTM) & on.linear, rules.Epsilon(0.5))])
    paths = {row.path for row in lrp.explain(model, X, target=1, composite=in_modules).plan if "Eps" in row.rule}
    assert paths == {"rnn.l0", "rnn.l0_reverse", "rnn.l1", "rnn.l1_reverse"}


def test_uniform_gives_gates_their_share():
    model = made("GRU")
    halves = lrp.explain(model, X, target=1, composite=presets.zero())
    all_to_signals = explained(model, X)
    assert not torch.allclose(halves.input, all_to_signals.input, rtol=0.1)
    chosen = lrp.Composite([(on.product, rules.Uniform())])
    assert_same(lrp.explain(model, X, target=1, composite=chosen).input, halves.input)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_gates_get_nothing(kind: str):
    r = explained(made(kind), X)
    assert {row.rule for row in r.plan if row.family == "product"} == {"SignalTakesAll()"}
    assert "sigmoid" not in {row.operation for row in r.plan}
    assert "sigmoid" in {row.operation for row in explained(made(kind), X, "zero").plan}


def test_auto_takes_lrp_all_where_a_recurrence_was_met():
    model = made("GRU")
    found = [lrp.explain(f, X, target=1) for f in (model, lambda x: model(x), lambda x: model.read(looped(CELL, x, H)))]
    assert [r.composite.name for r in found] == ["lrp_all"] * 3
    assert "so LRP-all (auto)" in found[0].composite.why
    conv = nn.Conv1d(4, 4, 1).double()
    mixed = lrp.explain(lambda x: model(conv(x.transpose(1, 2)).transpose(1, 2)), X, target=1)
    assert mixed.composite.name == "epsilon_gamma"
    assert {row.rule for row in mixed.plan if row.family == "product"} == {"SignalTakesAll()"}


CELL, H = cells(layer("GRU", 4, 5)), (torch.zeros(3, 5, dtype=torch.float64),)


# --- plan, cost, model ------------------------------------------------------------------------------------------------


def test_a_long_sequence_does_not_drown_the_plan():
    model = made("LSTM", num_layers=2, bidirectional=True)
    plans = [lrp.explain(model, normal(t, 1, 4), target=1).plan for t in (10, 40)]
    assert len(str(plans[1]).splitlines()) == len(str(plans[0]).splitlines()) < 80
    assert "times in all" in str(plans[1])
    assert "40 times in all" in plans[1]._repr_html_()
    assert len(plans[1]) > 4 * 30 * 8


@each_kind
def test_each_step_has_the_same_few_calls(kind: str):
    counts = [lrp.explain(made(kind), normal(t, 1, 4), target=1).plan.rows[-1].number for t in (10, 11, 12)]
    assert counts[2] - counts[1] == counts[1] - counts[0] <= 15


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_model_is_untouched(kind: str):
    model = made(kind, num_layers=2, bidirectional=True, dropout=0.5)
    states = states_of(model.rnn)
    before = [weight.data_ptr() for weight in model.rnn._flat_weights]
    with unchanged(model, X, *states):
        explained(model, (X, *states))
    assert [weight.data_ptr() for weight in model.rnn._flat_weights] == before
    assert all(one is other for one, other in zip(model.rnn._flat_weights, model.rnn.parameters(), strict=True))


def test_dropout_between_layers_is_refused_in_training():
    model = made("LSTM", num_layers=2, dropout=0.5)
    with unchanged(model.train(), X), pytest.raises(TrainingModeError, match="dropout between the layers") as refused:
        lrp.explain(model, X, target=1)
    assert "rnn: lstm" in str(refused.value)
    with pytest.raises(TrainingModeError, match="dropout between the layers"):
        lrp.explain(model, X, target=1, reference="zero")
    assert_same(lrp.explain(model.eval(), X, target=1).input, explained(made("LSTM", num_layers=2).train(), X).input)
