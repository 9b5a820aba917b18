"""Texts: which options they take, and their explanation as the records of a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import nn

import lrp
from lrp import models
from lrp.cli.items import Item
from lrp.cli.messages import quiet, unwarned
from lrp.cli.options import Request
from lrp.cli.parse import text_target
from lrp.cli.records import Explained, samples_of
from lrp.errors import InputError

__all__ = ["check_options", "of_text", "tokenizer_of"]

FOR_TEXTS = ("tokenizer", "generate")
FOR_IMAGES_AND_SOUNDS = ("preprocess", "size", "mean", "std", "rate", "mono")
FOR_FILES = (*FOR_IMAGES_AND_SOUNDS, "reference", "reference_output", "labels", "through_output")


def check_options(request: Request) -> None:
    """Refuse options of files beside a text, and those of texts beside a file.

    Raises:
        InputError: there is one.
    """
    for name in FOR_FILES if request.text else FOR_TEXTS:
        if getattr(request, name) != getattr(Request, name):
            option = f"--{name.replace('_', '-')}"
            what = "a text does not take this option" if request.text else "this option is for texts"
            raise InputError(what, where=option, cure=f"leave {option} out" + (", or give --text" * (not request.text)))


def tokenizer_of(request: Request) -> Any:
    """Return the tokenizer of ``--tokenizer``, or the one in the model's folder.

    Raises:
        InputError: neither is there.
    """
    folder = request.tokenizer
    if folder is None and request.model.startswith(models.MARK):
        folder = request.model.removeprefix(models.MARK)
    if folder is None:
        cure = "--tokenizer FOLDER, or a MODEL hf:FOLDER that holds its tokenizer"
        raise InputError("a text needs a tokenizer", where="--text", seen=request.model, cure=cure)
    with quiet():
        return models.load_tokenizer(folder)


def of_text(request: Request, item: Item, model: nn.Module, tokenizer: Any, how: dict[str, Any]) -> Iterator[Explained]:
    """Explain a text: one sample, whose features are its tokens.

    Args:
        request: the options.
        item: the text.
        model, tokenizer: as `lrp.explain_text` takes them.
        how: further arguments of it.
    """
    with quiet(), unwarned():
        text = lrp.explain_text(
            model, tokenizer, item.name, target=text_target(request.target), generate=request.generate or 0, **how
        )
    features = tuple(token.text for token in text.tokens)
    (sample,) = samples_of(text.relevance, 1, (), features)
    words = tuple((word.text, word.relevance) for word in text.words)
    sample = replace(sample, input=item.name, target=text.target, words=words)
    yield Explained(item, text.relevance, models.Inputs(text.relevance.values, features), (), [sample], text)
