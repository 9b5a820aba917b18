"""What the words of options mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrp.errors import CompositeError, InputError, LoadError, TargetError

if TYPE_CHECKING:
    from lrp.composite import Composite
    from lrp.targets import Target

__all__ = ["composite_of", "kwargs_of", "labels_of", "layers_of", "numbers_of", "target_of"]

FORMS = "give a class number, a class name (with --labels), top:K or diff:A,B"


def target_of(texts: tuple[str, ...], labels: tuple[str, ...]) -> Target | int | None:
    """Return the target that the ``--target`` options name, None where there are none.

    Raises:
        TargetError: several targets, a list, words that are no target, a name that is in no label.
    """
    from lrp.targets import Difference, Top

    if not texts:
        return None
    if len(texts) > 1:
        cure = "run lrp once for each; several targets in one run come later"
        raise TargetError("several targets", where="--target", seen=", ".join(texts), cure=cure)
    kind, colon, rest = texts[0].strip().partition(":")
    if texts[0].strip() == "top":
        return Top()
    if colon and kind == "top":
        if not rest.isdecimal() or int(rest) < 1:
            raise TargetError("a rank is 1 or more", where="--target", seen=texts[0], cure="top:2 is the second class")
        return Top(rank=int(rest))
    if colon and kind == "diff":
        classes = [class_of(part, labels) for part in rest.split(",")]
        if len(classes) != 2:
            raise TargetError("a difference needs two classes", where="--target", seen=texts[0], cure="give diff:A,B")
        return Difference(classes[0], classes[1])
    return class_of(texts[0], labels)


def class_of(text: str, labels: tuple[str, ...]) -> int:
    """Return the number of a class given by number or by name.

    >>> class_of("tabby cat", ("dog", "Tabby cat"))
    1
    """
    from lrp.errors import nearest

    text = text.strip()
    try:
        return int(text)
    except ValueError:
        pass
    names = [name.lower() for name in labels]
    if names.count(text.lower()) > 1:
        numbers = ", ".join(str(index) for index, name in enumerate(names) if name == text.lower())
        raise TargetError("the name means several classes", where="--target", seen=text, cure=f"give one of {numbers}")
    if text.lower() in names:
        return names.index(text.lower())
    if text.startswith(("[", "(")) or "," in text:
        cure = "one class a run: --target 3; the difference of two: --target diff:3,5"
        raise TargetError("a list is no target", where="--target", seen=text, cure=cure)
    cure = nearest(text, labels) if labels else FORMS
    raise TargetError("the target is unknown", where="--target", seen=text, cure=cure)


def composite_of(text: str | None) -> Composite | None:
    """Return the preset that ``NAME[:k=v,...]`` names, with numbers for its arguments; None for None and ``auto``.

    Raises:
        CompositeError: no such preset, or arguments it does not take.
    """
    from lrp import presets
    from lrp.errors import nearest

    if text is None:
        return None
    name, colon, rest = text.partition(":")
    if name not in presets.__all__:
        cure = nearest(name, presets.__all__)
        raise CompositeError("there is no such preset", where="--composite", seen=name, cure=cure)
    arguments = dict(argument_of(part) for part in rest.split(",")) if colon else {}
    if name == "auto":  # chosen by lrp.explain, once it has seen the model's operations
        if arguments:
            raise CompositeError("the preset takes no arguments", where="--composite", seen=text, cure="give auto")
        return None
    try:
        made: Composite = getattr(presets, name)(**arguments)
    except TypeError as error:
        raise CompositeError("the preset takes other arguments", where="--composite", seen=str(error)) from error
    return made


def argument_of(text: str) -> tuple[str, int | float]:
    """Return the name and the number of ``k=v``.

    >>> argument_of("epsilon=1e-6"), argument_of("rank=2")
    (('epsilon', 1e-06), ('rank', 2))
    """
    key, equals, value = text.partition("=")
    if equals and key.strip().isidentifier():
        for kind in (int, float):
            try:
                return key.strip(), kind(value)
            except ValueError:
                continue
    cure = "give name=number, several separated by commas: epsilon:epsilon=1e-6"
    raise CompositeError("an argument of the preset is no name=number", where="--composite", seen=text, cure=cure)


def layers_of(patterns: tuple[str, ...]) -> str | list[str]:
    """Return what ``keep`` of `lrp.explain` takes: ``"all"`` or a list of patterns."""
    return "all" if "all" in patterns else list(patterns)


def kwargs_of(text: str | None) -> dict[str, Any]:
    """Return the arguments in a JSON object.

    >>> kwargs_of('{"width": 32}')
    {'width': 32}
    """
    cure = """give a JSON object: '{"width": 32}'"""
    try:
        found = json.loads(text) if text is not None else {}
    except json.JSONDecodeError as error:
        raise LoadError("the arguments are no JSON", where="--model-kwargs", seen=str(error), cure=cure) from error
    if not isinstance(found, dict):
        raise LoadError("the arguments are no JSON object", where="--model-kwargs", seen=str(text), cure=cure)
    return found


def numbers_of(text: str | None, option: str) -> tuple[float, ...] | None:
    """Return numbers separated by commas, None for None.

    >>> numbers_of("0.5, 0.5,1", "--mean")
    (0.5, 0.5, 1.0)
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        cure = f"give three numbers: {option} 0.5,0.5,0.5"
        raise InputError(f"{option} needs numbers", where=option, seen=text, cure=cure) from error


def labels_of(path: str | None) -> tuple[str, ...]:
    """Return the class names in a file, one a line, empty for None."""
    if path is None:
        return ()
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cure = "give a UTF-8 text file, one class name a line"
        raise LoadError("the labels cannot be read", where="--labels", seen=f"{path}: {error}", cure=cure) from error
    return tuple(line.strip() for line in text.rstrip().splitlines())
