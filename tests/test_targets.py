"""Targets: where relevance starts."""

from __future__ import annotations

from collections import namedtuple
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


@pytest.mark.parametrize(
    "preset", [presets.zero, presets.epsilon_plus, presets.epsilon_plus_flat], ids=lambda preset: preset.__name__
)
def test_difference_is_the_difference_of_two_maps(preset: Any):
    def of(target: Any) -> Tensor:
        return lrp.explain(MODEL, X, target=target, composite=preset()).input

    torch.testing.assert_close(of(targets.Difference(1, 3)), of(1) - of(3), rtol=1e-12, atol=1e-13)


def test_a_function_gets_the_rules_of_the_model_and_a_target_does_not():
    function = lrp.explain(MODEL, X, target=lambda y: y[:, 1] - y[:, 3], composite=presets.epsilon(0.5))
    assert [str(row.rule) for row in function.plan if row.operation == "sub"] == ["Epsilon(epsilon=0.5)"]
    target = lrp.explain(MODEL, X, target=targets.Difference(1, 3), composite=presets.epsilon(0.5))
    assert {str(row.rule) for row in target.plan if row.path == "(target)"} == {"Zero()"}


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


def test_function_target_of_a_probability_is_told_so():
    def model(x: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.softmax(MODEL(x), 1)

    def explain(target: Any, **options: Any) -> lrp.Relevance:
        return lrp.explain(model, X, target=target, composite=presets.zero(), **options)

    r = explain(lambda output: output[-1].unsqueeze(2)[:, 1, 0])
    assert r.notes == (
        "the target function explains what came out of the final softmax; a class, in a structure "
        "targets.At(path, class), explains what went into it",
    )
    assert torch.equal(explain(targets.At("-1", 1)).explained, LOGITS[:, 1])
    assert explain(lambda output: output[-1][:, 1], through_output=True).notes == ()
    assert explain(lambda output: output[-1][:, 1] * 2).notes == ()
    both = explain(targets.Several(targets.At("1", 1), targets.At("1", 2), lambda output: output[1][:, 0]))
    assert [note.split(" final")[0] for note in both.notes] == [
        "the",
        "the target function explains what came out of the",
    ]


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


VOCABULARY = 6
TOKENS = prepare(nn.Linear(10, 5 * VOCABULARY), seed=11)


def texts(x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Scores `(N, T, V)` = (3, 5, 6)."""
    return TOKENS(x).view(-1, 5, VOCABULARY)


with torch.no_grad():
    SCORES = texts(X)
RIGHT = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
LEFT = RIGHT.flip(1)
HOLES = torch.tensor([[0, 1, 0, 1, 0], [1, 1, 0, 0, 1], [0, 0, 1, 0, 0]], dtype=torch.bool)
# the position and entry of each sample: (target, mask, positions, entries)
WORDS = {
    "last": (targets.Token(), None, [4, 4, 4], None),
    "last of right-padded": (targets.Token(), RIGHT, [2, 4, 0], None),
    "last of left-padded": (targets.Token(), LEFT, [4, 4, 4], None),
    "last of holes": (targets.Token(), HOLES, [3, 4, 2], None),
    "first of left-padded": (targets.Token(0), LEFT, [2, 0, 4], None),
    "float mask": (targets.Token(), RIGHT.double(), [2, 4, 0], None),
    "second": (targets.Token(1, 3), None, [1, 1, 1], [3, 3, 3]),
    "last but one": (targets.Token(-2, torch.tensor([0, 5, 1])), None, [3, 3, 3], [0, 5, 1]),
    "per sample": (targets.Token(torch.tensor([0, -1, 2]), torch.tensor([1, 2, -1])), None, [0, 4, 2], [1, 2, 5]),
    "per sample of padded": (targets.Token(torch.tensor([-3, 3, -1]), 0), RIGHT, [0, 3, 0], [0, 0, 0]),
}


@pytest.mark.parametrize("name", WORDS)
def test_token_picks_position_and_entry(name: str):
    target, mask, positions, entries = WORDS[name]
    rows = SCORES[range(3), positions]
    entries = entries or rows.argmax(1).tolist()
    inputs = {"x": X} if mask is None else {"x": X, "attention_mask": mask}
    r = lrp.explain(texts, inputs, target=target, sources=["x"], composite=presets.zero())
    assert torch.equal(r.explained, rows[range(3), entries])
    assert r.indices.tolist() == entries
    picked = gradient_times_input(lambda y: y[range(3), positions, entries], model=texts)
    torch.testing.assert_close(r.input["x"], picked, rtol=1e-12, atol=1e-14)
    assert float(r.ledger.residual.abs()) <= 1e-12 * float(r.ledger.scale)


def test_padding_does_not_move_the_explained_token():
    """A batch of padded texts explains what each text alone does."""
    mask = RIGHT[:1]
    whole = lrp.explain(texts, {"x": X[:1], "attention_mask": mask}, target=targets.Token(-1, 2), sources=["x"])
    alone = lrp.explain(lambda x: texts(x)[:, :3], {"x": X[:1]}, target=targets.Token(-1, 2))
    assert torch.equal(whole.input["x"], alone.input["x"])


@pytest.mark.parametrize("given", [RIGHT[:, :2], RIGHT.flip(0)], ids=["of other length", "of the same length"])
@pytest.mark.parametrize("decoded", [None, RIGHT], ids=["no mask", "mask"])
def test_beside_a_decoder_its_own_mask_counts(given: Tensor, decoded: Tensor | None):
    def decoder(decoder_inputs_embeds: Tensor, attention_mask: Tensor, decoder_attention_mask: Any = None) -> Tensor:
        return texts(decoder_inputs_embeds)

    inputs = {"decoder_inputs_embeds": X, "attention_mask": given}
    if decoded is not None:
        inputs["decoder_attention_mask"] = decoded
    r = lrp.explain(decoder, inputs, target=targets.Token(-1, 2), sources=["decoder_inputs_embeds"])
    assert torch.equal(r.explained, SCORES[range(3), [4, 4, 4] if decoded is None else [2, 4, 0], 2])


def test_token_says_what_it_is():
    assert str(targets.Token()) == "top token at position -1"
    assert str(targets.Token(2, 7)) == "token 7 at position 2"


PIXELS = prepare(nn.Conv2d(2, 4, 3, padding=1), seed=12)
IMAGES = torch.randn(3, 2, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
HALF = torch.arange(6) < 3
WEIGHTS = torch.rand(5, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
EACH = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(3)) > 0.5
REGIONS = {
    "all": (torch.ones(5, 6, dtype=torch.bool), 1),
    "row": (HALF, 2),
    "column": ((torch.arange(5) > 1)[:, None], 2),
    "weights": (WEIGHTS, 3),
    "per sample": (EACH, torch.tensor([0, 3, 1])),
    "per sample, weights": (EACH * WEIGHTS, -1),
    "pixel": (torch.zeros(5, 6).index_put_((torch.tensor(2), torch.tensor(4)), torch.tensor(1.0)), "d"),
}


@pytest.mark.parametrize("name", REGIONS)
def test_region_sums_one_class_over_the_mask(name: str):
    mask, index = REGIONS[name]
    classes = torch.full((3,), 3) if isinstance(index, str) else torch.as_tensor(index).expand(3) % 4

    def pick(y: Tensor) -> Tensor:
        return (y[range(3), classes] * mask.double()).sum((1, 2))

    target = targets.Region(mask, index)
    r = lrp.explain(PIXELS, IMAGES, target=target, labels=list("abcd"), composite=presets.zero())
    torch.testing.assert_close(r.explained, pick(PIXELS(IMAGES).detach()), rtol=1e-13, atol=1e-14)
    assert r.indices.tolist() == classes.tolist()
    expected = gradient_times_input(pick, IMAGES, PIXELS)
    torch.testing.assert_close(r.input, expected, rtol=1e-12, atol=1e-14)
    assert float(r.ledger.residual.abs()) <= 1e-12 * float(r.ledger.scale)
    assert "in a region" in str(r.target)


def test_regions_add_up():
    def of(mask: Tensor) -> Tensor:
        return lrp.explain(PIXELS, IMAGES, target=targets.Region(mask, 1), composite=presets.epsilon_plus()).input

    torch.testing.assert_close(of(HALF) + of(~HALF), of(torch.ones(6)), rtol=1e-12, atol=1e-14)


def test_region_of_probabilities_explains_their_logits():
    r = lrp.explain(lambda x: torch.softmax(PIXELS(x), 1), IMAGES, target=targets.Region(HALF, 1))
    plain = lrp.explain(PIXELS, IMAGES, target=targets.Region(HALF, 1))
    torch.testing.assert_close(r.input, plain.input, rtol=1e-12, atol=1e-14)
    assert any("softmax was stepped over" in note for note in r.notes)


@pytest.mark.parametrize("index", [2, -1, torch.tensor([1, 0, 3]), "cat"], ids=str)
@pytest.mark.parametrize("preset", [presets.zero, presets.epsilon_plus], ids=["zero", "epsilon_plus"])
def test_log_odds_by_formula(index: Any, preset: Any):
    labels = ["ant", "cat", "dog", "eel"]
    r = lrp.explain(MODEL, X, target=targets.LogOdds(index), composite=preset(), labels=labels, ledger="calls")
    classes = torch.full((3,), 1) if index == "cat" and isinstance(index, str) else torch.as_tensor(index).expand(3) % 4
    p = torch.softmax(LOGITS, 1)[range(3), classes]
    torch.testing.assert_close(r.explained, (p / (1 - p)).log(), rtol=1e-12, atol=1e-13)
    assert r.indices is None
    assert set(r.ledger.by_kind()) >= {"bias", "softmax"}
    assert float(r.ledger.residual.abs()) <= 1e-12 * float(r.ledger.scale)
    assert all(float(lost.abs()) <= 1e-12 * float(r.ledger.scale) for lost in r.ledger.lost.values())
    # the entropy of the softmax over the others is what the log of their sum has beyond their mean
    others = torch.stack([LOGITS[i][torch.arange(4) != classes[i]] for i in range(3)])
    q = torch.softmax(others, 1)
    assert float(r.ledger.by_kind()["softmax"]) == pytest.approx(float((q * q.log()).sum()), rel=1e-12)


def test_log_odds_give_the_others_what_their_probability_says():
    """Worked by hand: z = (2, 0, 0), k = 0: the others share -1 equally."""
    z = torch.tensor([[2.0, 1.0, 1.0]], dtype=torch.float64)
    r = lrp.explain(lambda x: x * 1.0, z, target=targets.LogOdds(0))
    torch.testing.assert_close(r.input, torch.tensor([[2.0, -0.5, -0.5]], dtype=torch.float64), rtol=1e-15, atol=0)
    assert float(r.explained) == pytest.approx(2 - 1 - torch.tensor(2.0, dtype=torch.float64).log())
    assert float(r.ledger.by_kind()["softmax"]) == pytest.approx(-float(torch.tensor(2.0, dtype=torch.float64).log()))


@pytest.mark.parametrize("k", [0, 1])
def test_log_odds_of_two_classes_are_their_difference(k: int):
    layer = prepare(nn.Linear(10, 2), seed=3)
    ours = lrp.explain(layer, X, target=targets.LogOdds(k), composite=presets.epsilon_plus())
    truth = lrp.explain(layer, X, target=targets.Difference(k, 1 - k), composite=presets.epsilon_plus())
    assert torch.equal(ours.explained, truth.explained)
    assert torch.equal(ours.input, truth.input)


@pytest.mark.parametrize("through_output", [False, True])
@pytest.mark.parametrize("final", FINAL)
def test_log_odds_are_of_the_logits_always(final: str, through_output: bool):
    target = targets.LogOdds(1)
    r = lrp.explain(
        lambda x: FINAL[final](MODEL(x)), X, target=target, composite=presets.zero(), through_output=through_output
    )
    torch.testing.assert_close(r.input, explained(target).input, rtol=1e-12, atol=1e-14)
    assert any("stepped over" in note for note in r.notes)


def test_log_odds_of_a_single_output_are_the_value():
    layer = prepare(nn.Linear(10, 1), seed=3)
    for model in (layer, lambda x: layer(x)[:, 0], lambda x: torch.sigmoid(layer(x))):
        r = lrp.explain(model, X, target=targets.LogOdds(0), composite=presets.zero())
        assert torch.equal(r.explained, layer(X)[:, 0].detach())


class Boxes:
    """What a detector might return: an object of its own."""

    def __init__(self, scores: Tensor, boxes: Any) -> None:
        self.scores, self.boxes, self._hidden = scores, boxes, scores

    def method(self) -> Tensor:
        return self.scores


Pair = namedtuple("Pair", "first second")
STRUCTURES: dict[str, Any] = {
    "logits": lambda y: {"logits": y, "more": y * 2},
    "0": lambda y: (y, y * 2),
    "-1": lambda y: [y * 2, y],
    "boxes.1": lambda y: Boxes(y * 3, (y * 2, y)),
    "scores": lambda y: SimpleNamespace(scores=y),
    "first": lambda y: Pair(y, 0),
    "1.deep.0": lambda y: (None, {"deep": [y]}),
    "3": lambda y: {3: y, "x": 1},
}


@pytest.mark.parametrize("path", STRUCTURES)
@pytest.mark.parametrize("target", [1, None, targets.Difference(0, 2), "c"], ids=str)
def test_part_of_a_structured_output(path: str, target: Any):
    at = targets.At(path, target)
    r = lrp.explain(lambda x: STRUCTURES[path](MODEL(x)), X, target=at, composite=presets.zero(), labels=list("abcd"))
    truth = explained(target, labels=list("abcd"))
    assert torch.equal(r.explained, truth.explained)
    assert torch.equal(r.input, truth.input)
    assert str(r.target) == f"{truth.target} in {path}"


def test_part_that_is_a_probability_is_stepped_over():
    r = lrp.explain(lambda x: (x, torch.softmax(MODEL(x), 1)), X, target=targets.At("1", 2), composite=presets.zero())
    assert torch.equal(r.explained, LOGITS[:, 2])


ANIMALS = ["Ant", "tiger cat", "tabby cat", "crane"]


@pytest.mark.parametrize(
    ("name", "index"),
    [("tiger cat", 1), ("Tiger Cat", 1), ("ant", 0), ("crane", 3)],
    ids=["exact", "case", "low", "last"],
)
def test_class_by_name(name: str, index: int):
    r = explained(name, labels=ANIMALS)
    assert torch.equal(r.input, explained(index).input)
    assert r.indices.tolist() == [index] * 3
    assert str(r.target) == f"class {name}"
    assert torch.equal(lrp.Explainer(MODEL, labels=ANIMALS, composite=presets.zero())(X, target=name).input, r.input)


def test_names_wherever_a_class_is_meant():
    ours = explained(targets.Difference("crane", "Ant"), labels=ANIMALS)
    assert torch.equal(ours.input, explained(targets.Difference(3, 0)).input)
    assert str(ours.target) == "class crane minus class Ant"
    assert torch.equal(explained(targets.Class("crane"), labels=ANIMALS).input, explained(3).input)


def test_a_name_that_differs_by_case_alone_is_the_exact_one():
    assert explained("ant", labels=["Ant", "ant", "b", "c"]).indices.tolist() == [1, 1, 1]


DOUBLE = ["crane", "cat", "dog", "crane"]
BAD: dict[str, tuple[Any, dict[str, Any], str, list[str]]] = {
    "no labels": ("cat", {}, "names of all classes", ["'cat'", "labels="]),
    "unknown name": ("tiger", {"labels": ANIMALS}, "no class 'tiger'", ["'tiger cat'"]),
    "ambiguous name": ("crane", {"labels": DOUBLE}, "several classes", ["0: crane, 3: crane", "target=0"]),
    "ambiguous case": ("ANT", {"labels": ["ant", "Ant", "b", "c"]}, "several classes", ["0: ant, 1: Ant"]),
    "too few labels": ("crane", {"labels": ANIMALS[1:]}, "one label for each class", ["3 labels, 4 classes"]),
    "labels as text": ("a", {"labels": "abcd"}, "list of class names", ["'abcd'"]),
    "labels as numbers": ("a", {"labels": [1, 2, 3, 4]}, "list of class names", ["[1, 2, 3, 4]"]),
    "index": (targets.Class(1.0), {}, "a class index is an integer", ["float"]),
    "log odds": (targets.LogOdds(4), {}, "out of range: 4", ["0 to 3"]),
    "token of classes": (targets.Token(), {}, "(N, T, V)", ["tensor (3, 4)", "class index"]),
    "region of classes": (targets.Region(HALF, 1), {}, "(N, C, *spatial)", ["tensor (3, 4)"]),
    "part of a tensor": (targets.At("0", 1), {}, "no part '0'", ["tensor (3, 4)"]),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_targets(what: str):
    target, options, message, words = BAD[what]
    check_error(lambda: explained(target, **options), message, words)


def check_error(call: Any, message: str, words: list[str]) -> None:
    with pytest.raises(lrp.errors.TargetError) as caught:
        call()
    assert message in caught.value.what
    assert all(word in str(caught.value) for word in words), str(caught.value)


BAD_PARTS = {
    "unknown key": ("score", lambda y: {"scores": y, "boxes": [y, 1]}, ["scores: tensor (3, 4)", "0: tensor (3, 4)"]),
    "beyond": ("boxes.2", lambda y: {"scores": y, "boxes": [y, 1]}, ["boxes: list", "0: tensor (3, 4)"]),
    "private": ("_hidden", lambda y: Boxes(y, y), ["Boxes", "scores: tensor (3, 4)", "boxes: tensor (3, 4)"]),
    "method": ("method", lambda y: Boxes(y, y), ["Boxes"]),
    "empty": ("", lambda y: (y,), ["0: tensor (3, 4)"]),
    "shape of a tensor": ("0.shape", lambda y: (y,), ["0: tensor (3, 4)"]),
}


@pytest.mark.parametrize("what", BAD_PARTS)
def test_bad_parts_print_the_structure(what: str):
    path, model, words = BAD_PARTS[what]
    target = targets.At(path, 1)
    check_error(lambda: lrp.explain(lambda x: model(MODEL(x)), X, target=target), f"no part {path!r}", words)


def test_output_of_many_parts_needs_at():
    check_error(lambda: lrp.explain(lambda x: (MODEL(x), x), X, target=1), "more than a tensor", ["0: tensor", "At("])
    words = ["boxes: tensor", 'At("scores", target)']
    check_error(lambda: lrp.explain(lambda x: Boxes(MODEL(x), x), X, target=1), "more than a tensor", words)
    check_error(lambda: lrp.explain(lambda x: {"a": MODEL(x), "b": x}, X), "more than a tensor", ['At("a", target)'])


def test_a_path_is_one_string():
    check_error(lambda: targets.At(("logits", 2), 1), "one string", ["('logits', 2)"])
    check_error(lambda: targets.At(0, 1), "one string", ["0"])


BAD_TOKENS: dict[str, tuple[Any, Any, str, list[str]]] = {
    "beyond": (targets.Token(5), None, "no position 5", ["sample 0", "5 of 5"]),
    "before": (targets.Token(-6), None, "no position -6", ["5 of 5"]),
    "in the padding": (targets.Token(2), RIGHT, "no position 2", ["sample 2", "1 of 5 tokens kept"]),
    "nothing kept": (targets.Token(), RIGHT * torch.tensor([[1], [0], [1]]), "no position -1", ["sample 1", "0 of 5"]),
    "mask of four axes": (targets.Token(), RIGHT[:, None, None], "attention mask", ["(3, 1, 1, 5)", "(3, 5, 6)"]),
    "mask of more": (targets.Token(), torch.ones(3, 7), "attention mask", ["(3, 7)"]),
    "entry": (targets.Token(0, 6), None, "out of range: 6", ["0 to 5"]),
    "float position": (targets.Token(0.5), None, "a position is an integer", ["float32"]),
    "positions": (targets.Token(torch.tensor([0, 1])), None, "a position is an integer", ["(2,)", "3 samples"]),
    "class": (1, None, "more axes", ["(3, 5, 6)", "Token(", "Region("]),
    "log odds": (targets.LogOdds(1), None, "more axes", ["(3, 5, 6)"]),
}


@pytest.mark.parametrize("what", BAD_TOKENS)
def test_bad_tokens(what: str):
    target, mask, message, words = BAD_TOKENS[what]
    inputs = {"x": X} if mask is None else {"x": X, "attention_mask": mask}
    check_error(lambda: lrp.explain(texts, inputs, target=target, sources=["x"]), message, words)


BAD_REGIONS: dict[str, tuple[Any, str, list[str]]] = {
    "shape": (targets.Region(torch.ones(6, 5), 1), "does not fit", ["(6, 5)", "(3, 4, 5, 6)"]),
    "samples": (targets.Region(torch.ones(2, 5, 6), 1), "does not fit", ["(2, 5, 6)", "(3, 5, 6)"]),
    "too many axes": (targets.Region(torch.ones(3, 1, 5, 6), 1), "does not fit", ["(3, 1, 5, 6)"]),
    "empty": (targets.Region(torch.zeros(5, 6, dtype=torch.bool), 1), "empty", ["sample 0"]),
    "empty in one": (targets.Region(EACH * torch.tensor([1, 0, 1]).view(3, 1, 1), 1), "empty", ["sample 1"]),
    "not finite": (targets.Region(torch.full((5, 6), torch.nan), 1), "not finite", ["nan"]),
    "class": (targets.Region(HALF, 4), "out of range: 4", ["0 to 3"]),
    "plain class": (2, "more axes", ["(3, 4, 5, 6)", "Region("]),
    "top": (None, "more axes", ["Region("]),
    "token": (targets.Token(), "(N, T, V)", ["(3, 4, 5, 6)"]),
}


@pytest.mark.parametrize("what", BAD_REGIONS)
def test_bad_regions(what: str):
    target, message, words = BAD_REGIONS[what]
    check_error(lambda: lrp.explain(PIXELS, IMAGES, target=target), message, words)
