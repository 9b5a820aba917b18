"""Values of configurations that no rule by the names of attributes finds, by model type."""

from __future__ import annotations

from typing import Any

__all__ = ["EXCEPTIONS"]

EXCEPTIONS: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "attention_layers": ["global", "local"]},
    "xmod": {"default_language": "en_XX"},
    "beit": {"num_hidden_layers": 4, "out_indices": [0, 1, 2, 3]},
    "bamba": {"attn_layer_indices": [1]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention"] * 2,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
        },
    },
    "zamba": {
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "num_hidden_layers": 4,
    },
    "dory": {  # counts each layer as two
        "layer_types": ["sliding_attention", "mlp", "full_attention", "mlp", "sliding_attention", "mlp"],
        "num_hidden_layers": 6,
        **dict.fromkeys(("n_input_layers", "n_recurrent_layers", "n_output_layers"), 2),
    },
    "dpt": {"num_hidden_layers": 4, "backbone_out_indices": [0, 1, 2, 3]},
    "qwen4_exp_text": {
        "indexer_budget": 8,
        "indexer_compress_ratio": 2,
        "indexer_head_dim": 8,
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
    },
    "xlstm": {"hidden_size": 128, "embedding_dim": 128},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "rwkv": {"use_cache": False},  # its own backward pass fails with it
    "hrm_text": {"use_cache": False},  # recurs over more layers than its cache has
    "blt": {"use_cache": False},
    "moonshine_streaming": {"num_key_value_heads": 4},
    "tipsv2_dpt": {"backbone_config": {"num_hidden_layers": 4, "out_indices": [1, 2, 3, 4]}},
    "data2vec-vision": {"num_hidden_layers": 4, "out_indices": [0, 1, 2, 3]},
    "shieldgemma2": {"yes_token_index": 5, "no_token_index": 6},
    "dbrx": {"attn_config": {"rope_theta": 1e4, "clip_qkv": 8.0}},
    "sapiens2": {
        "num_key_value_heads_per_layer": [4, 4],
        "head_config": {"upsample_out_channels": [16, 16], "conv_out_channels": [16], "conv_kernel_sizes": [1]},
    },
    "upernet": {"use_auxiliary_head": False},
}
