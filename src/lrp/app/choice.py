"""What the page chooses among: models, and words for targets and presets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from lrp.composite import Composite
from lrp.models import Inputs

__all__ = ["Choice", "Words"]


@dataclass(frozen=True)
class Choice:
    """A model that was named when the app started.

    Attributes:
        name: what the page calls it; names differ.
        model: the model, with its weights, in eval mode.
        read: a file, or one of `examples`, to the model's inputs.
        labels: the names of its classes, or nothing.
        examples: names of inputs that come with it.
        tokenizer: of a model that reads texts, else None.
        spec: ``file.py:Class``, whose folder its code may import from as it runs; else nothing.
    """

    name: str
    model: nn.Module
    read: Callable[[str], Inputs]
    labels: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    tokenizer: Any = None
    spec: str = ""


@dataclass(frozen=True)
class Words:
    """How the page's words are read: as the command line reads them.

    Attributes:
        target: the words of a target and the labels, to what `lrp.explain` takes.
        text_target: the words of a target, to what `lrp.explain_text` takes.
        composite: the words of a preset, to a composite or None.
        presets: the names of the presets.
    """

    target: Callable[[tuple[str, ...], tuple[str, ...]], Any]
    text_target: Callable[[tuple[str, ...]], Any]
    composite: Callable[[str], Composite | None]
    presets: Sequence[str]
