"""The options that commands share, and the request that they make up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from lrp.cli.completion import presets_like, targets_like
from lrp.errors import nearest

__all__ = ["FORMATS", "Format", "Request", "explaining", "loading"]

Command = Callable[..., Any]


class Format(click.Choice[str]):
    """A choice whose refusal names the nearest ones first."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        return f"{value!r} is no format: {nearest(str(value), list(self.choices))}"


FORMATS = ("text", "json", "csv", "parquet", "npz", "png", "html")


@dataclass(frozen=True)
class Request:
    """What the user asked for, word by word, before anything is loaded.

    Attributes:
        model, weights, model_kwargs, trust_model_file: see `loading`.
        inputs, text, tokenizer, generate, preprocess: see `explaining`.
        target, composite, reference, reference_output, labels, size, mean, std, rate, mono, through_output:
            see `explaining`.
        layers, positions: the layers to keep, and whether positional embeddings are sources; only ``lrp explain``
            asks for them.
    """

    model: str
    weights: str | None = None
    model_kwargs: str | None = None
    trust_model_file: bool = False
    inputs: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    tokenizer: str | None = None
    generate: int | None = None
    target: tuple[str, ...] = ()
    composite: str | None = None
    reference: str | None = None
    reference_output: float | None = None
    labels: str | None = None
    preprocess: str | None = None
    size: int | None = None
    mean: str | None = None
    std: str | None = None
    rate: int | None = None
    mono: bool = False
    through_output: bool = False
    layers: tuple[str, ...] = ()
    positions: bool = False


def loading(command: Command) -> Command:
    """Add MODEL and the options that load it."""
    added = [
        click.argument("model"),
        click.option(
            "--weights", metavar="FILE", help=".safetensors, or .pth read without running code. Loaded strictly."
        ),
        click.option("--model-kwargs", metavar="JSON", help="Arguments of MODEL, such as '{\"width\": 32}'."),
        click.option(
            "--trust-model-file",
            is_flag=True,
            help="Read --weights even if it is a pickle that RUNS CODE as it is read. Only for files you trust.",
        ),
    ]
    return apply(added, command)


def explaining(command: Command) -> Command:
    """Add INPUT and the options that say what is explained and how."""
    added = [
        click.argument("inputs", nargs=-1, metavar="INPUT..."),
        click.option(
            "--text", metavar="TEXT", multiple=True, help="A text instead of INPUT; several options are several."
        ),
        click.option(
            "--tokenizer",
            metavar="FOLDER|FILE",
            help="Texts: what save_pretrained wrote, or a tokenizer.json. Default: that of the model hf:FOLDER.",
        ),
        click.option(
            "--generate",
            type=click.IntRange(min=1),
            metavar="N",
            help="Texts: explain the N tokens that the model goes on with.",
        ),
        click.option(
            "--target",
            metavar="T",
            shell_complete=targets_like,
            multiple=True,
            help="A class number, a class name (with --labels), top:K, diff:A,B, logodds:A or token:POSITION[=ID]; of "
            "a text also words that go on with it, diff:WORD,WORD or a class of the model's. "
            "Given several times: several targets from one forward pass. Default: top, or the only output.",
        ),
        click.option(
            "--composite",
            metavar="PRESET[:k=v,...]",
            shell_complete=presets_like,
            help="Such as epsilon:epsilon=1e-6, or epsilon_gamma_box:low=-2.1/-2.0/-1.8,high=2.2/2.4/2.6 with a bound "
            "for each channel; `lrp composites` lists them all. Default: auto.",
        ),
        click.option(
            "--reference",
            metavar="zero|mean|FILE",
            help="Explain the difference to the output for a reference: zeros, the mean of the samples of INPUT, or a "
            "file like INPUT with one sample or as many. With the composite zero only.",
        ),
        click.option(
            "--reference-output",
            metavar="NUMBER",
            type=float,
            help="Explain what lifts the output above this number, as in regression.",
        ),
        click.option("--labels", metavar="FILE", help="Class names, one a line, the first for class 0."),
        click.option(
            "--preprocess",
            metavar="FILE",
            help="Images: prepare them as timm's config.json or the preprocessor_config.json of transformers says.",
        ),
        click.option("--size", type=click.IntRange(min=1), metavar="N", help="Images: resize, then crop to N x N."),
        click.option("--mean", metavar="a,b,c", help="Images: subtract from red, green, blue (0 to 1)."),
        click.option("--std", metavar="a,b,c", help="Images: then divide by these."),
        click.option("--rate", type=click.IntRange(min=1), metavar="HZ", help="Sounds: refuse files of another rate."),
        click.option("--mono", is_flag=True, help="Sounds: (1, samples) instead of (1, channels, samples)."),
        click.option(
            "--through-output",
            is_flag=True,
            help="Explain the probability: do not step over a final sigmoid or softmax.",
        ),
    ]
    return apply(added, command)


def apply(added: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    """Apply decorators so that the help lists them in the order given."""
    for decorator in reversed(added):
        command = decorator(command)
    return command
