"""Weights from `.safetensors` and `.pth` files, loaded strictly and without running code."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lrp.errors import LoadError, UnsafeFileError, nearest
from lrp.models.spec import told
from lrp.models.unsafe import is_torchscript, offenders

__all__ = ["load_weights", "read_state_dict"]

WRAPPERS = ("state_dict", "model_state_dict", "model")
CONVERT = (
    "where you trust the file, run torch.save(torch.load(FILE, weights_only=False).state_dict(), 'weights.pth') "
    "(or save the state_dict as safetensors) and give that file; --trust-model-file loads this one and runs its code"
)


def load_weights(model: nn.Module, path: str | Path, *, trust: bool = False) -> None:
    """Load a file's weights into the model: every key there, none left over, every shape right.

    Args:
        model: changed in place, if everything fits; untouched otherwise.
        path: `.safetensors`, or a file written by `torch.save`.
        trust: see `read_state_dict`.

    Raises:
        LoadError: keys missing, left over or of another shape; a file that cannot be read.
        UnsafeFileError: a file that would run code.
    """
    own = model.state_dict()
    state = strip(read_state_dict(path, trust=trust), own)
    problems = compare(own, state)
    if problems:
        raise LoadError(
            "the weights do not fit the model",
            where=str(path),
            seen="; ".join(problems),
            cure="load the weights of this very model, or give the arguments it was trained with (--model-kwargs)",
        )
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise LoadError("the weights could not be loaded", where=str(path), seen=told(error)) from error


def read_state_dict(path: str | Path, *, trust: bool = False) -> dict[str, Tensor]:
    """Return the weights in a file by name, taken out of `state_dict`, `model_state_dict` or `model`.

    Args:
        path: `.safetensors`, or a file written by `torch.save`.
        trust: read pickles that run code while they are read. Only for files from someone you trust with your
            machine: such a file can do whatever you can.

    Raises:
        LoadError: no such file, not a weights file, no tensors in it.
        UnsafeFileError: a pickle that would run code, or a TorchScript archive.
    """
    path = Path(path)
    if not path.is_file():
        raise LoadError(
            "there is no such file", where="weights", seen=str(path), cure="give a .safetensors or .pth file"
        )
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    loaded = read_torch(path, trust)
    if isinstance(loaded, nn.Module):
        loaded = loaded.state_dict()
    for key in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping):
        raise LoadError("the file holds no state_dict", where=str(path), seen=type(loaded).__name__)
    strange = [str(key) for key, value in loaded.items() if not isinstance(value, Tensor)]
    if strange:
        cure = f"save the state_dict itself, or under one of the keys {', '.join(WRAPPERS)}"
        raise LoadError("the file holds more than tensors", where=str(path), seen=f"keys {listed(strange)}", cure=cure)
    return {str(key): value for key, value in loaded.items()}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file."""
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise LoadError("the file is no safetensors file", where=str(path), seen=told(error)) from error


def read_torch(path: Path, trust: bool) -> Any:
    """Return what `torch.save` put into a file, on the CPU."""
    if is_torchscript(path):
        raise UnsafeFileError(
            "TorchScript archives hold code and are not read",
            where=str(path),
            cure="where you trust it, torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth'), and give that file",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on the pickle protocol just before it refuses the file
            return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        found = offenders(path)
        if trust or not found:
            raise LoadError("the file is no weights file", where=str(path), seen=told(error).split("\n")[0]) from error
        raise UnsafeFileError(
            "the file would run code while it is read", where=str(path), seen=f"it calls {listed(found)}", cure=CONVERT
        ) from error
    except Exception as error:  # torch raises what the bytes lead it to: EOFError, RuntimeError, AttributeError ...
        raise LoadError("the file cannot be read as weights", where=str(path), seen=told(error)) from error


def strip(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take away the marks of wrappers: `module.` (DataParallel) before every key, `_orig_mod.` (compile) in any.

    A mark that the model itself uses stays.

    >>> one = torch.zeros(1)
    >>> sorted(strip({"module.fc._orig_mod.weight": one}, {"fc.weight": one}))
    ['fc.weight']
    """
    if not any("_orig_mod." in key for key in own):
        state = {key.replace("_orig_mod.", ""): value for key, value in state.items()}
    wrapped = bool(state) and all(key.startswith("module.") for key in state)
    if wrapped and not all(key.startswith("module.") for key in own):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def compare(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Return what does not fit: keys the file lacks, keys the model lacks, shapes that differ."""
    missing = [key for key in own if key not in state]
    extra = [key for key in state if key not in own]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, the model's is {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = []
    if missing:
        hint = f" ({nearest(missing[0], extra)})" if extra else ""
        problems.append(f"missing {listed(missing)}{hint}")
    if extra:
        problems.append(f"unexpected {listed(extra)}")
    if shapes:
        problems.append(f"shapes differ: {listed(shapes)}")
    return problems


def listed(names: Iterable[str], limit: int = 10) -> str:
    """Return the names separated by commas, the first `limit` of them and a count of the rest.

    >>> listed(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
