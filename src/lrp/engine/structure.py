"""Walks over what models take and return: tensors in tuples, lists, mappings and dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

__all__ = ["describe", "map_tensors", "tensors_in"]


def map_tensors(function: Callable[[Tensor], Any], structure: Any) -> Any:
    """The same structure with `function` applied to every tensor; other leaves stay."""
    if isinstance(structure, Tensor):
        return function(structure)
    if isinstance(structure, tuple):
        items = [map_tensors(function, item) for item in structure]
        if type(structure) is tuple:
            return tuple(items)
        return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)
    if isinstance(structure, list):
        return [map_tensors(function, item) for item in structure]
    if isinstance(structure, Mapping):
        mapped = {key: map_tensors(function, item) for key, item in structure.items()}
        return mapped if type(structure) is dict else _rebuilt(structure, mapped)
    if dataclasses.is_dataclass(structure) and not isinstance(structure, type):
        return dataclasses.replace(
            structure,
            **{f.name: map_tensors(function, getattr(structure, f.name)) for f in dataclasses.fields(structure)},
        )
    return structure


def _rebuilt(like: Mapping[Any, Any], mapped: dict[Any, Any]) -> Any:
    """A mapping of the same type where its constructor takes one, else a plain dict."""
    try:
        return type(like)(mapped)  # type: ignore[call-arg]  # a Mapping need not have a constructor
    except TypeError:
        return mapped


def tensors_in(structure: Any) -> Iterator[Tensor]:
    """Every tensor of a structure, in order."""
    if isinstance(structure, Tensor):
        yield structure
    elif isinstance(structure, (tuple, list)):
        for item in structure:
            yield from tensors_in(item)
    elif isinstance(structure, Mapping):
        for item in structure.values():
            yield from tensors_in(item)
    elif dataclasses.is_dataclass(structure) and not isinstance(structure, type):
        for field in dataclasses.fields(structure):
            yield from tensors_in(getattr(structure, field.name))


def describe(structure: Any, indent: str = "") -> str:
    """The structure in words, for error messages.

    >>> import torch
    >>> print(describe({"logits": torch.zeros(2, 3), "name": "a"}))
    dict
      logits: tensor (2, 3) float32
      name: str
    """
    if isinstance(structure, Tensor):
        return f"tensor {tuple(structure.shape)} {str(structure.dtype).removeprefix('torch.')}"
    name = type(structure).__name__
    inner = indent + "  "
    if isinstance(structure, (tuple, list)):
        rows = [f"{inner}{i}: {describe(item, inner)}" for i, item in enumerate(structure)]
    elif isinstance(structure, Mapping):
        rows = [f"{inner}{key}: {describe(item, inner)}" for key, item in structure.items()]
    elif dataclasses.is_dataclass(structure) and not isinstance(structure, type):
        rows = [
            f"{inner}{f.name}: {describe(getattr(structure, f.name), inner)}" for f in dataclasses.fields(structure)
        ]
    else:
        return name
    return "\n".join([name, *rows])
