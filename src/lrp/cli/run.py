"""Load what a request names and explain its samples, one at a time."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrp.cli.composite import composite_of
from lrp.cli.options import Request
from lrp.cli.parse import kwargs_of, labels_of, layers_of, numbers_of, target_of
from lrp.cli.reference import reference_of
from lrp.errors import InputError, LRPWarning

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lrp.models import Inputs
    from lrp.relevance import Relevance

__all__ = ["Explained", "explained", "heard", "load", "quiet"]


def load(request: Request) -> nn.Module:
    """Return the model of a request with its weights, in eval mode."""
    from lrp import models

    with quiet():
        model = models.load_model(request.model, kwargs_of(request.model_kwargs))
    if request.weights is not None:
        models.load_weights(model, request.weights, trust=request.trust_model_file)
    return model


@dataclass(frozen=True)
class Explained:
    """One sample's result: its number from 1, its inputs (1, ...) by name, all inputs, and lrp's warnings."""

    number: int
    result: Relevance
    given: dict[str, Tensor]
    inputs: Inputs
    warnings: tuple[str, ...]


def explained(request: Request, *, first_only: bool = False) -> Iterator[Explained]:
    """Explain the samples of a request, each in a run of its own, so that its numbers are its own.

    Args:
        request: what to explain and how.
        first_only: stop after the first sample.

    Raises:
        InputError: the first axis of the input is not the sample axis.
    """
    import torch
    from tqdm import tqdm

    import lrp
    from lrp import models

    labels = labels_of(request.labels)
    target = target_of(request.target, labels)
    composite = composite_of(request.composite)
    mean, std = numbers_of(request.mean, "--mean"), numbers_of(request.std, "--std")

    def read(path: str) -> Inputs:
        return models.load_inputs(path, size=request.size, mean=mean, std=std)

    inputs = read(request.input)
    reference = reference_of(request.reference, request.input, inputs, read)
    model = load(request)
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    inputs = inputs.to(parameter.device, parameter.dtype)
    if isinstance(reference, models.Inputs):
        reference = reference.to(parameter.device, parameter.dtype)
    samples = range(1 if first_only else len(inputs))
    with models.importable(request.model):
        for index in tqdm(samples, desc="explaining", unit="sample", disable=None if len(samples) > 1 else True):
            with quiet(), heard() as messages:
                result = lrp.explain(
                    model,
                    inputs.sample(index),
                    target=target,
                    composite=composite,
                    keep=layers_of(request.layers),
                    reference=reference.sample(index) if isinstance(reference, models.Inputs) else reference,
                    reference_output=request.reference_output,
                    through_output=request.through_output,
                )
            if result.explained.shape[-1:] != (1,):
                raise InputError(
                    "one sample gave several outputs",
                    where=f"{request.input}, sample {index + 1}",
                    seen=f"explained output of shape {tuple(result.explained.shape)}",
                    cure="the first axis of the input must be the sample axis; for other layouts use lrp.explain",
                )
            given = {name: tensor[index : index + 1] for name, tensor in inputs.tensors.items()}
            yield Explained(index + 1, result, given, inputs, tuple(messages))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what the user's own code prints to stderr: stdout holds results alone."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """Collect lrp's own warnings, which belong to the result, and pass all others on."""
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LRPWarning)
        yield messages
    for warning in caught:
        if issubclass(warning.category, LRPWarning):
            messages.append(f"warning: {warning.message}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
