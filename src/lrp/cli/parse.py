"""What the words of options mean."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrp.errors import InputError, LoadError, TargetError, nearest

if TYPE_CHECKING:
    from lrp.targets import Several, Target

__all__ = ["kwargs_of", "labels_of", "layers_of", "numbers_of", "target_of", "text_target"]

KINDS = ("top", "diff", "logodds", "token")
FORMS = "give a class number, a class name (with --labels), top:K, diff:A,B, logodds:A or token:POSITION[=ID]"


def target_of(texts: tuple[str, ...], labels: tuple[str, ...]) -> Target | Several | int | None:
    """Return the target that the ``--target`` options name: one, several at once, or None where there are none.

    Raises:
        TargetError: a list, words that are no target, a name that is in no label.
    """
    from lrp.targets import Several

    if not texts:
        return None
    found = [single_target(text, labels) for text in texts]
    return found[0] if len(found) == 1 else Several(*found)


def single_target(text: str, labels: tuple[str, ...]) -> Target | int:
    """Return the target of one ``--target`` option.

    >>> print(single_target("diff:1,0", ()), single_target("token:-1=5", ()), sep="; ")
    class 1 minus class 0; token 5 at position -1
    """
    from lrp.targets import Difference, LogOdds, Token, Top

    kind, colon, rest = text.strip().partition(":")
    if text.strip() == "top":
        return Top()
    if colon and kind == "top":
        if not rest.isdecimal() or int(rest) < 1:
            raise TargetError("a rank is 1 or more", where="--target", seen=text, cure="top:2 is the second class")
        return Top(rank=int(rest))
    if colon and kind == "diff":
        classes = [class_of(part, labels) for part in rest.split(",")]
        if len(classes) != 2:
            raise TargetError("a difference needs two classes", where="--target", seen=text, cure="give diff:A,B")
        return Difference(classes[0], classes[1])
    if colon and kind == "logodds":
        return LogOdds(class_of(rest, labels))
    if colon and kind == "token":
        try:
            position, *token = (int(part) for part in rest.split("=", 1))
        except ValueError as error:
            cure = "token:-1 is the top token at the last position, token:-1=42 the one with number 42"
            raise TargetError("a token needs whole numbers", where="--target", seen=text, cure=cure) from error
        return Token(position, *token)
    return class_of(text, labels)


def text_target(texts: tuple[str, ...]) -> Any:
    """Return the target of `lrp.explain_text` that ``--target`` names: words stand for themselves.

    >>> text_target(("diff:Paris, London",)), text_target(("Paris",)), text_target(("3",))
    (('Paris', 'London'), 'Paris', 3)

    Raises:
        TargetError: several targets, or words that are no target.
    """
    from lrp.targets import LogOdds

    if len(texts) > 1:
        cure = "one --target; or diff:A,B for the difference of two"
        raise TargetError("a text is explained for one target", where="--target", seen=", ".join(texts), cure=cure)
    if not texts:
        return None
    kind, colon, rest = texts[0].strip().partition(":")
    parts = [part.strip() for part in rest.split(",")]
    if colon and kind == "diff" and len(parts) == 2 and not all(map(is_whole, parts)):
        return tuple(parts)
    if colon and kind == "logodds" and not is_whole(rest):
        return LogOdds(rest.strip())
    if kind == "top" or (colon and kind in ("diff", "logodds", "token")) or is_whole(texts[0]):
        return single_target(texts[0], ())
    return texts[0]


def is_whole(text: str) -> bool:
    """Whether text is a whole number."""
    return text.strip().removeprefix("-").isdecimal()


def class_of(text: str, labels: tuple[str, ...]) -> int:
    """Return the number of a class given by number or by name.

    >>> class_of("tabby cat", ("dog", "Tabby cat"))
    1
    """
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
    kind, colon, rest = text.partition(":")
    close = difflib.get_close_matches(kind, KINDS, n=1) if colon else []
    if close:
        cure = f"perhaps '{close[0]}:{rest}'; {FORMS}"
        raise TargetError("the target is unknown", where="--target", seen=text, cure=cure)
    if text.startswith(("[", "(")) or "," in text:
        cure = "--target 3 --target 5 for two targets, --target diff:3,5 for their difference"
        raise TargetError("a list is no target", where="--target", seen=text, cure=cure)
    cure = nearest(text, labels) if labels else FORMS
    raise TargetError("the target is unknown", where="--target", seen=text, cure=cure)


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
