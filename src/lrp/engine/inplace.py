"""In-place calls: what they write into, what must be kept from it, and what is known afterwards."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lrp.engine.calls import OpCall
from lrp.engine.segments import slot_of_base, strided_like
from lrp.engine.structure import map_tensors
from lrp.engine.values import Value, mixed, storage_of
from lrp.errors import DetachedError

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["after_write", "apart", "before_write", "refuse_unseen_write", "written_by"]

_ARITHMETIC = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
_MARKED = frozenset({"__setitem__", "__set__", *(f"__i{name}__" for name in _ARITHMETIC)})


def written_by(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The tensor that a torch call writes into, or None."""
    target = kwargs.get("out")
    if target is None and (_is_marked(func) or _asks_in_place(func, args, kwargs)):
        target = args[0] if args else kwargs.get("input")
    return target if isinstance(target, Tensor) else None


def refuse_unseen_write(run: Run, func: Any, written: Tensor) -> None:
    """A write outside the graph into memory of a tensor on the way would change numbers behind its back."""
    known = [run.known(written), *(value for _, value in run.tracker.sharing(written))]
    if any(isinstance(value, Value) for value in known):
        raise DetachedError(
            "data on the way from a source is overwritten outside the graph, so its relevance cannot be followed",
            where=f"{run.modules.path or '(model)'}: {getattr(func, '__name__', func)}",
            seen="an in-place call under torch.no_grad(), or on .data or .detach() of a tensor in use",
            cure="write it without no_grad / .data, or out of place",
        )


def before_write(run: Run, written: Tensor) -> None:
    """Copy what is held of the memory that is about to change."""
    run.shelf.before_write(written)
    run.note_overwritten(written)
    for value in run.tracker.values():
        if value.foldable is not None and _shares(value.foldable.x, written):
            value.foldable.x = run.copied(value.foldable.x)
        root = value.point and value.point.root
        if root is not None and root.tensor is not None and _shares(root.tensor, written):
            root.tensor = run.copied(root.tensor)
        if value.logit is not None and _shares(value.logit, written):
            value.logit = run.copied(value.logit)


def apart(run: Run, args: tuple[Any, ...], kwargs: dict[str, Any], written: Tensor) -> tuple[Any, dict[str, Any]]:
    """The operands, with those that share memory with the tensor written into copied: autograd may save them."""

    def copied(tensor: Tensor) -> Tensor:
        return run.copied(tensor) if _shares(tensor, written) else tensor

    others = {key: item if item is written else map_tensors(copied, item) for key, item in kwargs.items()}
    return (*args[:1], *map_tensors(copied, args[1:])), others


def after_write(run: Run, record: OpCall, written: Tensor, above: bool) -> None:
    """Facts about other tensors on the same memory no longer hold; that they carry data does."""
    value = run.value(written) or Value()
    base, slot = written._base, value.slot
    if base is not None:
        before = run.known(base)
        if isinstance(before, Value):
            above = above or before.linear_above
            slot = None if before.slot is None else slot
        if slot is not None:
            old = before.slot if isinstance(before, Value) else None
            slot = slot_of_base(run, record, base, old, written, slot)
        reference = before.reference if isinstance(before, Value) else None
        run.put(base, replace(_beside(before, value), linear_above=above, slot=slot, reference=reference))
        value.slot = None if slot is None else strided_like(slot, base, written)
    whole = base if base is not None else written
    for other, known in run.tracker.sharing(written):
        if other is whole or not other.requires_grad:
            continue
        was_above = isinstance(known, Value) and known.linear_above
        part = None
        if slot is not None and whole.is_contiguous():
            part = strided_like(slot.contiguous(), whole, other)
        reference = known.reference if isinstance(known, Value) else None
        run.put(other, replace(_beside(known, value), linear_above=above or was_above, slot=part, reference=reference))


def _beside(known: object, value: Value) -> Value:
    """What holds of a tensor that shares memory with the one written into, which perhaps changed a part of it."""
    return mixed([known, value] if isinstance(known, Value) else [value])


def _shares(tensor: Tensor, other: Tensor) -> bool:
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
