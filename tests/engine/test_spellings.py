"""However a model is written, it is explained alike: in place or not, with modules or functions, by any synonym."""

from __future__ import annotations

import contextlib

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import lrp
from tests.engine.checks import (
    PRESETS,
    Model,
    assert_balanced,
    assert_blameless,
    assert_same,
    assert_same_explanation,
    each_preset,
    normal,
)
from tests.engine.spellings import SPELLINGS, Function

X = normal(3, 8, seed=10)
STEM, STEM_BIAS = normal(2, 1, 3, seed=11), normal(2, seed=12)
TAIL, TAIL_BIAS = normal(3, 1, 3, seed=13), normal(3, seed=14)


def stem(x: Tensor) -> Tensor:
    return F.conv1d(x.unsqueeze(1), STEM, STEM_BIAS).flatten(1)


def tail(h: Tensor) -> Tensor:
    return F.conv1d(h.unsqueeze(1), TAIL, TAIL_BIAS, padding=1).mean(2)


def at_the_source(f: Function) -> Model:
    return lambda x: tail(F.relu(stem(f(x))))


def behind_a_convolution(f: Function) -> Model:
    return lambda x: tail(f(stem(x)))


def behind_a_relu(f: Function) -> Model:
    # what is never negative is known by structure, and rules use it
    return lambda x: tail(f(F.relu(stem(x))))


PLACES = {place.__name__: place for place in (at_the_source, behind_a_convolution, behind_a_relu)}
PAIRS = [(spelling, place) for spelling in SPELLINGS for place in PLACES]
PAIRS = [pair for pair in PAIRS if "pool" not in pair[0] or pair[1] != "at_the_source"]  # leaves too little

# a view between a shift and what follows it parts the two, wherever it is taken
CHAINED = [spelling for spelling in SPELLINGS if "pool" not in spelling and spelling != "view of what is lowered"]

each_spelling = pytest.mark.parametrize(("spelling", "place"), PAIRS)


@each_preset
@each_spelling
def test_spelling_does_not_matter(spelling: str, place: str, preset: str):
    given, clean = SPELLINGS[spelling].given, SPELLINGS[spelling].clean
    assert_same_explanation(PLACES[place](given), PLACES[place](clean), X, preset)


@pytest.mark.parametrize("preset", ["zero", "epsilon_plus_flat"])
@each_spelling
def test_no_op_call_is_blamed(spelling: str, place: str, preset: str):
    model = PLACES[place](SPELLINGS[spelling].given)
    calls = lrp.explain(model, X, composite=PRESETS[preset](), ledger="calls")
    assert_balanced(calls)
    assert_blameless(calls)


@each_preset
@pytest.mark.parametrize(
    ("given", "clean"),
    [
        (lambda h: torch.clamp(normal(*h.shape), max=h), lambda h: torch.minimum(normal(*h.shape), h)),
        (lambda h: h.clamp(min=h.flip(1)), lambda h: torch.maximum(h, h.flip(1))),
    ],
    ids=["clamp of a constant by data", "clamp of data by data"],
)
def test_rare_limits_are_right_or_refused(given: Function, clean: Function, preset: str):
    with contextlib.suppress(lrp.errors.UncoveredError):
        assert_same_explanation(behind_a_convolution(given), behind_a_convolution(clean), X, preset)


@settings(max_examples=60)
@given(chain=st.lists(st.sampled_from(CHAINED), min_size=2, max_size=4), place=st.sampled_from(list(PLACES)))
def test_chains_of_spellings(chain: list[str], place: str):
    """What one leaves behind does not lead the next astray."""

    def through(functions: list[Function]) -> Function:
        def chained(h: Tensor) -> Tensor:
            for function in functions:
                h = function(h)
            return h

        return chained

    ours, clean = ([getattr(SPELLINGS[name], side) for name in chain] for side in ("given", "clean"))
    for preset in ("zero", "epsilon_plus_flat"):
        a, b = (
            lrp.explain(PLACES[place](through(functions)), X, composite=PRESETS[preset](), ledger=False).input
            for functions in (ours, clean)
        )
        assert float((a - b).abs().max()) <= 1e-12 * float(b.abs().max())


@pytest.mark.parametrize(
    "inner",
    [
        lambda h: F.adaptive_avg_pool1d(h.unsqueeze(1), 3).squeeze(1),
        lambda h: torch.einsum("ni,ij->nj", h, normal(h.shape[1], 4, seed=15)),
        lambda h: h.repeat_interleave(2, 1),
    ],
    ids=["adaptive_avg_pool1d", "einsum", "repeat_interleave"],
)
def test_writing_into_what_torch_made_as_a_view_leaves_the_books_right(inner: Function) -> None:
    def written(h: Tensor) -> Tensor:
        h = inner(h)
        h[:, 0] = 0.5
        return h

    r = lrp.explain(behind_a_convolution(written), X, composite=PRESETS["epsilon"](), ledger="calls")
    assert_balanced(r)
    assert_blameless(r)


@pytest.mark.parametrize("first", ["-= 1", "sigmoid_", "clamp_"])
@pytest.mark.parametrize("then", ["relu_", "tanh_"])
def test_what_shifts_in_place_is_one_activation_with_the_next(first: str, then: str):
    """As `relu(h - 1)` is one, a unit with a threshold."""

    def through(side: str) -> Model:
        return behind_a_convolution(lambda h: getattr(SPELLINGS[then], side)(getattr(SPELLINGS[first], side)(h)))

    for preset in PRESETS:
        assert_same_explanation(through("given"), through("clean"), X, preset)


def test_a_threshold_in_place_by_hand():
    """relu(x - 1) of (3, -2) is (2, 0): all of it goes to x."""
    x = torch.tensor([[3.0, -2.0]], dtype=torch.float64)
    r = lrp.explain(lambda x: (10 * x.clone().sub_(1).relu_()).sum(1), x, composite=PRESETS["zero"](), ledger="calls")
    assert r.input.tolist() == [[20.0, 0.0]]
    assert_blameless(r)


@pytest.mark.parametrize("preset", ["zero", "epsilon_plus_flat"])
def test_what_a_mask_overwrites_gets_nothing(preset: str):
    x = torch.tensor([[3.0, -2.0, 5.0]], dtype=torch.float64)
    mask = torch.tensor([[True, False, False]])
    r = lrp.explain(lambda x: torch.where(mask, 0.5, x).relu().sum(1), x, composite=PRESETS[preset]())
    assert r.input[0, 0] == 0
    assert_same(r.input, torch.tensor([[0.0, 0.0, 5.0]], dtype=torch.float64), 1e-6)
