"""What ``--reference`` means for the samples of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lrp.errors import InputError, LoadError

if TYPE_CHECKING:
    from lrp.models import Inputs

__all__ = ["reference_of"]


def reference_of(
    word: str | None, path: str, inputs: Inputs, read: Callable[[str], Inputs]
) -> Inputs | Literal["zero"] | None:
    """Return a reference for each sample: inputs of the same structure, or what `lrp.explain` takes as it is.

    Every sample is explained in a run of its own, so the mean over the samples of a file is taken here.

    Args:
        word: None, ``zero``, ``mean``, or a file with one sample for all or one for each.
        path: the file of the inputs.
        inputs: what it holds.
        read: reads a file as that one was read.

    Raises:
        LoadError: no such file, or one that cannot be read.
        InputError: the mean of one sample, or a file that does not fit the inputs.
    """
    from torch import Tensor

    if word is None or word == "zero":
        return None if word is None else "zero"
    if word == "mean":
        if len(inputs) == 1:
            raise InputError(
                "the mean of one sample is that sample, so there is no difference to explain",
                where="--reference mean",
                seen=f"{path}: 1 sample",
                cure="--reference zero, --reference FILE, or an INPUT of several samples",
            )
        found = {name: t.mean(0, keepdim=True) if t.is_floating_point() else t for name, t in inputs.tensors.items()}
    else:
        check_kind(word, path)
        given = read(word)
        check_fit(word, path, inputs, given)
        found = given.tensors
    found = {name: tensor.expand_as(inputs.tensors[name]) for name, tensor in found.items()}
    return replace(inputs, values=found["input"] if isinstance(inputs.values, Tensor) else found)


def check_kind(word: str, path: str) -> None:
    """Refuse what is no file, and a file that is read otherwise than the inputs."""
    if not Path(word).is_file():
        cure = "give zero, mean, or a file of the same kind as INPUT"
        raise LoadError("there is no such reference", where="--reference", seen=word, cure=cure)
    if kind(word) != kind(path):
        raise InputError(
            "the reference is another kind of file than the input",
            where=f"--reference {word}",
            seen=f"the input {path}",
            cure=f"give {kind(path)}",
        )


def kind(path: str) -> str:
    """Return what kind of file a path names.

    >>> kind("a.JPG"), kind("b.npz"), kind("c.csv"), kind("d.wav")
    ('an image', 'an array (.npy, .npz)', 'a table (.csv, .parquet)', 'a .wav file')
    """
    from lrp.models.images import ENDINGS

    ending = Path(path).suffix.lower()
    known = {
        **dict.fromkeys((".csv", ".parquet"), "a table (.csv, .parquet)"),
        **dict.fromkeys((".npy", ".npz"), "an array (.npy, .npz)"),
    }
    return "an image" if ending in ENDINGS else known.get(ending, f"a {ending} file")


def check_fit(word: str, path: str, inputs: Inputs, given: Inputs) -> None:
    """Refuse a reference with other names, columns, shapes or number of samples than the inputs."""
    ours, theirs = ({name: tuple(t.shape[1:]) for name, t in each.tensors.items()} for each in (inputs, given))
    for what, expected, seen in (
        ("other inputs or shapes", ours, theirs),
        ("other columns", inputs.features, given.features),
        ("neither one sample nor one for each", len(inputs), len(given) if len(given) > 1 else len(inputs)),
    ):
        if expected != seen:
            raise InputError(
                f"the reference has {what}",
                where=f"--reference {word}",
                seen=f"{seen}, where {path} has {expected}",
                cure="give a reference with the structure of the input",
            )
