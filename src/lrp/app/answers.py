"""One question to one model, answered."""

from __future__ import annotations

import re
import tempfile
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import lrp
from lrp.app.choice import Choice, Words
from lrp.engine.structure import tensors_in
from lrp.errors import InputError, LRPWarning
from lrp.models import importable
from lrp.relevance import Relevance

__all__ = ["INPUT", "Answer", "Question", "answer"]

INPUT = "the input"
"""The layer that is shown when none is chosen."""


@dataclass(frozen=True)
class Question:
    """What to explain and how, in the words of the page.

    Attributes:
        source: a file, or the name of an example.
        row: which sample of it, from 1.
        target, preset: words as on the command line.
        layer: a module's path, or `INPUT`.
    """

    source: str
    row: int
    target: str
    preset: str
    layer: str


@dataclass(frozen=True)
class Answer:
    """An explanation of one sample.

    Attributes:
        result: of a batch of one.
        relevance: what is shown of it, at the input or at a layer, without the axis of samples.
        layer: where that is.
        picture: what the model saw, where it is a picture.
        features: the names of the input's columns, or nothing.
        labels: the names of the model's classes, or nothing.
        title: the model and the preset.
        notes: what the reader must know.
    """

    result: Relevance
    relevance: Tensor
    layer: str
    picture: Image.Image | None
    features: tuple[str, ...]
    labels: tuple[str, ...]
    title: str
    notes: tuple[str, ...]

    def report(self, folder: Path) -> Path:
        """Write the page of `Relevance.report` into a folder of its own in `folder`, and return it."""
        name = re.sub(r"[^\w.]+", "-", self.title).strip("-.")[:80]
        path = Path(tempfile.mkdtemp(dir=folder)) / f"{name}.html"
        names = list(self.features) or None
        self.result.report(path, picture=self.picture, names=names, labels=list(self.labels), title=self.title)
        return path


def answer(choice: Choice, question: Question, words: Words) -> Answer:
    """Explain.

    Raises:
        LRPError: what is wrong with the input, the words, or the model.
    """
    target = words.target((question.target.strip(),) if question.target.strip() else (), choice.labels)
    composite = words.composite(question.preset.strip() or "auto")
    inputs = choice.read(question.source)
    if not 1 <= question.row <= len(inputs):
        seen = f"row {question.row} of {len(inputs)}"
        raise InputError("there is no such row", where="row", seen=seen, cure="rows are counted from 1")
    parameter = next((p for p in choice.model.parameters() if p.is_floating_point()), torch.zeros(()))
    sample = inputs.to(parameter.device, parameter.dtype).sample(question.row - 1)
    keep = [] if question.layer == INPUT else [question.layer]
    folder = importable(choice.spec) if choice.spec else nullcontext()
    with folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LRPWarning)
        result = lrp.explain(choice.model, sample, target=target, composite=composite, keep=keep)
    if result.explained.shape != (1,):
        seen = f"explained output of shape {tuple(result.explained.shape)}"
        cure = "the first axis of the input must be the sample axis"
        raise InputError("one sample gave several outputs", where="input", seen=seen, cure=cure)
    at = result.input if question.layer == INPUT else result[question.layer]
    found = tensors_in(at)
    if len(found) != 1:
        seen = f"{len(found)} tensors at {question.layer}"
        raise InputError("the page shows one tensor", where="layer", seen=seen, cure="choose another layer")
    return Answer(
        result=result,
        relevance=found[0].detach().cpu()[0],
        layer=question.layer,
        picture=inputs.picture,
        features=inputs.features,
        labels=choice.labels,
        title=f"{choice.name}, {result.composite.name}",
        notes=(*result.notes, *(str(each.message) for each in caught if issubclass(each.category, LRPWarning))),
    )
