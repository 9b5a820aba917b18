"""Inputs of two samples for a transformers model, by the name and the configuration of what it takes."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["inputs_of"]

LENGTH, DECODED, SAMPLES = 12, 5, 2000


def inputs_of(model: nn.Module, head: str) -> dict[str, Tensor]:
    """The inputs a user of this head would hand in, by keyword."""
    generator = torch.Generator().manual_seed(1)
    config = model.config
    takes = inspect.signature(model.forward).parameters
    main = model.main_input_name
    if main not in takes or main == "inputs":
        main = next((name for name in (*_FLOATS, "input_ids") if name in takes), main)
    given: dict[str, Tensor] = {}
    if main in _FLOATS:
        given[main] = _FLOATS[main](config, generator)
    elif main != "input_ids" and head == "image-classification":
        given[main] = _pixels(config, generator)
    else:
        given[main] = _ids(config, _shape(config), generator)
        if "attention_mask" in takes and len(given[main]) == 2:
            given["attention_mask"] = torch.ones(2, LENGTH, dtype=torch.long)
    if config.model_type == "longformer" and head == "question-answering":
        given["input_ids"][:, [3, 4, -1]] = config.sep_token_id
    if config.model_type == "bros":
        given["bbox"] = torch.rand(2, LENGTH, 8, generator=generator)
    if config.model_type == "lxmert":
        given["visual_feats"] = torch.randn(2, 3, config.visual_feat_dim, generator=generator)
        given["visual_pos"] = torch.rand(2, 3, config.visual_pos_dim, generator=generator)
    if "spatial_shapes" in takes:  # pixels come as patches in rows
        size = config.vision_config.patch_size**2 * config.vision_config.num_channels
        given["pixel_values"] = torch.randn(2, 16, size, generator=generator)
        given["pixel_attention_mask"] = torch.ones(2, 16, dtype=torch.long)
        given["spatial_shapes"] = torch.full((2, 2), 4)
    if config.model_type == "voxtral_realtime":
        frames = 2 * config.downsample_factor * LENGTH
        given["input_features"] = torch.randn(2, config.audio_config.num_mel_bins, frames, generator=generator)
    if "decoder_input_ids" in takes and head in ("seq2seq", "speech-seq2seq"):
        channels = (config.decoder_config.num_channels,) if config.model_type == "dia" else ()
        given["decoder_input_ids"] = _ids(config, (2, DECODED, *channels), generator)
    return given


def _shape(config: Any) -> tuple[int, ...]:
    if config.model_type.startswith("musicgen"):
        return 2 * config.num_codebooks, LENGTH
    if config.model_type == "kyutai_speech_to_text":
        return 2, LENGTH, config.num_codebooks + 1
    return 2, LENGTH


def _ids(config: Any, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Ordinary tokens, behind them the token that ends a sequence, where one does."""
    vocabulary = getattr(config, "vocab_size", None) or getattr(config.get_text_config(), "vocab_size", 100)
    ids = torch.randint(10, max(11, min(vocabulary, 100)), shape, generator=generator)
    end = config.eos_token_id if hasattr(config, "eos_token_id") else None
    if type(end) is int and 0 <= end < vocabulary:
        ids[:, -1] = end
    return ids


def _pixels(config: Any, generator: torch.Generator) -> Tensor:
    config = next((c for c in (config, getattr(config, "vision_config", None)) if hasattr(c, "num_channels")), config)
    size = getattr(config, "image_size", None) or 64
    height, width = (size, size) if isinstance(size, int) else size
    return torch.randn(2, getattr(config, "num_channels", 3) or 3, height, width, generator=generator)


def _audio(config: Any, generator: torch.Generator) -> Tensor:
    if hasattr(config, "num_mel_bins") and hasattr(config, "max_length"):
        return torch.randn(2, config.max_length, config.num_mel_bins, generator=generator)
    return torch.randn(2, SAMPLES, generator=generator)


def _features(config: Any, generator: torch.Generator) -> Tensor:
    encoder = getattr(config, "encoder_config", config)
    bins = getattr(encoder, "num_mel_bins", None) or getattr(config, "feature_projection_input_dim", None) or 80
    if hasattr(config, "max_source_positions") and config.model_type.startswith("whisper"):
        return torch.randn(2, bins, 2 * config.max_source_positions, generator=generator)
    per_frame = getattr(config, "input_feat_per_channel", None) or bins
    return torch.randn(2, 40, per_frame, generator=generator)


_FLOATS = {"pixel_values": _pixels, "input_values": _audio, "input_features": _features}
"""Inputs of real numbers by their names."""
