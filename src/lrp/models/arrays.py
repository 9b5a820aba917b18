"""Arrays from numpy files, read without pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lrp.errors import InputError, LoadError, UnsafeFileError

__all__ = ["read_arrays"]

CURE = "save plain numeric arrays with numpy.save or numpy.savez"


def read_arrays(path: Path) -> Tensor | dict[str, Tensor]:
    """Return the array of a `.npy` file, or the arrays of a `.npz` file by name (a single one without its name).

    Args:
        path: numeric arrays whose first axis is the sample axis. Their dtype is kept.

    Raises:
        LoadError: no numpy file, or numbers that torch does not know.
        UnsafeFileError: arrays of Python objects, which are pickles.
        InputError: no samples, unequal numbers of samples, or an array without a sample axis.
    """
    try:
        with path.open("rb") as file:  # numpy leaves a broken file open if it is given the path
            loaded = np.load(file, allow_pickle=False)
            is_archive = isinstance(loaded, np.lib.npyio.NpzFile)
            arrays = {name: loaded[name] for name in loaded} if is_archive else {"": loaded}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        if "allow_pickle" in str(error):
            raise UnsafeFileError(
                "the array holds Python objects, which run code while they are read", where=str(path), cure=CURE
            ) from error
        raise LoadError("the file is no numpy file", where=str(path), seen=str(error), cure=CURE) from error
    tensors = {name: convert(array, f"{path} {name}".strip()) for name, array in arrays.items()}
    for name, tensor in tensors.items():  # one axis is enough beside other inputs (a class number per sample)
        if tensor.ndim < (2 if len(tensors) == 1 else 1):
            cure = "the first axis is the sample axis: save one sample as array[None]"
            seen = f"{name} {tuple(tensor.shape)}".strip()
            raise InputError("the array has no sample axis", where=str(path), seen=seen, cure=cure)
    lengths = {name: len(tensor) for name, tensor in tensors.items()}
    if not lengths or not all(lengths.values()):
        raise InputError("there are no samples", where=str(path), seen=f"shapes {shapes(tensors)}")
    if len(set(lengths.values())) > 1:
        cure = "the first axis of every array is the sample axis; for other layouts use lrp.explain in Python"
        raise InputError("the numbers of samples differ", where=str(path), seen=f"shapes {shapes(tensors)}", cure=cure)
    return next(iter(tensors.values())) if len(tensors) == 1 else tensors


def convert(array: np.ndarray, where: str) -> Tensor:
    """Return an array as a tensor of its own memory."""
    try:
        return torch.tensor(array)
    except TypeError as error:
        raise LoadError("torch has no such numbers", where=where, seen=str(array.dtype), cure=CURE) from error


def shapes(tensors: dict[str, Tensor]) -> str:
    """Return the shapes in words."""
    return ", ".join(f"{name} {tuple(tensor.shape)}".strip() for name, tensor in tensors.items()) or "none"
