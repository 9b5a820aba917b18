"""One question to one model, answered."""

from __future__ import annotations

import re
import tempfile
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

import lrp
from lrp.app.choice import Choice, Words
from lrp.engine.structure import tensors_in
from lrp.errors import InputError, LRPWarning
from lrp.models import Inputs, importable
from lrp.relevance import Relevance
from lrp.text import TextRelevance

__all__ = ["INPUT", "Answer", "Question", "answer"]

INPUT = "the input"
"""The layer that is shown when none is chosen."""


@dataclass(frozen=True)
class Question:
    """What to explain and how, in the words of the page.

    Attributes:
        source: a file, or the name of an example; or the text itself.
        is_text: which of them.
        row: which sample of a file, from 1.
        target, preset: words as on the command line.
        layer: a module's path, or `INPUT`.
    """

    source: str
    is_text: bool
    row: int
    target: str
    preset: str
    layer: str


@dataclass(frozen=True)
class Answer:
    """An explanation of one sample.

    Attributes:
        title: the model and the preset.
        layer: where relevance is shown.
        relevance: what is shown of it, without the axis of samples; of a text at the input, that of its words.
        result: all of it, for a batch of one.
        text: the text's words and tokens, else None.
        given: the input, where relevance is that of the input; else None.
        picture: what the model saw, where it is a picture.
        features: the names of the input's columns, or nothing.
        labels: the names of the model's classes, or nothing.
    """

    title: str
    layer: str
    relevance: Tensor
    result: Relevance
    text: TextRelevance | None = None
    given: Tensor | None = None
    picture: Image.Image | None = None
    features: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def report(self, folder: Path) -> Path:
        """Write the page of `Relevance.report` into a folder of its own in `folder`, and return it."""
        name = re.sub(r"[^\w.]+", "-", self.title).strip("-.")[:80]
        path = Path(tempfile.mkdtemp(dir=folder)) / f"{name}.html"
        if self.text is not None:
            self.text.report(path, title=self.title)
            return path
        names = list(self.features) or None
        self.result.report(path, picture=self.picture, names=names, labels=list(self.labels), title=self.title)
        return path


def answer(choice: Choice, question: Question, words: Words) -> Answer:
    """Explain.

    Raises:
        LRPError: what is wrong with the input, the words, or the model.
    """
    preset = question.preset.strip() or "auto"
    asked = (question.target.strip(),) if question.target.strip() not in ("", "top") else ()
    how: dict[str, Any] = {
        "target": words.text_target(asked) if question.is_text else words.target(asked, choice.labels),
        "composite": words.composite(preset),
        "keep": [] if question.layer == INPUT else [question.layer],
    }
    folder = importable(choice.spec) if choice.spec else nullcontext()
    with folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", LRPWarning)  # the notes have them
        if question.is_text:
            text, inputs = lrp.explain_text(choice.model, choice.tokenizer, question.source, **how), None
            result = text.relevance
        else:
            text, inputs = None, choice.read(question.source)
            result = lrp.explain(choice.model, sample_of(inputs, question.row, choice.model), **how)
    if result.explained.shape != (1,):
        seen = f"explained output of shape {tuple(result.explained.shape)}"
        cure = "the first axis of the input must be the sample axis"
        raise InputError("one sample gave several outputs", where="input", seen=seen, cure=cure)
    at_input = question.layer == INPUT
    if text is not None and at_input:
        relevance, given = torch.tensor([word.relevance for word in text.words]), None
    else:
        relevance = single(result.input if at_input else result[question.layer], question.layer)
        given = single(result.values, question.layer) if at_input else None
    return Answer(
        title=f"{choice.name}, {result.composite.name if preset == 'auto' else preset}",
        layer=question.layer,
        relevance=relevance,
        result=result,
        text=text,
        given=given,
        picture=None if inputs is None else inputs.picture,
        features=() if inputs is None else inputs.features,
        labels=choice.labels,
    )


def sample_of(inputs: Inputs, row: int, model: nn.Module) -> Any:
    """Return one row of a file, where the model is and as exact as it."""
    if not 1 <= row <= len(inputs):
        seen = f"row {row} of {len(inputs)}"
        raise InputError("there is no such row", where="row", seen=seen, cure="rows are counted from 1")
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    return inputs.to(parameter.device, parameter.dtype).sample(row - 1)


def single(structure: Any, layer: str) -> Tensor:
    """Return the only tensor in a structure of a batch of one, without the axis of samples."""
    found = tensors_in(structure)
    if len(found) != 1:
        seen = f"{len(found)} tensors at {layer}"
        raise InputError("the page shows one tensor", where="layer", seen=seen, cure="choose another layer")
    return found[0].detach().cpu()[0]
