"""Attention other than the ordinary one: sinks, soft caps, linear attention, relative positions, mixed weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import lrp
from lrp import presets
from tests.cases.attention import BIAS, KEYS, QUERIES, SCALE, SPELLINGS, K, Q, V, explained, fused
from tests.cases.networks import signed
from tests.engine.checks import assert_balanced, assert_blameless, assert_same

PRESETS = {"attnlrp": presets.attnlrp, "cp_lrp": presets.cp_lrp, "reslrp": presets.reslrp}
each_preset = pytest.mark.parametrize("preset", PRESETS)
SINKS = signed(3, seed=101).view(1, 3, 1, 1)
TABLE = signed(QUERIES + KEYS - 1, 4, seed=102)


def explain(attention: Callable[..., Tensor], preset: str) -> lrp.Relevance:
    r = lrp.explain(attention, (Q, K, V), target=explained, composite=PRESETS[preset](), ledger="calls")
    assert_balanced(r)
    assert_blameless(r)
    return r


def assert_same_maps(ours: lrp.Relevance, truth: lrp.Relevance, tolerance: float = 1e-11) -> None:
    for one, other in zip(ours.input, truth.input, strict=True):
        if other is not None and other.any():
            assert_same(one, other, tolerance)


@each_preset
def test_a_sink_is_a_key_that_is_seen_and_worth_nothing(preset: str):
    def with_sink(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = torch.cat([q @ k.mT * SCALE, SINKS.expand(*q.shape[:3], 1)], -1)
        return torch.softmax(scores, -1)[..., :-1] @ v

    def with_key(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = F.pad(torch.zeros(1, 3, QUERIES, KEYS, dtype=q.dtype), (0, 1)) + F.pad(SINKS, (KEYS, 0))
        return F.scaled_dot_product_attention(q, F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1)), mask)

    assert_same_maps(explain(with_sink, preset), explain(with_key, preset))


@each_preset
def test_capped_scores(preset: str):
    def capped(q: Tensor, k: Tensor, v: Tensor, cap: float = 1e7) -> Tensor:
        return torch.softmax(torch.tanh(q @ k.mT * SCALE / cap) * cap, -1) @ v

    assert_same_maps(explain(capped, preset), explain(fused, preset), 1e-7)
    tight = explain(lambda *x: capped(*x, 1.0), preset)
    assert tight.input[2] is not None


@each_preset
def test_linear_attention_in_either_order(preset: str):
    def first(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = F.elu(q) + 1, F.elu(k) + 1
        return (q @ k.mT) @ v / (q @ k.mT).sum(-1, keepdim=True)

    def last(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = F.elu(q) + 1, F.elu(k) + 1
        return torch.einsum("nhqd,nhde->nhqe", q, k.mT @ v) / (q @ k.sum(-2).unsqueeze(-1))

    assert_same_maps(explain(first, preset), explain(last, preset))


@each_preset
def test_relative_positions(preset: str):
    """A table of keys by distance, gathered and multiplied with the queries, as in Shaw et al. 2018 and Swin's bias."""
    distance = torch.arange(QUERIES)[:, None] - torch.arange(KEYS) + KEYS - 1

    def by_table(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        positional = torch.einsum("nhqd,qkd->nhqk", q, TABLE[distance])
        return torch.softmax((q @ k.mT + positional) * SCALE + BIAS, -1) @ v

    def by_pieces(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows = [q[:, :, i : i + 1] @ k.mT + F.linear(q[:, :, i : i + 1], TABLE[distance[i]]) for i in range(QUERIES)]
        return torch.softmax(torch.cat(rows, 2) * SCALE + BIAS, -1) @ v

    assert_same_maps(explain(by_table, preset), explain(by_pieces, preset))


@each_preset
def test_weights_that_are_used_for_more(preset: str):
    """Weights mixed over heads, and made to sum to 1 once more."""
    mixing = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.0, 0.4, 0.6]], dtype=torch.float64)

    def mixed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = torch.einsum("gh,nhqk->ngqk", mixing, torch.softmax(q @ k.mT * SCALE, -1))
        return weights / weights.sum(-1, keepdim=True) @ v

    r = explain(mixed, preset)
    scored = [relevance is not None and bool(relevance.any()) for relevance in r.input[:2]]
    assert scored == [preset != "cp_lrp"] * 2


@each_preset
def test_a_query_that_is_learned(preset: str):
    query = torch.nn.Parameter(Q[0, 0])

    def pooled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query.expand(q.shape), k, v) + 0 * q

    def by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return SPELLINGS["matmul"](query.detach().expand(q.shape), k, v) + 0 * q

    assert_same_maps(explain(pooled, preset), explain(by_hand, preset))
