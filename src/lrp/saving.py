"""Nested results as safetensors files: tensors as tensors, everything else as JSON in the header."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lrp.errors import LoadError

__all__ = ["read", "write"]

FORMAT = "lrp.Relevance 1"


def write(path: str | PathLike[str], content: Mapping[str, Any]) -> None:
    """Write nested tuples, lists and mappings of tensors and JSON values; the file appears whole or not at all.

    Raises:
        LoadError: the file name does not end in `.safetensors`, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise LoadError("a result is saved as .safetensors", seen=str(path), cure='r.save("relevance.safetensors")')
    tensors: dict[str, Tensor] = {}

    def packed(item: Any) -> Any:
        if isinstance(item, Tensor):
            name = f"tensor{len(tensors)}"
            tensors[name] = item.detach().cpu().contiguous().clone()
            return {"tensor": name}
        if isinstance(item, (tuple, list)):
            return {"list" if isinstance(item, list) else "tuple": [packed(inner) for inner in item]}
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            item = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
        if isinstance(item, Mapping):
            return {"dict": [[str(key), packed(inner)] for key, inner in item.items()]}
        return {"value": item if isinstance(item, (str, int, float, bool, type(None))) else str(item)}

    header = {"format": FORMAT, "lrp": json.dumps(packed(content))}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, temporary, metadata=header)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise LoadError(
            "the result cannot be written", where=str(path), seen=str(error), cure="an existing folder one may write to"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def read(path: str | PathLike[str]) -> dict[str, Any]:
    """What `write` wrote. No code is run.

    Raises:
        LoadError: the file cannot be read, or holds something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (OSError, SafetensorError) as error:
        raise LoadError("the result cannot be read", where=str(path), seen=str(error), cure="r.save(...)") from error
    if header.get("format") != FORMAT:
        raise LoadError("this file holds no result of lrp", where=str(path), cure="a file that r.save(...) wrote")

    def unpacked(packed: dict[str, Any]) -> Any:
        ((kind, inner),) = packed.items()
        if kind == "tensor":
            return tensors[inner]
        if kind == "dict":
            return {key: unpacked(item) for key, item in inner}
        if kind in ("tuple", "list"):
            items = [unpacked(item) for item in inner]
            return tuple(items) if kind == "tuple" else items
        return inner

    content: dict[str, Any] = unpacked(json.loads(header["lrp"]))
    return content
