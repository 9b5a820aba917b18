"""Laws that hold for every network: random ones, drawn from the table of operations, under random composites.

On each run of the suite the same networks. `make random` draws others, and more of them: `RANDOM_NETWORKS=20` is
twenty times as many. What fails is shrunk to few steps, and printed as code that rebuilds it.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import lrp
from lrp import rules, targets
from tests.cases.random_composites import INPUT_RULES, PRESETS, Recipe, recipes
from tests.cases.random_networks import CLASSES, FOLDING, LAYERS, OPEN, PIECEWISE_LINEAR, Network, networks
from tests.cases.random_steps import BY_HAND, SPELLINGS
from tests.engine.test_relevance_form import Forced

TIMES = int(os.environ.get("RANDOM_NETWORKS", "0"))

TOLERANCE = 1e-10
"""Of the scale of the books, or of the largest number of a map. Most are right to 1e-15; where summands cancel before a
rule divides by what is left, rounding is as much larger as that is smaller."""


def law(examples: int) -> Callable[[Any], Any]:
    """So many networks for a law: the same ones each time, unless more are asked for."""
    skipped = (HealthCheck.too_slow, HealthCheck.data_too_large)  # a network is large data
    return settings(
        max_examples=examples * max(TIMES, 1), derandomize=not TIMES, database=None, suppress_health_check=skipped
    )


def explain(network: Network, recipe: Recipe, model: Any = None, inputs: Any = None, **options: Any) -> lrp.Relevance:
    with warnings.catch_warnings():
        # random weights cancel: that a map is much larger than its sum is no news here
        warnings.filterwarnings("ignore", ".*the map may be noise", lrp.LRPWarning)
        return lrp.explain(
            network.build() if model is None else model,
            network.inputs() if inputs is None else inputs,
            **{"target": network.target(), "composite": recipe.build(), **options},
        )


def tensors(structure: Any) -> list[Tensor]:
    """All tensors; there is none for an input that no relevance reaches."""
    if structure is None:
        return []
    if isinstance(structure, Tensor):
        return [structure]
    items = structure.values() if isinstance(structure, dict) else structure
    return [tensor for item in items for tensor in tensors(item)]


def assert_alike(ours: Any, truth: Any, tolerance: float = TOLERANCE) -> None:
    """Equal up to a share of the largest number of all; where all cancel, up to the rounding of numbers near 1."""
    largest = max(1e-5, *(float(t.abs().max()) for t in tensors(truth)))
    for a, b in zip(tensors(ours), tensors(truth), strict=True):
        assert a.shape == b.shape
        apart = float((a - b).abs().max())
        assert apart <= tolerance * largest, f"{apart / largest:.2g} of the largest number apart"


def assert_balanced(r: lrp.Relevance) -> None:
    assert r.ledger is not None
    scale = float(r.ledger.scale)
    assert float(r.ledger.residual.abs()) <= TOLERANCE * scale, str(r.ledger)
    for call, lost in (r.ledger.lost or {}).items():
        assert float(lost.abs()) <= TOLERANCE * scale, f"{call} lost {float(lost):.3g} of {scale:.3g}"


# --- values and books -------------------------------------------------------------------------------------------------


@law(150)
@given(networks(), recipes(*INPUT_RULES, rules.Stop()))
def test_books_balance_and_the_model_is_untouched(network: Network, recipe: Recipe) -> None:
    model, inputs = network.build(), network.inputs()
    before, given_inputs = copy.deepcopy(model.state_dict()), copy.deepcopy(inputs)
    # not under no_grad, where torch folds some matrix products in another way and so rounds otherwise
    plain = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    r = explain(network, recipe, model, inputs, ledger="calls")
    assert all(torch.equal(a, b) for a, b in zip(tensors(r.output), tensors(plain), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(tensors(inputs), tensors(given_inputs), strict=True))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert_balanced(r)


@law(40)
@given(networks(), recipes(*INPUT_RULES))
def test_the_ledger_changes_no_number(network: Network, recipe: Recipe) -> None:
    without = explain(network, recipe, ledger=False)
    assert without.ledger is None
    for level in ("sinks", "calls"):
        ours = explain(network, recipe, ledger=level)
        assert_alike(ours.input, without.input, 1e-13)  # it may change the order in which ways are added up


@law(40)
@given(networks(), recipes(*INPUT_RULES))
def test_books_by_sample_are_those_of_single_samples(network: Network, recipe: Recipe) -> None:
    r = explain(network, recipe)
    assert r.ledger is not None
    by_sample = r.ledger.by_sample()
    assert float(by_sample.residual.abs().max()) <= TOLERANCE * float(r.ledger.scale)
    assert_alike(by_sample.sources.sum(), r.ledger.sources)


# --- gradient ---------------------------------------------------------------------------------------------------------


@law(60)
@given(networks(PIECEWISE_LINEAR))
def test_lrp_0_of_piecewise_linear_networks_is_gradient_times_input(network: Network) -> None:
    r = explain(network, Recipe("zero"))
    inputs = [t.clone().requires_grad_() for t in tensors(network.inputs())]
    output = network.build("function")(*inputs)
    logits = {"logits": lambda: output, "tuple": lambda: output[1], "dict": lambda: output["logits"]}[network.output]()
    gradients = torch.autograd.grad(logits[:, 1].sum(), inputs)
    assert_alike(tensors(r.input), [x.detach() * g for x, g in zip(inputs, gradients, strict=True)])


# --- one network, written in several ways -----------------------------------------------------------------------------


@law(80)
@given(networks(), recipes(), st.sampled_from(SPELLINGS))
def test_spelling_does_not_matter(network: Network, recipe: Recipe, spelling: str) -> None:
    ours = explain(network, recipe)
    theirs = explain(network, recipe, network.build(spelling))
    assert_alike(ours.output, theirs.output)
    assert_alike(ours.input, theirs.input)


@law(60)
@given(networks())
def test_what_is_written_by_hand_is_explained_as_the_function(network: Network) -> None:
    ours = explain(network, Recipe("zero"), network.build(BY_HAND))
    theirs = explain(network, Recipe("zero"), network.build("function"))
    assert_alike(ours.output, theirs.output)
    assert_alike(ours.input, theirs.input)
    assert_balanced(ours)


@law(40)
@given(networks(), recipes(*INPUT_RULES))
def test_a_module_used_twice_is_two_modules(network: Network, recipe: Recipe) -> None:
    ours = explain(network, recipe)
    theirs = explain(network, recipe, network.build(unrolled=True))
    assert_alike(ours.input, theirs.input)


@law(60)
@given(networks(LAYERS, kinds=FOLDING), st.sampled_from(list(PRESETS)))
def test_a_folded_batch_norm_is_one_merged_into_the_weights(network: Network, preset: str) -> None:
    """The books cannot tell: with a wrong bias a rule would share by other denominators, and all of it still."""
    network = network.normalised()
    ours = explain(network, Recipe(preset), network.build("module"))
    theirs = explain(network, Recipe(preset), network.build("module", merged=True))
    assert_alike(ours.output, theirs.output)
    assert_alike(ours.input, theirs.input)


# --- batches, targets, layers -----------------------------------------------------------------------------------------


@law(50)
@given(networks(), recipes(*INPUT_RULES))
def test_a_batch_is_its_samples(network: Network, recipe: Recipe) -> None:
    model, inputs = network.build(), network.inputs()
    ours = explain(network, recipe, model, inputs)
    for sample in range(3):
        one = tuple(t[sample : sample + 1] for t in tensors(inputs))
        alone = explain(network, recipe, model, one if len(one) > 1 else one[0])
        largest = max(float(t.abs().max()) for t in tensors(ours.input))
        for a, b in zip(tensors(ours.input), tensors(alone.input), strict=True):
            assert float((a[sample] - b[0]).abs().max()) <= TOLERANCE * largest


@law(40)
@given(networks(), recipes(*INPUT_RULES))
def test_several_targets_are_single_ones(network: Network, recipe: Recipe) -> None:
    every = [network.target(k) for k in range(CLASSES)]
    ours = explain(network, recipe, target=targets.Several(*every))
    for k, target in enumerate(every):
        alone = explain(network, recipe, target=target)
        assert_alike([t[k] for t in tensors(ours.input)], alone.input)
        assert_alike(ours.explained[k], alone.explained)


@law(60)
@given(networks(inputs=1), recipes(*INPUT_RULES))
def test_a_layer_that_cuts_the_graph_holds_all_that_arrives(network: Network, recipe: Recipe) -> None:
    """A linear layer that is folded with its batch norm, and what lies between, stand for the output of both."""
    r = explain(network, recipe, keep=["steps.?"])
    assert r.ledger is not None
    folds = [
        (row.note.partition("(")[2], f"{row.path}: {row.operation}") for row in r.plan.rows if "folded in (" in row.note
    ]
    for path, relevance in r.layers.items():
        above = {"head", "", "(target)", *(f"steps.{j}" for j in range(int(path[6:]) + 1, len(network.steps)))}
        below = [norm for layer, norm in folds if _top(layer) <= path]
        rows = [row for row in r.ledger.rows if _top(row.where) in above and not row.call.startswith(tuple(below))]
        kept = sum(float(row.amount) for row in rows)
        held = float(relevance.sum())
        assert abs(held + kept - float(r.ledger.explained)) <= TOLERANCE * float(r.ledger.scale), path


def _top(path: str) -> str:
    """The module that it is in among those that come one after the other."""
    return ".".join(path.partition(":")[0].split(".")[: 2 if path.startswith("steps") else 1])


# --- the two forms ----------------------------------------------------------------------------------------------------


@law(80)
@given(networks(OPEN, zeros=False), recipes(passing=False))
def test_relevance_form_is_multiplier_form(network: Network, recipe: Recipe) -> None:
    ours = explain(network, recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrp.explainer.Run", Forced)
        theirs = explain(network, recipe, ledger="calls")
    assert_balanced(theirs)
    assert_alike(theirs.input, ours.input)
