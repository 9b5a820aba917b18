"""Walks over what models take and return: tensors in tuples, lists, mappings and dataclasses.

Of packed sequences it is the data alone that counts as a tensor of theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

__all__ = ["describe", "first_part", "is_continuous", "map_tensors", "tensors_in"]

_LEAVES = frozenset({type(None), bool, int, float, str, slice, type(...), torch.dtype, torch.device, torch.Size})
"""What holds no tensor and is met in every call; looked up first, as this runs for every torch call."""


def is_continuous(tensor: Tensor) -> bool:
    """Whether a tensor holds floating or complex numbers, which can carry relevance."""
    return tensor.is_floating_point() or tensor.is_complex()


def map_tensors(function: Callable[[Any], Any], structure: Any, leaf: type = Tensor, others: bool = True) -> Any:
    """The same structure with `function` applied to every tensor.

    Args:
        function: what is applied.
        structure: tuples, lists, mappings and dataclasses, nested.
        leaf: what counts as a tensor.
        others: whether other leaves stay; else None is in their place.
    """
    if isinstance(structure, leaf):
        return function(structure)
    if type(structure) in _LEAVES:
        return structure if others else None

    def inner(item: Any) -> Any:
        if type(item) in _LEAVES:
            return item if others else None
        return map_tensors(function, item, leaf, others)

    if isinstance(structure, PackedSequence):
        return structure._replace(data=inner(structure.data))
    if isinstance(structure, tuple):
        items = [inner(item) for item in structure]
        if type(structure) is tuple:
            return tuple(items)
        return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)
    if isinstance(structure, list):
        return [inner(item) for item in structure]
    if isinstance(structure, Mapping):
        mapped = {key: inner(item) for key, item in structure.items()}
        return mapped if type(structure) is dict else _rebuilt(structure, mapped)
    if dataclasses.is_dataclass(structure) and not isinstance(structure, type):
        fields = {f.name: inner(getattr(structure, f.name)) for f in dataclasses.fields(structure)}
        return dataclasses.replace(structure, **fields)
    return structure if others else None


def _rebuilt(like: Mapping[Any, Any], mapped: dict[Any, Any]) -> Any:
    """A mapping of the same type where its constructor takes one, else a plain dict."""
    try:
        return type(like)(mapped)  # type: ignore[call-arg]  # a Mapping need not have a constructor
    except TypeError:
        return mapped


def tensors_in(structure: Any, leaf: type = Tensor) -> list[Any]:
    """Every tensor (or other leaf) of a structure, in order."""
    found: list[Any] = []
    _collect(structure, leaf, found)
    return found


def _collect(structure: Any, leaf: type, found: list[Any]) -> None:
    if isinstance(structure, leaf):
        found.append(structure)
    elif type(structure) in _LEAVES:
        return
    elif isinstance(structure, PackedSequence):
        _collect(structure.data, leaf, found)
    elif isinstance(structure, (tuple, list, dict, Mapping)):  # `dict` is known faster than `Mapping`
        for item in structure if isinstance(structure, (tuple, list)) else structure.values():
            if type(item) not in _LEAVES:
                _collect(item, leaf, found)
    elif dataclasses.is_dataclass(structure) and not isinstance(structure, type):
        for field in dataclasses.fields(structure):
            _collect(getattr(structure, field.name), leaf, found)


def _attributes(structure: Any) -> list[tuple[str, Any]]:
    """The attributes of an object of the model's own that hold tensors."""
    if type(structure) in _LEAVES or isinstance(structure, (type, torch.nn.Module)) or callable(structure):
        return []
    return [
        (key, item)
        for key, item in getattr(structure, "__dict__", {}).items()
        if not key.startswith("_") and isinstance(item, (Tensor, tuple, list, Mapping))
    ]


def first_part(structure: Any) -> str:
    """How `targets.At` names the first part of a structure.

    >>> first_part({"scores": 1, "boxes": 2}), first_part((1, 2))
    ('scores', '0')
    """
    if isinstance(structure, Mapping):
        return next(map(str, structure), "0")
    if dataclasses.is_dataclass(structure):
        return next((field.name for field in dataclasses.fields(structure)), "0")
    return next((key for key, _ in _attributes(structure)), "0")


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
        rows = [f"{inner}{key}: {describe(item, inner)}" for key, item in _attributes(structure) if len(inner) < 8]
    return "\n".join([name, *rows])
