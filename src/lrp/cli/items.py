"""What the words for INPUT stand for: files, each with a name to show and a stem for the files about it."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from lrp.errors import InputError, LoadError, nearest

__all__ = ["Item", "Items", "filename", "items_of"]


@dataclass(frozen=True)
class Item:
    """One input.

    Attributes:
        name: what it is called: a path below the folder that all inputs share, or the text itself.
        stem: what the names of files about it begin with.
        path: the file; None for a text.
    """

    name: str
    stem: str
    path: Path | None = None


@dataclass(frozen=True)
class Items:
    """All inputs, and whether they were asked for as several: two words or more, a folder, or a pattern."""

    each: tuple[Item, ...]
    many: bool


def items_of(words: Sequence[str], texts: Sequence[str] = ()) -> Items:
    """Return the inputs that INPUT... and ``--text`` name.

    Args:
        words: files, folders (all files in and below them that can be read, hidden ones left out), or patterns such
            as ``photos/*.jpg`` (``**`` is any depth).
        texts: texts, instead of files.

    Raises:
        InputError: neither or both, a folder or a pattern with nothing in it.
        LoadError: no such file.
    """
    if bool(words) == bool(texts):
        cure = 'give INPUT (files, folders, patterns) or --text "..."'
        raise InputError("one kind of input is needed", seen="both" if words else "none", cure=cure)
    if texts:
        stems = [f"text-{number}" if len(texts) > 1 else "text" for number in range(1, len(texts) + 1)]
        return Items(tuple(map(Item, texts, stems)), len(texts) > 1)
    paths = list(dict.fromkeys(path for word in words for path in files_of(word)))
    many = len(words) > 1 or not Path(words[0]).is_file()
    base = os.path.commonpath([path.absolute().parent for path in paths])
    relative = [path.absolute().relative_to(base).as_posix() for path in paths]
    names = [name.encode(errors="replace").decode() for name in relative]  # a name on the disk may be no text
    return Items(tuple(map(Item, names, stems_of(names), paths)), many)


def files_of(word: str) -> list[Path]:
    """Return the files that a word names."""
    path = Path(word)
    if path.is_file():
        return [path]
    if path.is_dir():
        return files_in(path)
    if glob.has_magic(word):
        found = sorted(Path(match) for match in glob.glob(word, recursive=True) if os.path.isfile(match))
        if not found:
            cure = 'quote patterns, so that the shell leaves them alone: "photos/*.jpg"'
            raise InputError("the pattern matches no file", where="INPUT", seen=word, cure=cure)
        return found
    beside = [str(path.parent / name) for name in neighbours(path.parent)]
    cure = nearest(word, beside) if beside else "give a file, a folder or a pattern"
    raise LoadError("there is no such file", where="INPUT", seen=word, cure=cure)


def files_in(folder: Path) -> list[Path]:
    """Return the files in and below a folder whose endings can be read."""
    from lrp.models import READABLE

    found = [
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in READABLE and not hidden(Path(place, name).relative_to(folder))
    ]
    if not found:
        cure = f"inputs are {', '.join(READABLE)}"
        raise InputError("the folder holds nothing that can be read", where="INPUT", seen=str(folder), cure=cure)
    return sorted(found)


def hidden(path: Path) -> bool:
    """Whether a file or a folder on the way to it is hidden."""
    return any(part.startswith(".") for part in path.parts)


def neighbours(folder: Path) -> list[str]:
    """Return the names of what is in a folder, none if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def stems_of(names: Sequence[str]) -> list[str]:
    """Return a name for the files about each input, no two alike.

    >>> stems_of(["a/cat.png", "b/cat.png", "b/cat.jpg", "dog.png", "dog!.png"])
    ['a-cat', 'b-cat.png', 'b-cat.jpg', 'dog.png', 'dog-.png']
    """
    short = [filename(os.path.splitext(name)[0]) for name in names]
    counts = Counter(stem.lower() for stem in short)
    taken: set[str] = set()
    stems = []
    for name, stem in zip(names, short, strict=True):
        first = stem if counts[stem.lower()] == 1 else filename(name)
        tries = chain([first], (f"{first}-{number}" for number in count(2)))
        stems.append(next(each for each in tries if each.lower() not in taken))
        taken.add(stems[-1].lower())
    return stems


def filename(words: str) -> str:
    """Return words as a part of a file's name.

    >>> filename("diff:tabby cat,-1")
    'diff-tabby-cat-1'
    >>> len(filename(90 * "ü").encode())  # a file's name has room for 255 bytes
    80
    """
    safe = re.sub(r"[^\w.]+", "-", words).strip("-.")
    return safe.encode()[:80].decode(errors="ignore") or "input"
