"""Every transformers architecture with one of ten heads, from a configuration made small."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
import transformers
from torch import nn
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import lrp
from benchmarks.coverage.case import Candidate, Case
from benchmarks.coverage.exceptions import EXCEPTIONS
from benchmarks.coverage.inputs import inputs_of
from benchmarks.coverage.shrink import LEVELS, shrunk

__all__ = ["attention_of", "candidates", "cases", "with_attention"]

HEADS = {
    "causal-lm": "CAUSAL_LM",
    "masked-lm": "MASKED_LM",
    "image-classification": "IMAGE_CLASSIFICATION",
    "semantic-segmentation": "SEMANTIC_SEGMENTATION",
    "audio-classification": "AUDIO_CLASSIFICATION",
    "seq2seq": "SEQ_TO_SEQ_CAUSAL_LM",
    "speech-seq2seq": "SPEECH_SEQ_2_SEQ",
    "sequence-classification": "SEQUENCE_CLASSIFICATION",
    "token-classification": "TOKEN_CLASSIFICATION",
    "question-answering": "QUESTION_ANSWERING",
}
TOO_LARGE = 300_000_000
_COMMON = {field.name for field in dataclasses.fields(transformers.PretrainedConfig)} - {"tie_word_embeddings"}


def cases() -> list[Case]:
    return [Case("transformers", head, kind) for head in HEADS for kind in _names(head)]


def _names(head: str) -> dict[str, str]:
    return getattr(modeling_auto, f"MODEL_FOR_{HEADS[head]}_MAPPING_NAMES")


def candidates(case: Case) -> Iterator[Candidate]:
    name = _names(case.head)[case.name]
    model_class = getattr(transformers, name[0] if isinstance(name, (tuple, list)) else name)
    config_class = model_class.config_class or CONFIG_MAPPING[case.name]
    full = config_class()
    failure: Exception | None = None
    for level in LEVELS:
        try:
            config = config_class(**_merged(shrunk(_settable(full), level), EXCEPTIONS.get(full.model_type, {})))
            config.decoder_start_token_id = getattr(config, "decoder_start_token_id", None) or 0
            config.pad_token_id = getattr(config, "pad_token_id", None) or 0
            if case.head == "causal-lm" and hasattr(config, "is_decoder"):
                config.is_decoder = True
            config.num_labels = 2 if case.head == "question-answering" else 3
            with torch.device("meta"):
                parameters = sum(p.numel() for p in model_class(config).parameters())
            if parameters > TOO_LARGE:
                raise MemoryError(f"{parameters} parameters with {level}")
            model = model_class(config)
            yield Candidate(model, inputs_of(model, case.head), target_of(case), level)
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure


def _settable(config: Any) -> dict[str, Any]:
    """What a configuration can be made of anew, without what every configuration has and what follows from the rest."""
    values = config.to_dict()
    names = {field.name for field in dataclasses.fields(config)} - _COMMON
    kept = {key: v for key, v in values.items() if key in names or key == "rope_parameters"}
    for key, sub in list(kept.items()):
        of = vars(config).get(key)  # not by getattr, which some refuse
        if isinstance(of, transformers.PretrainedConfig):
            kept[key] = {**_settable(of), "model_type": sub.get("model_type", of.model_type)}
    return kept


def _merged(values: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """The values with the others in their places, nested configurations entry by entry."""
    nested = {
        k: _merged(values[k], v) for k, v in others.items() if isinstance(v, dict) and isinstance(values.get(k), dict)
    }
    return {**values, **others, **nested}


def target_of(case: Case) -> Any:
    head = case.head
    if case.name == "pp_lcnet":
        return lrp.targets.At("last_hidden_state")
    if case.name == "perceiver" and head == "masked-lm":
        return last_decoded  # its positions are not those of the attention mask
    if head in ("causal-lm", "masked-lm", "seq2seq", "speech-seq2seq"):
        return lrp.targets.Token(-1)
    if head == "token-classification":
        return lrp.targets.Token(-1, 0)
    if head == "question-answering":
        return first_start
    if head == "semantic-segmentation":
        return all_of_class_0
    return None


def last_decoded(output: Any) -> torch.Tensor:
    """The token 5 at the last decoded position."""
    return output.logits[:, -1, 5]


def first_start(output: Any) -> torch.Tensor:
    return output.start_logits[:, 1] if hasattr(output, "start_logits") else output.question_answering_score[:, 1]


def all_of_class_0(output: Any) -> torch.Tensor:
    return output.logits[:, 0].sum((1, 2))


def attention_of(model: nn.Module) -> str | None:
    return getattr(getattr(model, "config", None), "_attn_implementation", None)


def with_attention(model: nn.Module, kind: str) -> bool:
    """Switch the model's attention, and say whether that could be done."""
    switch = getattr(model, "set_attn_implementation", None)
    if switch is None:
        return False
    try:
        switch(kind)
    except (ValueError, KeyError, AttributeError):
        return False
    return bool(model.config._attn_implementation == kind)
