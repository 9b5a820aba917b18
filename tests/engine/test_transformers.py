"""Laws of whole transformers: fused = eager, batch = singles, a mask = a shorter sequence, left = right padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lrp
from lrp import presets, targets
from tests.cases.attention import SPELLINGS, Attention, fused
from tests.cases.networks import prepare, signed
from tests.cases.transformers import WIDTH, Decoder, Encoder
from tests.engine.checks import assert_balanced, assert_blameless, assert_same

PRESETS = {"attnlrp": presets.attnlrp, "cp_lrp": presets.cp_lrp, "reslrp": presets.reslrp}
each_preset = pytest.mark.parametrize("preset", PRESETS)

X = signed(2, 6, WIDTH, seed=95)
SEEN = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 0, 0]])
MASK = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])


def matmul(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return SPELLINGS["divided"](q, k, v, mask)


def built(kind: Any, attention: Attention = fused) -> Any:
    torch.manual_seed(7)
    return prepare(kind(attention), seed=7)


def encoded(attention: Attention, preset: str, x: Tensor = X, seen: Tensor = SEEN, **options: Any) -> lrp.Relevance:
    options = {"target": 1, "composite": PRESETS[preset](), **options}
    model = built(Encoder, attention)
    return lrp.explain(lambda t: model(t, seen), x, **options)


def decoded(attention: Attention, preset: str, ids: Tensor = IDS, mask: Tensor = MASK, **options: Any) -> Any:
    options = {"target": targets.Token(), "composite": PRESETS[preset](), **options}
    return lrp.explain(built(Decoder, attention), {"input_ids": ids, "attention_mask": mask}, **options)


@each_preset
def test_fused_and_eager_encoder(preset: str):
    ours, eager = (encoded(attention, preset, ledger="calls") for attention in (fused, matmul))
    assert_same(ours.input, eager.input, 1e-10)
    for r in (ours, eager):
        assert_balanced(r)
        assert_blameless(r)


@each_preset
def test_fused_and_eager_decoder(preset: str):
    ours, eager = (decoded(attention, preset, ledger="calls") for attention in (fused, matmul))
    assert_same(ours.input["input_ids"], eager.input["input_ids"], 1e-10)
    for r in (ours, eager):
        assert_balanced(r)
        assert_blameless(r)


@each_preset
@pytest.mark.parametrize("attention", [fused, matmul])
def test_a_batch_is_its_samples(preset: str, attention: Attention):
    together = encoded(attention, preset).input
    for i in range(2):
        assert_same(together[i : i + 1], encoded(attention, preset, X[i : i + 1], SEEN[i : i + 1]).input, 1e-11)


@each_preset
@pytest.mark.parametrize("attention", [fused, matmul])
def test_what_is_masked_is_not_there(preset: str, attention: Attention):
    masked = encoded(attention, preset).input[1:]
    assert not masked[:, 4:].any()
    assert_same(masked[:, :4], encoded(attention, preset, X[1:, :4], SEEN[1:, :4]).input, 1e-11)


@each_preset
@pytest.mark.parametrize("attention", [fused, matmul])
def test_padding_on_either_side(preset: str, attention: Attention):
    ids, mask = IDS[1:, :4], MASK[1:, :4]
    plain = decoded(attention, preset, ids, mask)
    two = torch.zeros(1, 2, dtype=torch.long)
    padded = {
        "left": decoded(attention, preset, torch.cat([two, ids], 1), torch.cat([two, mask], 1)),
        "right": decoded(attention, preset, torch.cat([ids, two], 1), torch.cat([mask, two], 1)),
    }
    for side, r in padded.items():
        tokens = r.input["input_ids"][:, 2:] if side == "left" else r.input["input_ids"][:, :4]
        assert_same(tokens, plain.input["input_ids"], 1e-11)
        assert r.input["input_ids"].isfinite().all()
        assert_balanced(r)


@pytest.mark.parametrize("attention", [fused, matmul])
def test_queries_that_see_nothing_leave_no_trace_in_the_books(attention: Attention):
    """The outputs at padding are explained too: their scores are masks alone."""
    two = torch.zeros(1, 2, dtype=torch.long)
    inputs = {"input_ids": torch.cat([two, IDS[1:, :4]], 1), "attention_mask": torch.cat([two, MASK[1:, :4]], 1)}
    r = lrp.explain(
        built(Decoder, attention),
        inputs,
        target=lambda z: z["logits"][..., 3].sum(1),
        composite=presets.attnlrp(),
        ledger="calls",
    )
    assert_balanced(r)
    assert_blameless(r)
    assert float(r.ledger.scale) < 1e4


@each_preset
def test_several_tokens_at_once(preset: str):
    chosen = [targets.Token(position=i, token=i) for i in (1, 3)]
    several = decoded(fused, preset, target=targets.Several(*chosen)).input["input_ids"]
    for index, target in enumerate(chosen):
        assert_same(several[index], decoded(fused, preset, target=target).input["input_ids"], 1e-11)


def test_cp_lrp_keeps_nothing_in_the_softmax_and_attnlrp_does():
    kinds = {name: {row.kind for row in decoded(fused, name).ledger.rows if row.amount} for name in PRESETS}
    assert "softmax" in kinds["attnlrp"]
    assert "softmax" not in kinds["cp_lrp"]


def test_reslrp_meets_residual_sums_alone():
    r = decoded(fused, "reslrp")
    sums = [row for row in r.plan if row.family == "sum"]
    residual = [row for row in sums if row.rule == "ResidualGamma(gamma=1)"]
    assert len(residual) == 4  # two in each layer; those of rotary embeddings are others
    assert len(sums) == 8
    plain, native = decoded(fused, "reslrp", composite=presets.reslrp(residual=0.0)), decoded(fused, "attnlrp")
    assert_same(plain.input["input_ids"], native.input["input_ids"])


def test_a_norm_written_by_hand_has_no_residual_sum():
    def by_hand(x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred * (centred.square().mean(-1, keepdim=True) + 1e-5).rsqrt()

    def fused(x: Tensor) -> Tensor:
        return torch.nn.functional.layer_norm(x, (WIDTH,))

    ours, truth = (
        lrp.explain(norm, X, target=lambda z: z[:, 0, 1], composite=presets.reslrp()) for norm in (by_hand, fused)
    )
    assert_same(ours.input, truth.input, 1e-10)


def test_cp_lrp_is_the_gradient_of_detached_gates():
    """Written by hand: attention weights, denominators of norms, and the gates of activations are detached."""
    model = built(Encoder, matmul)
    r = encoded(fused, "cp_lrp")

    def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return torch.softmax(q @ k.mT / q.size(-1) ** 0.5 + mask, -1).detach() @ v

    def norm(module: torch.nn.LayerNorm, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + module.eps).rsqrt().detach()
        return centred * scale * module.weight + module.bias

    x = X.clone().requires_grad_()
    h = x + model.positions
    added = torch.zeros(SEEN.shape, dtype=X.dtype).masked_fill(~SEEN, -torch.inf)[:, None, None]
    for layer in model.layers:
        q, k, v = (layer[name](h).unflatten(-1, (2, -1)).transpose(1, 2) for name in ("q", "k", "v"))
        h = norm(layer["norm1"], h + layer["out"](attention(q, k, v, added).transpose(1, 2).flatten(2)))
        up = layer["up"](h)
        gate = (0.5 * (1 + torch.erf(up / 2**0.5))).detach()
        h = norm(layer["norm2"], h + layer["down"](up * gate))
    logits = model.head((h * SEEN.unsqueeze(-1)).sum(1) / SEEN.sum(1, keepdim=True))
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), x)
    assert_same(r.input, X * gradient, 1e-11)


def test_a_large_row_of_softmax_is_said_to_be_by_design():
    noted = {name: [note for note in decoded(fused, name).notes if "by design" in note] for name in PRESETS}
    (note,) = noted["attnlrp"]
    assert "presets.cp_lrp()" in note
    assert not noted["cp_lrp"]
    assert not any("by design" in note for note in decoded(fused, "attnlrp", ledger=False).notes)


def test_a_softmax_of_the_explained_output_is_no_news():
    x, w = signed(3, 4, seed=1), 3 * signed(5, 4, seed=2)
    r = lrp.explain(lambda x: torch.softmax(x @ w.T, -1), x, through_output=True)
    assert (r.ledger.by_kind()["softmax"].abs() > 0.1 * r.ledger.size).any()
    assert not any("by design" in note for note in r.notes)
