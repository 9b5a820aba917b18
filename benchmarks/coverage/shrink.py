"""Configurations of transformers made small by the names of their attributes, nested ones too.

Three levels, tried in turn until the model runs: widths, layers and sizes; layers and sizes alone, widths as published;
layers alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["LEVELS", "shrunk"]

LEVELS = ("small", "narrow layers kept", "few layers")
HIDDEN, HEADS, HEAD_SIZE, VOCABULARY, POSITIONS, IMAGE = 32, 4, 8, 128, 64, 64

_LAYERS = re.compile(
    r"^(num_hidden_layers|n_layers?|num_layers|num_(en|de)coder_layers|(en|de)coder_layers|num_blocks"
    r"|depth|num_self_attends_per_block|[lxr]_layers|.*_num_hidden_layers|.*_(en|de)coder_layers)$"
)
_WIDTHS = re.compile(
    r"^(hidden_size|d_model|n_embd|dim|hidden_dim|embed_dim|embedding_(size|dim)|emb_dim|.*_hidden_size"
    r"|word_embed_proj_dim|projection_(dim|size)|d_latents|hidden_size_(global|per_layer_input)|lru_width"
    r"|classifier_proj_size|upsample_groups|true_hidden_size|base_channels|conv_channels|subsampling_conv_channels"
    r"|router_hidden_size|entity_emb_size|(in|out)put_embedding_size|output_hidden_size|out_hidden_size"
    r"|codevector_dim|proj_codevector_dim|xvector_output_dim|attention_hidden_size|decoder_hidden_size)$"
)
_INNER = re.compile(
    r"^(.*intermediate_size|.*ffn_dim|d_ff|dim_ff|dff|n_inner|mlp_dim|.*ffn_hidden_size|feed_forward_size"
    r"|intermediate_size_mlp)$"
)
_HEADS = re.compile(r"(^|_)(heads?|n_heads|num_kv_heads)$")
_HEAD_SIZES = re.compile(
    r"^(head_dim|.*_head_dim|d_kv|d_head|dim_head|attention_head_size|kv_channels|rotary_dim|mamba_d_head"
    r"|mamba_headdim)$"
)
_RANKS = re.compile(r"(^|_)(lora_rank|laurel_rank|low_?rank|rank)$")
_MOST = (
    (re.compile(r".*(vocab_size|vocab_size_per_layer_input)$"), VOCABULARY),
    (
        re.compile(r"(.*max_position_embeddings|n_positions|max_seq_len|n_ctx|max_(source|target)_positions)$"),
        POSITIONS,
    ),
    (re.compile(r"(image_size|input_size)$"), IMAGE),
    (re.compile(r"(num_(local_)?experts|n_routed_experts|moe_num_experts)$"), 4),
    (re.compile(r"(sliding_window(_size)?|attention_window_size|attention_chunk_size)$"), 4),
    (re.compile(r"(num_experts_per_tok(en)?|moe_topk|moe_k|num_selected_experts|index_topk(_blocks)?)$"), 2),
    (re.compile(r"(n_group|topk_group|num_expert_group|n_groups|mamba_n_groups)$"), 1),
)
"""What is not a width, and how large it may be."""
_INDICES = re.compile(r"(_layer_ids|_layer_indices|mlp_only_layers|full_attn_idxs|moe_layers|cross_attention_layers)$")
_CHANNELS = re.compile(r"^(.*hidden_sizes|embed_dims?|conv_dim|.*channels|d_models?|.*_channels|tdnn_dim)$")

_STATE_SPACES = (
    ("expand", "num_heads", "head_dim"),
    ("mamba_expand", "mamba_n_heads", "mamba_d_head"),
    ("mamba_expand", "n_mamba_heads", "mamba_headdim"),
)


def shrunk(values: Mapping[str, Any], level: str) -> dict[str, Any]:
    """The values of a configuration, smaller; those that are configurations themselves (with a model type) likewise."""
    small = {key: shrunk(v, level) if _is_config(v) else v for key, v in values.items()}
    _fill(small)
    _fewer_layers(small)
    if level == LEVELS[2]:
        return small
    special = _specials(values) if _has_vocabulary(values) else {}
    for key, value in small.items():
        if key in special:
            small[key] = special[key]
        elif key in ("image_size", "input_size") and isinstance(value, (list, tuple)):
            small[key] = [min(side, IMAGE) for side in value]
        elif type(value) is int:
            small[key] = min(value, next((most for names, most in _MOST if names.match(key)), value))
    return _narrower(small) if level == LEVELS[0] else small


def _fill(values: dict[str, Any]) -> None:
    """What some configurations leave to be said."""
    layers, heads = values.get("num_hidden_layers"), values.get("num_attention_heads")
    rope = values.get("rope_parameters") or {}
    kinds = [kind for kind, of in rope.items() if isinstance(of, Mapping)] or ["full_attention"]
    said = {
        "head_dim": values["hidden_size"] // heads if type(heads) is int and "hidden_size" in values else None,
        "num_key_value_heads": heads,
        "pad_token_id": 0,
        "layer_types": (kinds * layers)[:layers] if type(layers) is int else None,
        **dict.fromkeys(("n_routed_experts", "num_experts", "num_local_experts"), 4),
        **dict.fromkeys(("n_group", "topk_group", "n_shared_experts"), 1),
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
        "vocab_size": VOCABULARY,
    }
    for name, value in said.items():
        if name in values and values[name] is None:
            values[name] = value


def _has_vocabulary(values: Mapping[str, Any]) -> bool:
    """Of its own, or in a configuration within it."""
    return "vocab_size" in values or any(_has_vocabulary(v) for v in values.values() if _is_config(v))


def _is_config(value: Any) -> bool:
    return isinstance(value, Mapping) and "model_type" in value


def _specials(values: Mapping[str, Any]) -> dict[str, int]:
    """Ids of special tokens: small ones stay, each other one gets a place of its own at the end of the vocabulary."""
    names = [k for k, v in values.items() if re.search(r"_(token_)?(id|index)$", k) and type(v) is int]
    large = sorted({values[name] for name in names if values[name] >= 8})
    return {name: VOCABULARY - 1 - large.index(values[name]) for name in names if values[name] in large}


def _fewer_layers(values: dict[str, Any]) -> None:
    """Two layers, or one of each kind where lists say which kind each layer is."""
    keys = [key for key, v in values.items() if _LAYERS.match(key) and type(v) is int and v > 1]
    counts = {values[key] for key in keys}
    for count in counts:
        lists = [k for k, v in values.items() if isinstance(v, (list, tuple)) and len(v) == count and count > 2]
        kinds = list(zip(*(values[key] for key in lists if _names_kinds(values[key])), strict=True))
        chosen = sorted({kinds.index(kind) for kind in kinds})[:4] or [0, 1]
        chosen = chosen if len(chosen) > 1 else [0, 1]
        for key in lists:
            values[key] = [values[key][i] for i in chosen]
        for key in keys:
            if values[key] == count:
                values[key] = len(chosen)
    layers = max((values[key] for key in keys), default=2)
    for key, value in values.items():
        if key == "depths" or key in ("n_attn_blocks", "num_block_repeats", "stage_numb_of_layers", "block_sizes"):
            values[key] = [min(v, 1) for v in value]
        elif _INDICES.search(key) and isinstance(value, (list, tuple)) and value and type(value[0]) is int:
            values[key] = [i for i in value if i < layers] or [layers - 1]
        elif key.startswith(("first_k_dense", "num_dense_layers")) and type(value) is int:
            values[key] = min(value, 1)
        elif key.endswith(("_layer_period", "_layer_interval")) and type(value) is int:
            values[key] = min(value, 2)
        elif key.endswith("_layer_offset") and type(value) is int:
            values[key] = min(value, 1)
        elif key in ("num_kv_shared_layers", "max_window_layers") and type(value) is int:
            values[key] = 0


def _names_kinds(values: Any) -> bool:
    return all(isinstance(v, (str, bool)) for v in values)


def _narrower(values: dict[str, Any]) -> dict[str, Any]:
    """Hidden size 32, four heads of 8, inner width 64; lists of widths in proportion."""
    heads = max((v for k, v in values.items() if k.endswith("attention_heads") and type(v) is int), default=0)
    stages = isinstance(values.get("depths"), (list, tuple))
    for key, value in values.items():
        if _CHANNELS.match(key) and isinstance(value, (list, tuple)) and len(value) > 1 and type(value[0]) is int:
            values[key] = [v if v <= 8 else max(8, round(v * 64 / max(value) / 8) * 8) for v in value]
        elif _INNER.match(key) and isinstance(value, (list, tuple)):
            values[key] = [2 * HIDDEN] * len(value)
        elif key == "num_heads" and isinstance(value, (list, tuple)):
            values[key] = [min(v, 2) for v in value]
        elif type(value) is not int or value <= 1:
            continue
        elif _HEAD_SIZES.match(key):
            values[key] = min(value, HEAD_SIZE)
        elif _INNER.match(key):
            values[key] = min(value, 2 * HIDDEN)
        elif _WIDTHS.match(key):
            values[key] = min(value, 16 if key == "embed_dim" and stages else HIDDEN)
        elif _RANKS.search(key):
            values[key] = min(value, 16)
        elif key == "num_key_value_heads" or key.endswith("_kv_heads"):
            values[key] = min(value, HEADS if value == heads else HEADS // 2)
        elif _HEADS.search(key) or key in ("n_head", "index_n_heads"):
            values[key] = min(value, HEADS)
    for key in {"rope_parameters", "rope_scaling"} & values.keys():
        values[key] = _rope(values[key], values.get("head_dim") or HIDDEN // HEADS)
    if values.get("query_pre_attn_scalar"):
        values["query_pre_attn_scalar"] = HEAD_SIZE
    if values.get("qk_head_dim"):
        values["qk_head_dim"] = values["qk_nope_head_dim"] + values["qk_rope_head_dim"]
    for expand, count, size in _STATE_SPACES:  # their heads make up the inner width
        if type(values.get(expand)) is int and type(values.get(count)) is int and type(values.get(size)) is int:
            values[count] = values[expand] * values["hidden_size"] // values[size]
            if "mamba_d_ssm" in values:
                values["mamba_d_ssm"] = values[count] * values[size]
    return values


def _rope(value: Any, head_size: int) -> Any:
    """Rotary settings whose lists are as long as half a head."""
    if not isinstance(value, Mapping):
        return value
    half = head_size // 2
    found = {key: _rope(v, head_size) for key, v in value.items()}
    if isinstance(found.get("mrope_section"), (list, tuple)):
        found["mrope_section"] = [half - 2 * (half // 3), half // 3, half // 3]
    for key in ("short_factor", "long_factor"):
        if isinstance(found.get(key), (list, tuple)):
            found[key] = list(found[key])[:half]
    return found
