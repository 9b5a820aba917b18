"""Explanations as one HTML page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from itertools import islice

from lrp import report
from lrp.cli.options import Request
from lrp.cli.records import Explained
from lrp.report.panels import MOST

__all__ = ["command_of", "page_of"]


def page_of(found: Iterable[Explained], request: Request) -> bytes | None:
    """Return the page about the first 64 samples, no more of which are explained; None where there is none."""
    ones = list(islice(found, MOST))
    if not ones:
        return None
    many = len({one.item for one in ones}) > 1
    made = report.page(
        [one.text or one.result for one in ones],
        picture=[one.inputs.picture for one in ones],
        names=[list(one.inputs.features) or None for one in ones],
        labels=ones[0].labels,
        samples=[name_of(one, many) for one in ones],
        command=command_of(request),
    )
    return made.encode()


def name_of(one: Explained, many: bool) -> str:
    """Return what a sample is called: its number in the only input, else its input too."""
    number = one.samples[0].number
    if not many:
        return str(number)
    return f"{one.item.name} {number}" if len(one.inputs) > 1 else one.item.name


def command_of(request: Request) -> list[str]:
    """Return the command that makes a request, word by word.

    >>> command_of(Request("net.py:Net", inputs=("a.png", "b.png"), target=("top:2",), size=224, mono=True))
    ['lrp', 'explain', 'net.py:Net', 'a.png', 'b.png', '--target', 'top:2', '--size', '224', '--mono']
    """
    words = ["lrp", "explain", request.model, *request.inputs]
    for field in fields(request):
        value = getattr(request, field.name)
        if field.name in ("model", "inputs") or value == field.default:
            continue
        option = f"--{field.name.replace('_', '-')}"
        for item in value if isinstance(value, tuple) else (value,):
            words += [option] if item is True else [option, str(item)]
    return words
