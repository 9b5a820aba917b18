"""Load what a request names and explain its samples, one at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrp.cli.composite import composite_of
from lrp.cli.items import Item, Items
from lrp.cli.messages import quiet, unwarned
from lrp.cli.options import Request
from lrp.cli.parse import kwargs_of, labels_of, layers_of, numbers_of, target_of
from lrp.cli.records import Explained, Failure, samples_of
from lrp.cli.reference import reference_of
from lrp.cli.texts import check_options, of_text, tokenizer_of
from lrp.errors import InputError, LoadError

if TYPE_CHECKING:
    from torch import nn

    from lrp.models import Inputs

__all__ = ["explained", "load"]


def load(request: Request) -> nn.Module:
    """Return the model of a request with its weights, in eval mode."""
    from lrp import models

    folder = request.model.removeprefix(models.MARK)
    if folder != request.model and request.model_kwargs is not None:
        raise LoadError("a model out of a folder takes no arguments", where="--model-kwargs", cure="leave them out")
    with quiet():
        if folder != request.model:
            model = models.load_pretrained(folder)
        else:
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

    check_options(request)
    how: dict[str, Any] = {"composite": composite_of(request.composite), "keep": layers_of(request.layers)}
    how["positions"] = request.positions
    read = reader(request)
    model = load(request)
    if request.text:
        one_input = partial(of_text, request, model=model, tokenizer=tokenizer_of(request), how=how)
    else:
        labels = labels_of(request.labels) or labels_in(model)
        how["target"] = target_of(request.target, labels)
        how |= {"reference_output": request.reference_output, "through_output": request.through_output}
        one_input = partial(of_file, request, read=read, model=model, labels=labels, how=how, bar=not items.many)
    with models.importable(request.model):
        for item in tqdm(items.each, desc="explaining", unit="input", disable=None if items.many else True):
            try:
                for one in one_input(item):
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
        with quiet(), unwarned():
            given = reference.sample(index) if isinstance(reference, models.Inputs) else reference
            result = lrp.explain(model, inputs.sample(index), reference=given, **how)
        if result.explained.shape[-1:] != (1,):
            raise InputError(
                "one sample gave several outputs",
                where=f"{item.path}, sample {index + 1}",
                seen=f"explained output of shape {tuple(result.explained.shape)}",
                cure="the first axis of the input must be the sample axis; for other layouts use lrp.explain",
            )
        made = samples_of(result, index + 1, request.target, inputs.features, labels)
        yield Explained(item, result, inputs, labels, [replace(sample, input=item.name) for sample in made])


def labels_in(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the classes that a model of transformers knows: none where they are mere numbers."""
    names = getattr(getattr(model, "config", None), "id2label", None) or {}
    labels = tuple(str(names[index]) for index in sorted(names))
    return () if all(re.fullmatch(r"LABEL_\d+", label) for label in labels) else labels


def reader(request: Request) -> Callable[[str], Inputs]:
    """Return what reads a file as the request, or else the model's own folder, says."""
    from lrp import models

    mean, std = numbers_of(request.mean, "--mean"), numbers_of(request.std, "--std")
    by_hand = request.size or mean or std
    given = models.read_preprocess(request.preprocess) if request.preprocess else None
    folder = request.model.removeprefix(models.MARK)
    config = Path(folder, "preprocessor_config.json") if folder != request.model else None

    def read(path: str) -> Inputs:
        kind, preprocess = Path(path).suffix.lower(), given
        rate, mono, normalize = request.rate, request.mono, False
        if config is not None and kind == ".wav":
            mono = True
            if config.is_file():
                own, normalize = models.extractor(config)
                rate = rate or own
        elif config is not None and kind in models.IMAGES and not by_hand and not given and config.is_file():
            preprocess = models.read_preprocess(config)
        return models.load_inputs(
            path,
            size=request.size,
            mean=mean,
            std=std,
            preprocess=preprocess,
            rate=rate,
            mono=mono,
            normalize=normalize,
        )

    return read
