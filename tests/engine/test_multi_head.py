"""Torch's multi-head attention and transformer layers have the maps of the same written by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lrp
from lrp import on, presets, rules
from lrp.errors import TrainingModeError
from tests.cases.networks import prepare, signed
from tests.engine.checks import assert_balanced, assert_blameless, assert_same

WIDTH, HEADS, N, QUERIES, KEYS = 8, 2, 3, 4, 5
PRESETS = {"attnlrp": presets.attnlrp, "cp_lrp": presets.cp_lrp, "reslrp": presets.reslrp, "auto": lambda: None}
each_preset = pytest.mark.parametrize("preset", PRESETS)

SELF = signed(N, QUERIES, WIDTH, seed=111)
CROSS = (signed(N, QUERIES, WIDTH, seed=112), signed(N, KEYS, WIDTH, seed=113))
PADDING = torch.tensor([[False] * 4, [False] * 3 + [True], [False, True, False, True]])
CAUSAL = torch.ones(QUERIES, QUERIES, dtype=torch.bool).triu(1)
BIASES = signed(N * HEADS, QUERIES, QUERIES, seed=114)


def filled(module: nn.Module) -> Any:
    """Weights and biases that are nowhere zero, in float64 and eval mode."""
    module = prepare(module, seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "proj" in name or "bias" in name or "norm" in name:
                scale = 0.5 if parameter.dim() > 1 else 0.3
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def by_hand(module: nn.MultiheadAttention, *inputs: Tensor, mask: Any = 0) -> Tensor:
    """Multi-head attention with samples first, head by head; `mask` is added to the scores `(N, heads, L, S)`."""
    if module.in_proj_weight is None:
        weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    else:
        weights = module.in_proj_weight.chunk(3)
    biases = [None] * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    q, k, v = (F.linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True))
    if module.bias_k is not None:
        k = torch.cat([k, module.bias_k.expand(len(k), 1, -1)], 1)
        v = torch.cat([v, module.bias_v.expand(len(v), 1, -1)], 1)
    if module.add_zero_attn:
        k, v = (torch.cat([t, torch.zeros_like(t[:, :1])], 1) for t in (k, v))
    if isinstance(mask, Tensor):
        mask = F.pad(mask, (0, k.size(1) - mask.size(-1))).expand(len(q), HEADS, q.size(1), k.size(1))
    outs = []
    for head in range(HEADS):
        a, b, c = (t.unflatten(-1, (HEADS, -1))[:, :, head] for t in (q, k, v))
        scores = a @ b.mT / (WIDTH // HEADS) ** 0.5
        scores = scores + mask[:, head] if isinstance(mask, Tensor) else scores
        outs.append(torch.softmax(scores, -1) @ c)
    return module.out_proj(torch.cat(outs, -1))


def added(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape, dtype=torch.float64).masked_fill(mask, -torch.inf)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "without biases": {"bias": False},
    "bias of keys and values": {"add_bias_kv": True},
    "zero attention": {"add_zero_attn": True},
    "both": {"add_bias_kv": True, "add_zero_attn": True},
    "other widths": {"kdim": WIDTH, "vdim": 6},
}
MASKS: dict[str, tuple[dict[str, Any], Any]] = {
    "none": ({}, 0),
    "padding": ({"key_padding_mask": PADDING}, added(PADDING)[:, None, None]),
    "padding added": ({"key_padding_mask": added(PADDING)}, added(PADDING)[:, None, None]),
    "causal": ({"attn_mask": CAUSAL}, added(CAUSAL)),
    "causal by a hint": ({"attn_mask": CAUSAL, "is_causal": True}, added(CAUSAL)),
    "biases": ({"attn_mask": BIASES}, BIASES.unflatten(0, (N, HEADS))),
    "padding and causal": (
        {"attn_mask": CAUSAL, "key_padding_mask": PADDING, "is_causal": True},
        added(CAUSAL) + added(PADDING)[:, None, None],
    ),
}


def assert_equal(ours: Any, truth: Any, inputs: Any, preset: str, tolerance: float = 1e-11) -> lrp.Relevance:
    options = {"target": lambda z: z.flatten(1)[:, 3], "ledger": "calls"}
    r, by_hand = (lrp.explain(f, inputs, composite=PRESETS[preset](), **options) for f in (ours, truth))
    assert_same(r.output, by_hand.output)
    maps = [(x if isinstance(x, tuple) else (x,)) for x in (r.input, by_hand.input)]
    for one, other in zip(*maps, strict=True):
        assert (one is None) == (other is None)  # where the weights are constants, queries alone lead nowhere
        if other is not None:
            assert_same(one, other, tolerance)
    assert any(found is not None for found in maps[0])
    assert_balanced(r)
    assert_blameless(r)
    return r


@each_preset
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_self_attention(preset: str, need_weights: bool, name: str):
    options = {**OPTIONS[name], **({"vdim": WIDTH} if name == "other widths" else {})}
    module = filled(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **options))
    assert_equal(
        lambda x: module(x, x, x, need_weights=need_weights)[0], lambda x: by_hand(module, x, x, x), SELF, preset
    )


@each_preset
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_cross_attention(preset: str, need_weights: bool, name: str):
    module = filled(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **OPTIONS[name]))

    def ours(q: Tensor, k: Tensor) -> Tensor:
        v = k if module.vdim == WIDTH else k[..., : module.vdim]
        return module(q, k, v, need_weights=need_weights)[0]

    def truth(q: Tensor, k: Tensor) -> Tensor:
        return by_hand(module, q, k, k[..., : module.vdim])

    assert_equal(ours, truth, CROSS, preset)


@each_preset
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_masks(preset: str, need_weights: bool, mask: str):
    module = filled(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, add_zero_attn=mask == "padding"))
    given, by_scores = MASKS[mask]
    assert_equal(
        lambda x: module(x, x, x, need_weights=need_weights, **given)[0],
        lambda x: by_hand(module, x, x, x, mask=by_scores),
        SELF,
        preset,
    )


def test_sequences_first_and_without_a_batch():
    module = filled(nn.MultiheadAttention(WIDTH, HEADS))
    for need_weights in (False, True):
        assert_equal(
            lambda x, n=need_weights: module(x.mT.mT.transpose(0, 1), *[x.transpose(0, 1)] * 2, need_weights=n)[
                0
            ].transpose(0, 1),
            lambda x: by_hand(module, x, x, x),
            SELF,
            "attnlrp",
        )
        assert_equal(
            lambda x, n=need_weights: module(x[0], x[0], x[0], key_padding_mask=PADDING[1], need_weights=n)[0][None],
            lambda x: by_hand(module, x, x, x, mask=added(PADDING[1])[None, None, None]),
            SELF[:1],
            "attnlrp",
        )


def test_the_weights_can_be_explained_too():
    module = filled(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True))
    for average in (True, False):
        r = lrp.explain(
            lambda x, a=average: module(x, x, x, average_attn_weights=a)[1],
            SELF,
            target=lambda z: z.flatten(1)[:, 1],
            composite=presets.attnlrp(),
        )
        assert_same(r.output, module(SELF, SELF, SELF, average_attn_weights=average)[1].detach())
        assert r.input.any()
        assert_balanced(r)


def test_rules_of_linear_layers_meet_the_projections():
    module = filled(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True))
    composite = lrp.Composite([(on.linear, rules.Epsilon(0.1)), *presets.attnlrp().entries], strict=False)
    options = {"target": lambda z: z.flatten(1)[:, 3], "composite": composite}
    ours = lrp.explain(lambda x: module(x, x, x)[0], SELF, **options)
    assert_same(ours.input, lrp.explain(lambda x: by_hand(module, x, x, x), SELF, **options).input)
    linear = [row for row in ours.plan if row.family == "linear"]
    assert len(linear) == 2
    assert {row.rule for row in linear} == {"Epsilon(epsilon=0.1)"}
    first = lrp.Composite([(on.first & on.linear, rules.Epsilon(0.1))], strict=False)

    def more(x: Tensor) -> Tensor:
        return F.linear(module(x, x, x)[0], module.out_proj.weight)

    chosen = lrp.explain(more, SELF, **{**options, "composite": first}).plan
    assert [row.rule for row in chosen if row.family == "linear"] == ["Epsilon(epsilon=0.1)", "Zero()", "Zero()"]


def test_active_dropout_is_refused():
    module = filled(nn.MultiheadAttention(WIDTH, HEADS, dropout=0.1, batch_first=True))
    module.training = True
    for need_weights in (False, True):
        with pytest.raises(TrainingModeError):
            lrp.explain(lambda x, n=need_weights: module(x, x, x, need_weights=n)[0].sum((1, 2)), SELF)


def encoder_layer(layer: nn.TransformerEncoderLayer, x: Tensor, mask: Any = 0) -> Tensor:
    def attend(x: Tensor) -> Tensor:
        return by_hand(layer.self_attn, x, x, x, mask=mask)

    def feed(x: Tensor) -> Tensor:
        return layer.linear2(layer.activation(layer.linear1(x)))

    for block, norm in ((attend, layer.norm1), (feed, layer.norm2)):
        x = x + block(norm(x)) if layer.norm_first else norm(x + block(x))
    return x


def decoder_layer(layer: nn.TransformerDecoderLayer, x: Tensor, memory: Tensor) -> Tensor:
    def attend(x: Tensor) -> Tensor:
        return by_hand(layer.self_attn, x, x, x, mask=added(CAUSAL))

    def cross(x: Tensor) -> Tensor:
        return by_hand(layer.multihead_attn, x, memory, memory)

    def feed(x: Tensor) -> Tensor:
        return layer.linear2(layer.activation(layer.linear1(x)))

    for block, norm in ((attend, layer.norm1), (cross, layer.norm2), (feed, layer.norm3)):
        x = x + block(norm(x)) if layer.norm_first else norm(x + block(x))
    return x


@each_preset
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder(preset: str, norm_first: bool, activation: str):
    options = {"activation": activation, "norm_first": norm_first, "batch_first": True}
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 12, **options)
    model = filled(nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(WIDTH), enable_nested_tensor=False))

    def truth(x: Tensor) -> Tensor:
        for layer in model.layers:
            x = encoder_layer(layer, x, added(PADDING)[:, None, None])
        return model.norm(x)

    r = assert_equal(lambda x: model(x, src_key_padding_mask=PADDING), truth, SELF, preset, 1e-10)
    with torch.no_grad():  # the way that torch takes alone
        seen = ~PADDING
        torch.testing.assert_close(model(SELF, src_key_padding_mask=PADDING)[seen], r.output[seen])


@each_preset
@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder(preset: str, norm_first: bool):
    layer = nn.TransformerDecoderLayer(WIDTH, HEADS, 12, norm_first=norm_first, batch_first=True)
    model = filled(nn.TransformerDecoder(layer, 2))

    def truth(x: Tensor, memory: Tensor) -> Tensor:
        for layer in model.layers:
            x = decoder_layer(layer, x, memory)
        return x

    mask = added(CAUSAL)
    assert_equal(lambda x, m: model(x, m, tgt_mask=mask, tgt_is_causal=True), truth, CROSS, preset, 1e-10)


FAST = [(None, None, 0), (PADDING, 1, added(PADDING)[:, None, None]), (CAUSAL, 0, added(CAUSAL))]


@pytest.mark.parametrize(("mask", "kind", "by_scores"), FAST)
@pytest.mark.parametrize("norm_first", [False, True])
def test_fast_paths_called_by_name(mask: Any, kind: Any, by_scores: Any, norm_first: bool):
    layer = filled(nn.TransformerEncoderLayer(WIDTH, HEADS, 12, norm_first=norm_first, batch_first=True))
    attention = layer.self_attn
    projections = (attention.in_proj_weight, attention.in_proj_bias, attention.out_proj.weight, attention.out_proj.bias)
    norms = (layer.norm1.weight, layer.norm1.bias, layer.norm2.weight, layer.norm2.bias)
    feed = (layer.linear1.weight, layer.linear1.bias, layer.linear2.weight, layer.linear2.bias)

    def whole(x: Tensor) -> Tensor:
        flags = (False, norm_first, layer.norm1.eps)
        return torch._transformer_encoder_layer_fwd(x, WIDTH, HEADS, *projections, *flags, *norms, *feed, mask, kind)

    def heads(x: Tensor) -> Tensor:
        return torch._native_multi_head_attention(
            x, x, x, WIDTH, HEADS, *projections, mask, need_weights=True, mask_type=kind
        )[0]

    assert_equal(whole, lambda x: encoder_layer(layer, x, by_scores), SELF, "attnlrp", 1e-10)
    assert_equal(heads, lambda x: by_hand(attention, x, x, x, mask=by_scores), SELF, "attnlrp")
    if kind != 1:  # on processors torch's own are not equal at padding
        with torch.no_grad():
            torch.testing.assert_close(whole(SELF), encoder_layer(layer, SELF, by_scores))
            torch.testing.assert_close(heads(SELF), by_hand(attention, SELF, SELF, SELF, mask=by_scores))
