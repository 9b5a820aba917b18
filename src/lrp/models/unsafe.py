"""What a pickle would run: read from its bytes, without running it."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from pathlib import Path

import torch

__all__ = ["is_torchscript", "offenders"]

HARMLESS = re.compile(r"collections\.OrderedDict|torch\._utils\..*|torch\.\w*Storage|torch\.Size|torch\.\w*\d+")


def offenders(path: Path) -> list[str]:
    """Return the functions and classes that the file calls and that a weights file has no need of.

    Args:
        path: a file written by `torch.save`, in the zip format or the old one.

    Returns:
        Full names such as `posix.system`, sorted; empty where the bytes cannot be followed.
    """
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (RuntimeError, ValueError, OSError, pickle.UnpicklingError):
        return sorted(globals_of(path.read_bytes()))  # not a torch archive: the old format, or a plain pickle


def globals_of(data: bytes) -> set[str]:
    """Return every name that the pickles at the start of `data` look up, except what any weights file needs.

    >>> sorted(globals_of(pickle.dumps(print)))
    ['builtins.print']
    """
    found: set[str] = set()
    strings: list[str] = []
    stream = io.BytesIO(data)
    try:
        while stream.tell() < len(data):  # torch's old format is several pickles, then raw numbers
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name in ("GLOBAL", "INST"):
                    found.add(str(argument).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":
                    found.add(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
    except (ValueError, UnicodeDecodeError, IndexError, OverflowError):
        pass  # no pickle from here on: what was read so far is the answer
    return {name for name in found if not HARMLESS.fullmatch(name)}


def is_torchscript(path: Path) -> bool:
    """Tell whether the file is a TorchScript archive, which holds code beside its weights."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
