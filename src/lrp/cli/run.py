"""Load what a request names and explain its samples, one at a time."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lrp.cli.composite import composite_of
from lrp.cli.items import Item, Items
from lrp.cli.options import Request
from lrp.cli.parse import kwargs_of, labels_of, layers_of, numbers_of, target_of
from lrp.cli.records import Failure, Sample, samples_of
from lrp.cli.reference import reference_of
from lrp.errors import InputError, LoadError, LRPWarning

if TYPE_CHECKING:
    from torch import nn

    from lrp.models import Inputs
    from lrp.relevance import Relevance

__all__ = ["Explained", "explained", "heard", "load", "quiet"]


@dataclass(frozen=True)
class Explained:
    """One sample: the input it is of, the result, what the input was read as, and the records for each target."""

    item: Item
    result: Relevance
    inputs: Inputs
    labels: tuple[str, ...]
    samples: list[Sample]


def load(request: Request) -> nn.Module:
    """Return the model of a request with its weights, in eval mode."""
    from lrp import models

    with quiet():
        model = models.load_model(request.model, kwargs_of(request.model_kwargs))
    if request.weights is not None:
        models.load_weights(model, request.weights, trust=request.trust_model_file)
    return model


def explained(
    request: Request, items: Items, failures: list[Failure] | None = None, *, first_only: bool = False
) -> Iterator[Explained]:
    """Explain the samples of all inputs, each in a run of its own, so that its numbers are its own.

    Args:
        request: what to explain and how.
        items: the inputs.
        failures: where inputs that cannot be explained go, with the reasons; None: the first one is raised.
        first_only: stop after the first sample.

    Raises:
        LRPError: what is wrong with the request, whatever the input; with an input, where there is no list for it.
    """
    from tqdm import tqdm

    from lrp import models

    composite, read = composite_of(request.composite), reader(request)
    labels = labels_of(request.labels)
    model = load(request)
    how = {
        "target": target_of(request.target, labels),
        "composite": composite,
        "keep": layers_of(request.layers),
        "reference_output": request.reference_output,
        "through_output": request.through_output,
    }
    with models.importable(request.model):
        for item in tqdm(items.each, desc="explaining", unit="input", disable=None if items.many else True):
            try:
                for one in of_file(request, item, read, model, labels, how, bar=not items.many):
                    yield one
                    if first_only:
                        return
            except (InputError, LoadError) as error:
                if failures is None:
                    raise
                failures.append(Failure(item.name, error))


def of_file(
    request: Request,
    item: Item,
    read: Callable[[str], Inputs],
    model: nn.Module,
    labels: tuple[str, ...],
    how: dict[str, Any],
    bar: bool,
) -> Iterator[Explained]:
    """Explain the samples of a file, with a progress bar or without.

    Raises:
        InputError: the first axis of the input is not the sample axis, and whatever `lrp.explain` raises.
    """
    import torch
    from tqdm import tqdm

    import lrp
    from lrp import models

    inputs = read(str(item.path))
    reference = reference_of(request.reference, str(item.path), inputs, read)
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    inputs = inputs.to(parameter.device, parameter.dtype)
    if isinstance(reference, models.Inputs):
        reference = reference.to(parameter.device, parameter.dtype)
    shown = None if bar and len(inputs) > 1 else True
    for index in tqdm(range(len(inputs)), desc="explaining", unit="sample", disable=shown):
        with quiet(), heard() as messages:
            given = reference.sample(index) if isinstance(reference, models.Inputs) else reference
            result = lrp.explain(model, inputs.sample(index), reference=given, **how)
        if result.explained.shape[-1:] != (1,):
            raise InputError(
                "one sample gave several outputs",
                where=f"{item.path}, sample {index + 1}",
                seen=f"explained output of shape {tuple(result.explained.shape)}",
                cure="the first axis of the input must be the sample axis; for other layouts use lrp.explain",
            )
        made = samples_of(result, index + 1, request.target, inputs.features, labels, tuple(messages))
        yield Explained(item, result, inputs, labels, [replace(sample, input=item.name) for sample in made])


def reader(request: Request) -> Callable[[str], Inputs]:
    """Return what reads a file as the request wants it read."""
    from lrp import models

    mean, std = numbers_of(request.mean, "--mean"), numbers_of(request.std, "--std")

    def read(path: str) -> Inputs:
        return models.load_inputs(path, size=request.size, mean=mean, std=std, rate=request.rate, mono=request.mono)

    return read


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
