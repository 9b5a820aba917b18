"""A model that runs by itself, and what it and its explanation give on two samples."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import lrp
from benchmarks.coverage.case import Candidate
from benchmarks.coverage.weights import disturb
from lrp.engine.structure import tensors_in
from lrp.targets import as_target

__all__ = ["Plain", "Subject", "difference", "large"]

PARAMETERS, ELEMENTS = 150_000_000, 5_000_000
"""Models with more parameters, or more numbers as inputs, are explained in float32 only."""


@dataclass
class Plain:
    """What the model itself gives: the explained numbers, and the seconds of its forward and backward pass."""

    value: Tensor
    seconds: float


@dataclass
class Subject:
    model: nn.Module
    inputs: Any
    target: Any
    dtype: torch.dtype

    @classmethod
    def of(cls, candidate: Candidate, dtype: torch.dtype) -> Subject:
        model = candidate.model.eval()
        disturb(model)
        inputs = _each(lambda t: t.to(dtype) if t.is_floating_point() else t, candidate.inputs)
        return cls(model.to(dtype), inputs, candidate.target, dtype)

    def sample(self, index: int) -> Subject:
        """The same model on one of the two samples; some take several rows for each."""

        def rows(t: Tensor) -> Tensor:
            each = t.shape[0] // 2
            return t[index * each : (index + 1) * each]

        return Subject(self.model, _each(rows, self.inputs), self.target, self.dtype)

    def run(self) -> Plain:
        """Forward and backward, as gradient x input does them.

        Raises:
            ArithmeticError: there is nothing to explain, or not by numbers.
        """
        started = time.process_time()
        given = _each(lambda t: t.clone().requires_grad_() if t.is_floating_point() else t, self.inputs)
        output = self.model(**given) if isinstance(given, dict) else self.model(given)
        value = as_target(self.target).explained(output)
        if not value.requires_grad or not bool(value.all()):
            raise ArithmeticError("the output is 0, or depends on nothing")
        leaves = [t for t in tensors_in(given) if t.requires_grad]
        leaves = leaves or [
            m.weight for m in self.model.modules() if isinstance(m, nn.Embedding) and m.weight.requires_grad
        ]
        gradients = torch.autograd.grad(value.sum(), leaves or list(self.model.parameters()), allow_unused=True)
        seconds = time.process_time() - started
        if all(gradient is None for gradient in gradients):
            raise ArithmeticError("the output does not depend on the input by gradient")
        if not all(bool(torch.isfinite(t).all()) for t in (value, *gradients) if t is not None):
            raise ArithmeticError("the output or the gradient is not finite")
        return Plain(value.detach(), seconds)

    def explain(self, **options: Any) -> tuple[lrp.Relevance, float]:
        """The explanation, without its warnings, and its seconds."""
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            relevance = lrp.explain(self.model, self.inputs, target=self.target, **options)
        return relevance, time.process_time() - started


def large(candidate: Candidate) -> bool:
    parameters = sum(p.numel() for p in candidate.model.parameters())
    return parameters > PARAMETERS or sum(t.numel() for t in tensors_in(candidate.inputs)) > ELEMENTS


def difference(these: list[Tensor], those: list[Tensor]) -> float:
    """The largest difference as a share of the largest number."""
    if [t.shape for t in these] != [t.shape for t in those]:
        return float("inf")
    a, b = (torch.cat([t.flatten() for t in (*tensors, torch.zeros(1))]) for tensors in (these, those))
    size = max(float(a.abs().max()), float(b.abs().max()))
    return float((a - b).abs().max()) / size if size > 0 else 0.0


def _each(change: Callable[[Tensor], Tensor], inputs: Any) -> Any:
    if isinstance(inputs, Tensor):
        return change(inputs)
    return {name: change(tensor) for name, tensor in inputs.items()}
