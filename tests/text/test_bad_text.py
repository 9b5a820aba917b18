"""Texts, tokenizers and targets that cannot be used: one clear error each, with the cure."""

from __future__ import annotations

import re
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import processors

import lrp
from lrp.errors import InputError, TargetError
from lrp.targets import Several
from tests.cases.texts import build

build = cache(build)
MASKED, TEXT = "It is [MASK].", "The capital of France is"


def _ending(name: str) -> Any:
    """A tokenizer that ends each text with a special token."""
    tokenizer = build.__wrapped__(name)[1]
    end = processors.TemplateProcessing(single="$A <|end|>", special_tokens=[("<|end|>", 0)])
    tokenizer.backend_tokenizer.post_processor = end
    return tokenizer


BAD: dict[str, tuple[str, Any, dict[str, Any], type[Exception], str]] = {
    "several texts": ("gpt2", [TEXT, TEXT], {}, InputError, "one call for each text"),
    "three texts": ("classifier", (TEXT, TEXT, TEXT), {}, InputError, "a pair of strings (a tuple)"),
    "no messages": ("gpt2", [], {}, InputError, "a list of messages"),
    "no tokens": ("gpt2", "", {}, InputError, "the text has no tokens"),
    "two inputs": ("t5", TEXT, {}, InputError, "decoder_input_ids"),
    "several targets": ("gpt2", TEXT, {"target": Several(0, 1)}, TargetError, "one target a call"),
    "three words": ("gpt2", TEXT, {"target": ("a", "b", "c")}, TargetError, 'target=("Paris", "London")'),
    "a class that is none": ("classifier", TEXT, {"target": "goood"}, TargetError, "one of 'good'"),
    "a contrast of no class": ("classifier", TEXT, {"target": ("goood", "bad")}, TargetError, "one of 'good'"),
    "two aims": ("gpt2", TEXT, {"target": "Paris", "generate": 2}, TargetError, "generate= or target="),
    "nothing to generate with": ("masked", MASKED, {"generate": 2}, InputError, "BertForMaskedLM"),
    "no mask": ("masked", TEXT, {}, TargetError, "a mask in the text"),
    "no mask for a word": ("masked", TEXT, {"target": "Paris"}, TargetError, "targets.Token(position)"),
    "tags": ("tags", TEXT, {}, TargetError, "lrp.targets.Token(position, class)"),
    "no such tag": ("tags", TEXT, {"target": "Paris"}, TargetError, "targets.Token(position)"),
    "two tokens at the mask": ("masked", MASKED, {"target": "unhappily"}, TargetError, "un ##happily"),
    "an unknown word at the mask": ("masked", MASKED, {"target": "東"}, TargetError, "[UNK]"),
    "a word that changes its neighbours": ("masked", "y[MASK]", {"target": "ound"}, TargetError, "is not one token"),
    "two tokens in a contrast": ("gpt2", TEXT, {"target": ("Paris", "lost cities")}, TargetError, "is not one token"),
    "nothing": ("gpt2", TEXT, {"target": ""}, TargetError, "no continuation of the text"),
    "letters that change a token": ("gpt2", "Don'", {"target": "to"}, TargetError, "no continuation of the text"),
    "an unknown continuation": ("llama", TEXT, {"target": "東"}, TargetError, "no continuation of the text"),
    "a pair that goes on": ("gpt2", (TEXT, TEXT), {"target": "Paris"}, InputError, "the text does not go on"),
    "a pair to go on from": ("gpt2", (TEXT, TEXT), {"generate": 1}, InputError, "the text does not go on"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_explained_is_refused(name: str) -> None:
    kind, text, options, error, words = BAD[name]
    with pytest.raises(error, match=re.escape(words)):
        lrp.explain_text(*build(kind), text, **options)


@pytest.mark.parametrize("options", [{"target": "Paris"}, {"generate": 1}])
def test_a_text_that_was_ended_does_not_go_on(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="add_eos_token=False"):
        lrp.explain_text(build("gpt2")[0], _ending("gpt2"), TEXT, **options)


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(InputError, match="a fast tokenizer of transformers"):
        lrp.explain_text(build("gpt2")[0], SimpleNamespace(is_fast=False), TEXT)
