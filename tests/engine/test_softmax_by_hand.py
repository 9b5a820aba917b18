"""A softmax written by hand has the map of `torch.softmax`, over an axis and over segments of one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lrp
from lrp import on, presets, rules
from tests.cases.networks import signed
from tests.engine.checks import assert_balanced, assert_blameless, assert_same

Softmax = Callable[[Tensor], Tensor]

LENGTH, WIDTH = 4, 3
X = signed(2, LENGTH, WIDTH, seed=31)
Q, K = signed(WIDTH, WIDTH, seed=32), signed(WIDTH, WIDTH, seed=33)
SEEN = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1]]).bool()


def attention(softmax: Softmax) -> Callable[[Tensor], Tensor]:
    return lambda x: (softmax((x @ Q) @ (x @ K).mT) @ x).sum(1)


def plain(scores: Tensor) -> Tensor:
    e = torch.exp(scores)
    return e / e.sum(-1, keepdim=True)


def shifted(scores: Tensor) -> Tensor:
    e = (scores - scores.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1)[..., None]


def shifted_by_a_constant(scores: Tensor) -> Tensor:
    e = torch.exp(scores - scores.detach().amax(-1, keepdim=True))
    return e / (e.sum(-1, keepdim=True) + 1e-16)


def in_place(scores: Tensor) -> Tensor:
    e = (scores - scores.detach().max()).exp_()
    e /= e.sum(-1, keepdim=True)
    return e


def segments(scores: Tensor) -> Tensor:
    """As torch_geometric has it: scores in one row, each with the number of its segment."""
    rows, e = scores.numel() // LENGTH, scores.reshape(-1)
    number = torch.arange(rows).repeat_interleave(LENGTH)
    largest = torch.zeros(rows, dtype=e.dtype).scatter_reduce(0, number, e.detach(), "amax", include_self=False)
    e = (e - largest.index_select(0, number)).exp()
    total = torch.zeros(rows, dtype=e.dtype).scatter_add_(0, number, e) + 1e-16
    return (e / total.index_select(0, number)).view_as(scores)


def segments_summed_by_index_add(scores: Tensor) -> Tensor:
    rows, e = scores.numel() // LENGTH, scores.reshape(-1).exp()
    number = torch.arange(rows).repeat_interleave(LENGTH)
    return (e / e.new_zeros(rows).index_add(0, number, e)[number]).view_as(scores)


SPELLINGS: dict[str, Softmax] = {
    "plain": plain,
    "shifted": shifted,
    "shifted by a constant": shifted_by_a_constant,
    "in place": in_place,
    "segments": segments,
    "segments, index_add": segments_summed_by_index_add,
    "einsum": lambda s: (lambda e: e / torch.einsum("nqk->nq", e)[..., None])(s.exp()),
    "mean": lambda s: (lambda e: e / e.mean(-1, keepdim=True) / LENGTH)(s.exp()),
    "kept above 0": lambda s: (lambda e: e / e.sum(-1, keepdim=True).clamp(min=0.0))(s.exp()),
    "a number added": lambda s: plain(s * 1.5 / 1.5 - 3.0),
    "norm": lambda s: (lambda e: e / e.norm(p=1, dim=-1, keepdim=True))(s.exp()),
    "taken twice": lambda s: torch.exp(s) / torch.exp(s).sum(-1, keepdim=True),
    "base 2": lambda s: (lambda e: e / e.sum(-1, keepdim=True))(torch.exp2(s / math.log(2))),
}
MASKED: dict[str, Softmax] = {
    "scores": lambda s: plain(s.masked_fill(~SEEN, -torch.inf)),
    "lowest scores": lambda s: shifted(s.masked_fill(~SEEN, torch.finfo(s.dtype).min)),
    "weights": lambda s: (lambda e: e / e.sum(-1, keepdim=True))(s.exp() * SEEN),
    "choice": lambda s: (lambda e: e / e.sum(-1, keepdim=True))(torch.where(SEEN, s.exp(), 0.0)),
}
COMPOSITES = {
    "attnlrp": presets.attnlrp(),
    "cp_lrp": presets.cp_lrp(),
    "constant softmax": lrp.Composite([(on.softmax, rules.Constant())]),
    "stopped": lrp.Composite([(on.softmax, rules.Stop())]),
    "auto": None,
    "relevance form": lrp.Composite([(on.linear, rules.Flat())]),
}
each_composite = pytest.mark.parametrize("composite", COMPOSITES)


def assert_as_softmax(given: Softmax, clean: Softmax, composite: str) -> None:
    chosen = COMPOSITES[composite]
    ours = lrp.explain(attention(given), X, target=1, composite=chosen, ledger="calls")
    truth = lrp.explain(attention(clean), X, target=1, composite=chosen)
    assert_same(ours.input, truth.input)
    assert_balanced(ours)
    assert_blameless(ours)
    assert ours.composite.name == truth.composite.name
    assert ours.notes == truth.notes
    kinds, true_kinds = ours.ledger.by_kind(), truth.ledger.by_kind()
    for kind in kinds.keys() | true_kinds.keys():
        assert float(kinds.get(kind, 0.0)) == pytest.approx(float(true_kinds.get(kind, 0.0)), abs=1e-12)


@each_composite
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spelling_does_not_matter(spelling: str, composite: str):
    assert_as_softmax(SPELLINGS[spelling], lambda s: s.softmax(-1), composite)


@pytest.mark.parametrize("composite", ["attnlrp", "auto", "relevance form"])
@pytest.mark.parametrize(
    "log_softmax",
    [
        lambda s: torch.log_softmax(s, -1),
        lambda s: s - torch.logsumexp(s, -1, keepdim=True),
        lambda s: s - s.logsumexp(-1)[..., None],
        lambda s: (lambda t: t.sub_(t.logsumexp(-1, keepdim=True)))(s * 1),
    ],
    ids=["fused", "by hand", "moved", "in place"],
)
def test_the_exponential_of_a_log_softmax(log_softmax: Softmax, composite: str):
    assert_as_softmax(lambda s: log_softmax(s).exp(), lambda s: s.softmax(-1), composite)


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp", "auto"])
def test_summed_by_a_matrix_of_ones(composite: str):
    ones = torch.ones(LENGTH, 1, dtype=torch.float64)
    assert_as_softmax(lambda s: s.exp() / (s.exp() @ ones), lambda s: s.softmax(-1), composite)


def multiplied(scores: Tensor) -> Tensor:
    e = scores.exp()
    return e * (1 / e.sum(-1, keepdim=True))


def divided_last(x: Tensor) -> Tensor:
    e = ((x @ Q) @ (x @ K).mT).exp()
    return ((e @ x) / e.sum(-1, keepdim=True)).sum(1)


def test_where_weights_count_as_constants_every_spelling_is_one():
    """Those that are no softmax to the engine are gates still."""
    for given in (multiplied, lambda s: (s - s.exp().sum(-1, keepdim=True).log()).exp()):
        assert_as_softmax(given, lambda s: s.softmax(-1), "cp_lrp")
    models = divided_last, attention(lambda s: s.softmax(-1))
    ours, truth = (lrp.explain(model, X, target=1, composite=presets.cp_lrp()).input for model in models)
    assert_same(ours, truth)


def test_a_spelling_that_is_not_known_is_told():
    def notes(model: Callable[[Tensor], Tensor], composite: str) -> list[str]:
        r = lrp.explain(model, X, target=1, composite=COMPOSITES[composite])
        return [note for note in r.notes if "sum of exponentials" in note]

    for model in (attention(multiplied), divided_last):
        assert len(notes(model, "attnlrp")) == len(notes(model, "auto")) == 1
        assert not notes(model, "cp_lrp")
    assert not notes(attention(lambda s: s / (1 + (-s * s.mT).exp())), "attnlrp")  # a gate by hand


@each_composite
@pytest.mark.parametrize("masked", MASKED)
def test_what_is_masked_is_not_there(masked: str, composite: str):
    assert_as_softmax(MASKED[masked], lambda s: s.masked_fill(~SEEN, -torch.inf).softmax(-1), composite)


def test_segments_of_any_length_are_a_masked_softmax():
    """Three segments of 1, 3 and 2 scores, by hand: `R_x = x s (m - sum s m)`."""
    number, m = torch.tensor([0, 1, 1, 2, 1, 2]), signed(6, seed=34)
    x = signed(6, seed=35)

    def model(x: Tensor) -> Tensor:
        e = x.exp()
        return (m * e / torch.zeros(3, dtype=x.dtype).index_add(0, number, e)[number]).sum()[None]

    s = torch.cat([x[number == k].softmax(0) for k in range(3)])
    s = s[torch.argsort(torch.cat([(number == k).nonzero()[:, 0] for k in range(3)]))]
    mean = torch.zeros(3, dtype=x.dtype).index_add(0, number, s * m)[number]
    r = lrp.explain(model, x, ledger="calls")
    assert_same(r.input, x * s * (m - mean))
    assert_balanced(r)


def test_the_plan_says_so():
    rows = lrp.explain(attention(segments), X, target=1).plan.rows
    (division,) = [row for row in rows if row.note == "a softmax written by hand"]
    assert (division.operation, division.family, division.rule) == ("div", "softmax", "Taylor()")
    assert [row.operation for row in rows if row.note == "part of a softmax written by hand"] == ["exp"]


def test_sums_of_another_exponential_are_a_constant():
    a, b = signed(2, 3, seed=36), signed(2, 3, seed=37)
    r = lrp.explain(lambda a, b: a.exp() / b.exp().sum(1, keepdim=True), (a, b), target=0)
    truth = lrp.explain(lambda a: a.exp() / b.exp().sum(1, keepdim=True), a, target=0)
    assert_same(r.input[0], truth.input)
    assert r.input[1] is None, "nothing flows to it"


def test_an_exponential_read_elsewhere_too_keeps_the_books():
    r = lrp.explain(lambda x: plain(x) * 2 + x.exp().cumsum(1) * 0.25, X[0], target=0, ledger="calls")
    assert_balanced(r)
    assert_blameless(r)

    def both(x: Tensor) -> Tensor:
        e = x.exp()
        return F.linear(e / e.sum(1, keepdim=True), Q) + e

    r = lrp.explain(both, X[0], target=0, ledger="calls")
    assert_balanced(r)
    assert_blameless(r)


def test_as_constant_in_place_is_refused():
    composite = lrp.Composite([(on.softmax, rules.AsConstant())])
    clean = lrp.explain(attention(lambda s: s.softmax(-1)), X, target=1, composite=composite)
    assert_same(lrp.explain(attention(segments), X, target=1, composite=composite).input, clean.input)
    with pytest.raises(lrp.errors.CompositeError, match="written into data"):
        lrp.explain(attention(in_place), X, target=1, composite=composite)


class XSoftmax(torch.autograd.Function):
    """As transformers' SEW-D has it."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        weights = torch.softmax(scores, -1)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Tensor:
        (weights,) = ctx.saved_tensors
        return weights * (m - (weights * m).sum(-1, keepdim=True))


def test_that_of_sew_d_is_one_where_weights_count_as_constants_and_else_refused():
    assert_as_softmax(XSoftmax.apply, lambda s: s.softmax(-1), "cp_lrp")
    with pytest.raises(lrp.errors.UnseenError, match="XSoftmaxBackward"):
        lrp.explain(attention(XSoftmax.apply), X, target=1)
