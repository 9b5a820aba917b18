"""Which tensor an in-place call writes into."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from torch import Tensor

from lrp.engine.values import storage_of

__all__ = ["shares", "written_by"]

_ARITHMETIC = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
_MARKED = frozenset({"__setitem__", "__set__", *(f"__i{name}__" for name in _ARITHMETIC)})


def written_by(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The tensor that a torch call writes into, or None."""
    target = kwargs.get("out")
    if target is None and (_is_marked(func) or _asks_in_place(func, args, kwargs)):
        target = args[0] if args else kwargs.get("input")
    return target if isinstance(target, Tensor) else None


def shares(tensor: Tensor, other: Tensor) -> bool:
    """Whether two tensors lie in the same memory."""
    return storage_of(tensor) == storage_of(other)


def _is_marked(func: Any) -> bool:
    name = getattr(func, "__name__", "")
    return name in _MARKED or (name.endswith("_") and not name.endswith("__"))


def _asks_in_place(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a function of `torch.nn.functional` was asked to work in place."""
    if "inplace" in kwargs:
        return bool(kwargs["inplace"])
    position = _inplace_position(func)
    return position is not None and len(args) > position and bool(args[position])


@cache
def _inplace_position(func: Any) -> int | None:
    if getattr(func, "__module__", "") != "torch.nn.functional":
        return None
    names = list(inspect.signature(func).parameters)
    return names.index("inplace") if "inplace" in names else None
