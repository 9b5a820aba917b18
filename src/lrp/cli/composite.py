"""The words of ``--composite``, and the presets as ``lrp composites`` shows them.

Grammar: ``PRESET[:k=v,...]``; ``v`` is a number, or for bounds also one number for each channel, separated by slashes:
``epsilon_gamma_box:low=-2.1/-2.0/-1.8,high=2.2/2.4/2.6``.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import TYPE_CHECKING

from lrp.errors import CompositeError, nearest

if TYPE_CHECKING:
    from lrp.composite import Composite

__all__ = ["Preset", "composite_of", "preset_of", "presets_known"]

Argument = int | float | tuple[float, ...]

EXAMPLES = {"low": 0, "high": 1}
"""Arguments that a preset must be given, for showing its table: pixels from 0 to 1."""


BOUNDS = "a bound: a number, or one for each channel, as in low=-2.1/-2.0/-1.8"


def composite_of(text: str | None) -> Composite | None:
    """Return the preset that ``NAME[:k=v,...]`` names; None for None and ``auto``.

    Raises:
        CompositeError: no such preset, or arguments it does not take.
    """
    from lrp import presets

    if text is None:
        return None
    name, colon, rest = text.partition(":")
    known = arguments_known(name, "--composite")
    arguments: dict[str, Argument] = {}
    for part in rest.split(",") if colon else ():
        key, value = argument_of(part, name, known)
        if key in arguments:
            raise refusal(f"the argument {key} is given twice", text, name)
        arguments[key] = value
    if name == "auto":  # chosen by lrp.explain, once it has seen the model's operations
        return None
    missing = [key for key, each in known.items() if each.default is Parameter.empty and key not in arguments]
    if missing:
        raise refusal(f"the preset needs {' and '.join(missing)}", text, name)
    try:
        made: Composite = getattr(presets, name)(**arguments)
    except CompositeError as error:
        raise refusal(error.what, text, name) from error
    return made


def arguments_known(name: str, where: str) -> dict[str, Parameter]:
    """Return the arguments that a preset takes on the command line.

    >>> list(arguments_known("epsilon_plus", "--composite")), list(arguments_known("auto", "--composite"))
    (['epsilon', 'stabiliser'], [])
    """
    from lrp import presets

    if name not in presets.__all__:
        cure = f"{nearest(name, presets.__all__)}; `lrp composites` lists them"
        raise CompositeError("there is no such preset", where=where, seen=name, cure=cure)
    return {} if name == "auto" else dict(inspect.signature(getattr(presets, name)).parameters)


def argument_of(text: str, preset: str, known: dict[str, Parameter]) -> tuple[str, Argument]:
    """Return the name and the value of ``k=v``.

    >>> known = arguments_known("epsilon_gamma_box", "--composite")
    >>> argument_of("gamma=0.5", "epsilon_gamma_box", known), argument_of("low=-2/-1.5", "epsilon_gamma_box", known)
    (('gamma', 0.5), ('low', (-2, -1.5)))
    """
    if not known:
        raise refusal("the preset takes no arguments", text, preset)
    key, equals, value = text.partition("=")
    key = key.strip()
    numbers = tuple(map(number_of, value.split("/")))
    if not equals or None in numbers:
        raise refusal("an argument of the preset is no name=number", text or "nothing", preset)
    if key not in known:
        raise refusal(f"the preset has no argument {key!r}", text, preset)
    if len(numbers) > 1 and not is_bound(known[key]):
        raise refusal(f"the argument {key} is one number", text, preset)
    found = tuple(number for number in numbers if number is not None)
    return key, found if len(found) > 1 else found[0]


def number_of(text: str) -> int | float | None:
    """Return a finite number, an int where it is written as one; None for anything else."""
    for kind in (int, float):
        try:
            value: int | float = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else None
    return None


def is_bound(argument: Parameter) -> bool:
    """Whether an argument may have one number for each channel."""
    return argument.annotation == "Bound"


def refusal(what: str, seen: str, preset: str) -> CompositeError:
    """Return the error that says how the preset is written."""
    bounds = any(map(is_bound, arguments_known(preset, "--composite").values()))
    cure = f"write it as {usage(preset)}" + (f"; {BOUNDS}" if bounds else "")
    return CompositeError(what, where="--composite", seen=seen, cure=cure)


def usage(preset: str) -> str:
    """Return how a preset is written on the command line, its arguments with their defaults.

    >>> usage("epsilon"), usage("zero")
    ('epsilon:epsilon=1e-06', 'zero')
    """
    words = []
    for key, argument in arguments_known(preset, "--composite").items():
        default = key.upper() if argument.default is Parameter.empty else f"{argument.default:g}"
        words.append(f"{key}={default}")
    return preset + (":" if words else "") + ",".join(words)


@dataclass(frozen=True)
class Preset:
    """A preset in words.

    Attributes:
        name: what ``--composite`` calls it.
        usage: how it is written with all arguments.
        summary: what it is, in a sentence.
        more: further paragraphs.
        use: when to use it.
        arguments: what its arguments are, and how bounds are written.
        source: its papers.
        table: its selectors and rules, one a line; empty for ``auto``.
        example: the arguments that the table was made with, where it needs some.
    """

    name: str
    usage: str
    summary: str
    more: tuple[str, ...]
    use: str
    arguments: tuple[str, ...]
    source: str
    table: tuple[str, ...]
    example: str


def presets_known() -> Sequence[str]:
    """Return the names of all presets, the default first."""
    from lrp import presets

    return sorted(presets.__all__, key=lambda name: (name != "auto", name))


def preset_of(name: str) -> Preset:
    """Return a preset in words: those of its docstring.

    >>> preset_of("zero").source
    'Bach et al. 2015; Montavon et al. 2019, section 10.2.1.'

    Raises:
        CompositeError: there is no such preset.
    """
    from lrp import presets

    known = arguments_known(name, "lrp composites")
    function = getattr(presets, name)
    sections: dict[str, str] = {}
    prose: list[str] = []
    for paragraph in (inspect.getdoc(function) or "").split("\n\n"):
        head, colon, rest = paragraph.partition(":")
        if colon and head in ("Use", "Args", "Source"):
            sections[head] = rest
        elif not paragraph.startswith(">>>"):
            prose.append(" ".join(paragraph.split()))
    needed = {key: EXAMPLES[key] for key, each in known.items() if each.default is Parameter.empty}
    table = () if name == "auto" else tuple(str(function(**needed)).splitlines()[1:])
    return Preset(
        name=name,
        usage=usage(name),
        summary=prose[0] if prose else "",
        more=tuple(prose[1:]),
        use=" ".join(sections.get("Use", "").split()),
        arguments=(*entries(sections.get("Args", "")), *(BOUNDS,) * any(map(is_bound, known.values())))
        if known
        else (),
        source=" ".join(sections.get("Source", "").split()),
        table=table,
        example=", ".join(f"{key}={value}" for key, value in needed.items()),
    )


def entries(section: str) -> Iterator[str]:
    """Yield the entries of a docstring's list of arguments, each on one line."""
    lines = inspect.cleandoc(section).splitlines()
    starts = [index for index, line in enumerate(lines) if line and not line.startswith(" ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield " ".join(" ".join(lines[start:end]).split())
