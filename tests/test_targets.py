"""Targets: where relevance starts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import presets, targets
from tests.cases.networks import CASES, prepare

MODEL, X = CASES["mlp"].build(), CASES["mlp"].inputs()
with torch.no_grad():
    LOGITS = MODEL(X)
RANKED = LOGITS.argsort(1, descending=True)


def gradient_times_input(pick: Any, x: Tensor = X, model: Any = MODEL) -> Tensor:
    """What LRP-0 gives on a ReLU network, whatever the biases."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(pick(model(x)).sum(), x)
    return x.detach() * gradient


def explained(target: Any = None, **options: Any) -> lrp.Relevance:
    return lrp.explain(MODEL, X, target=target, composite=presets.zero(), **options)


PER_SAMPLE = torch.tensor([2, 0, 3])
TARGETS = {
    "none": (None, lambda y: y.max(1).values, LOGITS.argmax(1), "top class"),
    "index": (2, lambda y: y[:, 2], torch.full((3,), 2), "class 2"),
    "last": (-1, lambda y: y[:, 3], torch.full((3,), 3), "class -1"),
    "numpy index": (np.int64(1), lambda y: y[:, 1], torch.full((3,), 1), "class 1"),
    "index tensor": (torch.tensor(1), lambda y: y[:, 1], torch.full((3,), 1), "class 1"),
    "per sample": (PER_SAMPLE, lambda y: y[range(3), PER_SAMPLE], PER_SAMPLE, "class 2, 0, 3"),
    "per sample, int32": (PER_SAMPLE.int(), lambda y: y[range(3), PER_SAMPLE], PER_SAMPLE, "class 2, 0, 3"),
    "Class": (targets.Class(1), lambda y: y[:, 1], torch.full((3,), 1), "class 1"),
    "Top": (targets.Top(), lambda y: y.max(1).values, RANKED[:, 0], "top class"),
    "second": (targets.Top(2), lambda y: y[range(3), RANKED[:, 1]], RANKED[:, 1], "class of rank 2"),
    "last rank": (targets.Top(rank=4), lambda y: y.min(1).values, RANKED[:, 3], "class of rank 4"),
    "Difference": (targets.Difference(1, 3), lambda y: y[:, 1] - y[:, 3], None, "class 1 minus class 3"),
    "function": (lambda y: y[:, :2].sum(1), lambda y: y[:, :2].sum(1), None, "function <lambda>"),
    "Call": (targets.Call(lambda y: y[:, 0] * 2), lambda y: y[:, 0] * 2, None, "function <lambda>"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_target_picks_what_it_says(name: str):
    target, pick, indices, text = TARGETS[name]
    r = explained(target)
    torch.testing.assert_close(r.explained, pick(LOGITS), rtol=1e-14, atol=0)
    torch.testing.assert_close(r.input, gradient_times_input(pick), rtol=1e-12, atol=1e-14)
    assert r.indices is None if indices is None else r.indices.tolist() == indices.tolist()
    assert str(r.target) == text
    assert r.explained.shape == (3,)


def test_difference_is_the_difference_of_two_maps():
    both = explained(targets.Difference(1, 3)).input
    torch.testing.assert_close(both, explained(1).input - explained(3).input, rtol=1e-12, atol=1e-13)


def test_negative_outputs_are_explained_as_they_are():
    r = explained(targets.Top(4))
    assert (r.explained < 0).any()
    torch.testing.assert_close(r.input.sum() + r.ledger.kept, r.explained.sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", ["(N,)", "(N, 1)"])
def test_a_single_output_is_the_value_itself(shape: str):
    layer = prepare(nn.Linear(10, 1), seed=3)
    r = lrp.explain(lambda x: layer(x)[:, 0] if shape == "(N,)" else layer(x), X, composite=presets.zero())
    assert torch.equal(r.explained, layer(X)[:, 0].detach())
    assert (r.explained < 0).any()
    assert r.indices.tolist() == [0, 0, 0]
    torch.testing.assert_close(r.input, X * layer.weight.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", [dict, lambda **items: SimpleNamespace(**items)], ids=["mapping", "object"])
def test_logits_of_a_structured_output(kind: Any):
    r = lrp.explain(lambda x: kind(features=x, logits=MODEL(x)), X, target=1, composite=presets.zero())
    assert torch.equal(r.input, explained(1).input)


def test_function_target_of_a_structured_output():
    r = lrp.explain(lambda x: (x, [MODEL(x)]), X, target=lambda y: y[1][0][:, 1], composite=presets.zero())
    assert torch.equal(r.input, explained(1).input)


def test_function_target_runs_like_the_models_last_lines():
    """Its operations get rules, and stand in the plan."""
    r = explained(lambda y: F.silu(y)[:, 1])
    clean = lrp.explain(lambda x: F.silu(MODEL(x)), X, target=1, composite=presets.zero())
    torch.testing.assert_close(r.input, clean.input, rtol=1e-12, atol=1e-14)
    assert "silu" in [row.operation for row in r.plan if row.path == "(target)"]


def test_a_target_may_change_from_call_to_call():
    explainer = lrp.Explainer(MODEL, composite=presets.zero())
    assert torch.equal(explainer(X, target=1).input, explained(1).input)
    assert torch.equal(explainer(X, target=2).input, explained(2).input)
    assert torch.equal(explainer(X).input, explained().input)


FINAL = {
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: torch.softmax(z, 1),
    "log_softmax": lambda z: F.log_softmax(z, 1),
    "Softmax": nn.Softmax(dim=1),
    "sigmoid_": lambda z: z.sigmoid_(),
}
BEHIND = {
    "nothing": lambda p: p,
    "squeeze": lambda p: p.unsqueeze(2).squeeze(2),
    "flatten": lambda p: p[:, :, None].flatten(1),
    "indexing": lambda p: p[:, 1:],
    "view": lambda p: p.view(len(p), -1),
    "cast": lambda p: p.to(torch.float64),
    "dict": lambda p: {"logits": p},
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("final", FINAL)
def test_final_probability_is_stepped_over(final: str, behind: str):
    r = lrp.explain(lambda x: BEHIND[behind](FINAL[final](MODEL(x))), X, target=1, composite=presets.zero())
    index = 2 if behind == "indexing" else 1
    assert torch.equal(r.explained, LOGITS[:, index])
    torch.testing.assert_close(r.input, explained(index).input, rtol=1e-12, atol=1e-14)
    name = final.lower().rstrip("_")
    assert any(f"the final {name} was stepped over" in note for note in r.notes)
    assert f"the final {name} was stepped over" in str(r)
    output = r.output["logits"] if behind == "dict" else r.output
    torch.testing.assert_close(output, BEHIND[behind](FINAL[final](LOGITS.clone())) if behind != "dict" else output)


@pytest.mark.parametrize("final", FINAL)
def test_through_output_explains_the_probability_and_balances(final: str):
    for preset in (presets.zero, presets.epsilon, presets.epsilon_plus, presets.epsilon_plus_flat):
        r = lrp.explain(
            lambda x: FINAL[final](MODEL(x)), X, target=1, composite=preset(), through_output=True, ledger="calls"
        )
        assert torch.equal(r.explained, FINAL[final](LOGITS.clone())[:, 1])
        assert r.notes == ()
        assert float(r.ledger.residual.abs()) <= 1e-12 * float(r.ledger.scale)
        assert float(r.ledger.worst[1].abs()) <= 1e-12 * float(r.ledger.scale)


def test_single_output_behind_a_squeezed_sigmoid():
    """The tutorial model's last line."""
    layer = prepare(nn.Linear(10, 1), seed=3)
    r = lrp.explain(lambda x: torch.sigmoid(layer(x)).squeeze(1), X, composite=presets.zero())
    assert torch.equal(r.explained, layer(X)[:, 0].detach())


def test_sigmoid_that_is_not_final_is_not_stepped_over():
    r = lrp.explain(lambda x: torch.sigmoid(MODEL(x)) * 2, X, target=1, composite=presets.zero())
    torch.testing.assert_close(r.explained, 2 * torch.sigmoid(LOGITS[:, 1]))
    assert r.notes == ()


def test_input_of_the_sigmoid_that_is_overwritten_later():
    def model(x: Tensor) -> Tensor:
        z = MODEL(x)
        p = torch.sigmoid(z)
        z.mul_(7)
        return p

    r = lrp.explain(model, X, target=1, composite=presets.zero())
    assert torch.equal(r.explained, LOGITS[:, 1])
    torch.testing.assert_close(r.input, explained(1).input, rtol=1e-12, atol=1e-14)


def test_function_target_gets_what_the_model_returned():
    r = lrp.explain(lambda x: torch.softmax(MODEL(x), 1), X, target=lambda p: p[:, 1], composite=presets.zero())
    torch.testing.assert_close(r.explained, torch.softmax(LOGITS, 1)[:, 1])
    assert r.notes == ()


MIXED = {
    "pad": lambda p: F.pad(p, (0, 1)),
    "cat": lambda p: torch.cat([p, torch.zeros(len(p), 1, dtype=p.dtype)], 1),
    "masked_fill": lambda p: p.masked_fill(torch.tensor([True, False, False, False]), 0.0),
    "where": lambda p: torch.where(torch.tensor([True, False, False, False]), 0.0, p),
}


@pytest.mark.filterwarnings("ignore:the sources' relevance is")
@pytest.mark.parametrize("how", MIXED)
def test_top_class_among_probabilities_and_constants_is_the_models(how: str):
    """Logits beside constant probabilities have another order: all below 0 here."""
    r = lrp.explain(lambda x: MIXED[how](torch.sigmoid(MODEL(x) - 30)), X, composite=presets.zero())
    assert r.indices.tolist() == r.output.argmax(1).tolist()


def test_sources_do_not_hear_of_a_target_that_skips_them():
    with pytest.raises(lrp.errors.DetachedError):
        lrp.explain(lambda x: torch.cat([MODEL(x).detach(), MODEL(x)], 1).detach(), X)
