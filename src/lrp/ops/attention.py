"""Attention written out: fused kernels and torch's compound functions, each as the same function of its arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ATTENTION", "COMPOUND"]


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`softmax(q k^T scale + mask) v`; a query that may see no key gets zeros."""
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    factor = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    scores = query @ key.transpose(-2, -1) * factor
    if is_causal:
        attn_mask = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool, device=query.device).tril()
    if attn_mask is None:
        return torch.softmax(scores, -1) @ value
    if attn_mask.dtype == torch.bool:
        blind = ~attn_mask.any(-1, keepdim=True)
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    else:
        blind = (attn_mask == -torch.inf).all(-1, keepdim=True)
        scores = scores + attn_mask
    weights = torch.softmax(scores.masked_fill(blind, 0), -1).masked_fill(blind, 0)
    return weights @ value


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Torch's function in its order of operations; sequences come first, as there."""
    batched = query.dim() == 3
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected((query, key, value), in_proj_weight, in_proj_bias, separate)
    if not batched:
        q, k, v = q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, samples, width = q.shape
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        is_causal = False
    if bias_k is not None and bias_v is not None:
        k, v = (torch.cat([t, bias.repeat(1, samples, 1)]) for t, bias in ((k, bias_k), (v, bias_v)))
    q, k, v = (_heads(t, samples, num_heads) for t in (q, k, v))
    k = k if static_k is None else static_k.unflatten(0, (samples, num_heads))
    v = v if static_v is None else static_v.unflatten(0, (samples, num_heads))
    if add_zero_attn:
        k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
    mask = _mask(attn_mask, key_padding_mask, num_heads, k.size(-2), q.dtype)
    weights = None
    if need_weights:
        scores = (q * math.sqrt(1 / q.size(-1))) @ k.transpose(-2, -1)
        weights = torch.softmax(scores if mask is None else scores + mask, -1)
        weights = F.dropout(weights, dropout_p, training)
        out = weights @ v
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    else:
        out = F.scaled_dot_product_attention(q, k, v, mask, dropout_p if training else 0.0, is_causal)
    out = F.linear(out.permute(2, 0, 1, 3).reshape(length, samples, width), out_proj_weight, out_proj_bias)
    return (out if batched else out.squeeze(1)), weights


def _projected(
    inputs: tuple[Tensor, Tensor, Tensor], weight: Any, bias: Tensor | None, separate: Any
) -> tuple[Tensor, ...]:
    """Queries, keys and values; one product for all three, or for keys and values, where they read one tensor."""
    query, key, value = inputs
    width = query.size(-1)
    if separate is not None:
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        return tuple(F.linear(t, w, b) for t, w, b in zip(inputs, separate, biases, strict=True))
    if query is key and key is value:
        return F.linear(query, weight, bias).chunk(3, -1)
    if key is value:
        sizes = [width, 2 * width]
        (w_q, w_kv), (b_q, b_kv) = weight.split(sizes), (None, None) if bias is None else bias.split(sizes)
        return F.linear(query, w_q, b_q), *F.linear(key, w_kv, b_kv).chunk(2, -1)
    return _projected(inputs, None, bias, weight.chunk(3))


def _heads(t: Tensor, samples: int, heads: int) -> Tensor:
    """`(length, N, width)` as `(N, heads, length, width / heads)`."""
    return t.reshape(t.size(0), samples * heads, -1).transpose(0, 1).unflatten(0, (samples, heads))


def _mask(mask: Tensor | None, padding: Tensor | None, heads: int, keys: int, dtype: torch.dtype) -> Tensor | None:
    """Both masks as one that is added; keys that were appended are seen by all."""

    def added(given: Tensor) -> Tensor:
        if given.dtype == torch.bool:
            given = torch.zeros(given.shape, dtype=dtype, device=given.device).masked_fill_(given, -torch.inf)
        return F.pad(given, (0, keys - given.size(-1)))

    if mask is not None:
        mask = added(mask)
        mask = mask.unflatten(0, (-1, heads)) if mask.dim() == 3 and mask.size(0) > 1 else mask
    if padding is None:
        return mask
    padding = added(padding)[:, None, None]
    return padding if mask is None else mask + padding


def _native_multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_head: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    mask: Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """What `nn.MultiheadAttention` calls when nothing is to be differentiated; samples come first.

    A mask of type 0 is of queries and keys, of type 1 of keys, of type 2 of both, for each sample and head.
    """
    first = query.transpose(0, 1)
    same = query is key and key is value
    out, weights = multi_head_attention_forward(
        first,
        first if same else key.transpose(0, 1),
        first if same else value.transpose(0, 1),
        embed_dim,
        num_head,
        qkv_weight,
        qkv_bias,
        None,
        None,
        False,
        0.0,
        proj_weight,
        proj_bias,
        training=False,
        key_padding_mask=mask if mask_type == 1 else None,
        need_weights=need_weights,
        attn_mask=None if mask is None or mask_type == 1 else mask.flatten(0, -3) if mask.dim() == 4 else mask,
        average_attn_weights=average_attn_weights,
    )
    return out.transpose(0, 1), weights


def _transformer_encoder_layer_fwd(
    src: Tensor,
    embed_dim: int,
    num_heads: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: Tensor,
    norm_bias_1: Tensor,
    norm_weight_2: Tensor,
    norm_bias_2: Tensor,
    ffn_weight_1: Tensor,
    ffn_bias_1: Tensor,
    ffn_weight_2: Tensor,
    ffn_bias_2: Tensor,
    mask: Tensor | None = None,
    mask_type: int | None = None,
) -> Tensor:
    """What `nn.TransformerEncoderLayer` calls when nothing is to be differentiated."""

    def attend(x: Tensor) -> Tensor:
        projections = (qkv_weight, qkv_bias, proj_weight, proj_bias)
        out, _ = _native_multi_head_attention(
            x, x, x, embed_dim, num_heads, *projections, mask, need_weights=False, mask_type=mask_type
        )
        return out

    def feed(x: Tensor) -> Tensor:
        hidden = F.linear(x, ffn_weight_1, ffn_bias_1)
        return F.linear(F.gelu(hidden) if use_gelu else F.relu(hidden), ffn_weight_2, ffn_bias_2)

    def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.layer_norm(x, (embed_dim,), weight, bias, eps)

    x = src
    for block, weight, bias in ((attend, norm_weight_1, norm_bias_1), (feed, norm_weight_2, norm_bias_2)):
        x = x + block(norm(x, weight, bias)) if norm_first else norm(x + block(x), weight, bias)
    return x


ATTENTION: dict[str, Callable[..., Any]] = {"scaled_dot_product_attention": scaled_dot_product_attention}
"""Fused kernel -> the same written out, for rules that need its weights."""

COMPOUND: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        multi_head_attention_forward,
        _native_multi_head_attention,
        _transformer_encoder_layer_fwd,
    )
}
"""Functions of torch made of many operations, which the function mode sees as one call -> the same written out."""
