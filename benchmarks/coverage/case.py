"""One architecture to explain, and one way to build it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

__all__ = ["Candidate", "Case"]


@dataclass(frozen=True)
class Case:
    library: str
    head: str
    name: str

    @property
    def key(self) -> str:
        return f"{self.library}/{self.head}/{self.name}"


@dataclass
class Candidate:
    """A model with inputs of two samples and a target; `how` says how it was made small."""

    model: nn.Module
    inputs: Any
    target: Any
    how: str
