"""AttnLRP and CP-LRP of attention: two tokens worked by hand, and the paper's equations as loops."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import pytest
import torch
from torch import Tensor

import lrp
from lrp import presets
from tests.cases.attention import SCALE, SEEN, SPELLINGS, K, M, Q, V, added, explained, fused
from tests.engine.checks import assert_balanced, assert_same


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64).view(1, 1, -1, 1)


@pytest.mark.parametrize("attention", [fused, SPELLINGS["matmul"]])
def test_two_tokens_by_attnlrp(attention: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch):
    """Weights 1/4 and 3/4 of the values 4 and 8 give 7: half goes to the values, half through the softmax."""
    monkeypatch.setattr("tests.cases.attention.SCALE", 1.0)
    q, k, v = column(1), column(0, log(3)), column(4, 8)
    r = lrp.explain(attention, (q, k, v), target=lambda z: z.flatten(), composite=presets.attnlrp())
    by_q, by_k, by_v = (relevance.flatten().tolist() for relevance in r.input)
    assert by_v == pytest.approx([0.5, 3.0])
    # the weights get 0.5 and 3, so the second score gets 3 - 3/4 3.5 = 3/8 of itself, which is log 3
    assert by_q == pytest.approx([3 / 16 * log(3)])
    assert by_k == pytest.approx([0.0, 3 / 16 * log(3)])
    (row,) = r.ledger.rows
    assert row.kind == "softmax"
    assert float(row.amount) == pytest.approx(3.5 - 3 / 8 * log(3))


@pytest.mark.parametrize("attention", [fused, SPELLINGS["matmul"]])
def test_two_tokens_by_cp_lrp(attention: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.cases.attention.SCALE", 1.0)
    inputs = (column(1), column(0, log(3)), column(4, 8))
    r = lrp.explain(attention, inputs, target=lambda z: z.flatten(), composite=presets.cp_lrp())
    *scored, by_v = r.input
    assert by_v.flatten().tolist() == pytest.approx([1.0, 6.0])
    assert not any(relevance is not None and relevance.any() for relevance in scored)
    assert not any(row.amount for row in r.ledger.rows)


def attnlrp(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, relevance_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Equations 11 to 15 of Achtibat et al. 2024 for one head, in relevance form, without an epsilon."""
    scores = q @ k.T * SCALE + mask
    weights = torch.softmax(scores, -1)
    out = weights @ v
    by_q, by_k, by_v, by_weights = (torch.zeros_like(t) for t in (q, k, v, weights))
    for i, j, d in torch.cartesian_prod(*(torch.arange(n) for n in (*weights.shape, v.size(1)))).tolist():
        half = weights[i, j] * v[j, d] * relevance_out[i, d] / (2 * out[i, d])
        by_weights[i, j] += half
        by_v[j, d] += half
    for i, j in torch.cartesian_prod(*(torch.arange(n) for n in weights.shape)).tolist():
        if mask[i, j] == -torch.inf:
            continue
        by_score = scores[i, j] * (by_weights[i, j] - weights[i, j] * by_weights[i].sum())
        for d in range(q.size(1)):
            half = q[i, d] * k[j, d] * SCALE * by_score / (2 * scores[i, j])  # the mask's part stays with it
            by_q[i, d] += half
            by_k[j, d] += half
    return by_q, by_k, by_v


@pytest.mark.parametrize("masked", ["no mask", "causal", "biases"])
@pytest.mark.parametrize("attention", [fused, SPELLINGS["einsum"]])
def test_the_equations_of_attnlrp_as_loops(attention: Callable[..., Tensor], masked: str):
    mask = torch.zeros(SEEN.shape, dtype=torch.float64)
    if masked == "causal":
        mask = added(SEEN, -torch.inf)
    elif masked == "biases":
        mask = torch.linspace(-1, 1, SEEN.numel(), dtype=torch.float64).view(SEEN.shape)
    r = lrp.explain(lambda q, k, v: attention(q, k, v, mask), (Q, K, V), target=explained, composite=presets.attnlrp())
    relevance_out = attention(Q, K, V, mask) * M
    truth = [torch.zeros_like(t) for t in (Q, K, V)]
    for n, h in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        found = attnlrp(Q[n, h], K[n, h], V[n, h], mask, relevance_out[n, h])
        for whole, part in zip(truth, found, strict=True):
            whole[n, h] = part
    for ours, slow in zip(r.input, truth, strict=True):
        assert_same(ours, slow, 1e-11)
    assert_balanced(r)
