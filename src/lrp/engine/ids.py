"""Integer inputs: which element of them each integer came from, so that what it looks up can be given back to it.

Beside each tensor of integers that comes from an input there is a tensor of *positions*: 1, 2, ... count the elements
of all integer inputs, 0 is an integer that came from none. What moves integers about is done to the positions as well,
and elementwise arithmetic keeps them. An integer made of several elements has no position; what it looks up is a
constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lrp.engine.segments import strided_like
from lrp.engine.structure import map_tensors, tensors_in
from lrp.engine.values import ByIdentity
from lrp.errors import ModelError
from lrp.ops.table import lookup

__all__ = ["Ids", "on_a_copy"]

_OPERATORS = {
    prefix + name
    for name in (
        "add",
        "sub",
        "mul",
        "floordiv",
        "truediv",
        "div",
        "mod",
        "pow",
        "and",
        "or",
        "xor",
        "lshift",
        "rshift",
    )
    for prefix in ("", "r", "i")
}
_ELEMENTWISE = _OPERATORS | {
    *("subtract", "multiply", "floor_divide", "remainder", "fmod", "abs", "neg", "negative", "sign", "square"),
    *("clamp", "clamp_min", "clamp_max", "clip", "minimum", "maximum", "floor", "ceil", "round", "trunc"),
    *("eq", "ne", "lt", "le", "gt", "ge", "not_equal", "less", "greater", "isin", "invert"),
    *("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "logical_and", "logical_or", "logical_xor"),
    *("logical_not", "bitwise_left_shift", "bitwise_right_shift", "detach"),
    *("to", "type", "type_as", "long", "int", "short", "char", "byte", "bool", "float", "double", "half", "bfloat16"),
    *("cpu", "cuda"),
}
"""Functions (without marks of operators and in-place calls) that work element by element."""

_VALUES = {"where": (1, 2), "masked_fill": (0, 2), "__setitem__": (0, 2), "copy_": (0, 1)}
"""Functions whose arguments with values are others than the first one alone."""

_NAMED_VALUES = frozenset({"input", "self", "tensors", "other", "value", "src"})
_get_data: Any = Tensor.data


@dataclass(slots=True)
class _Origin:
    """Where the integers of a tensor come from; no positions where one is made of several."""

    positions: Tensor | None


class Ids:
    """What is known of the integers of one forward pass."""

    def __init__(self) -> None:
        self._known: ByIdentity[_Origin] = ByIdentity()
        self.count = 0

    def add(self, tensor: Tensor) -> None:
        """Follow an input: each of its elements gets the next position."""
        first = self.count + 1
        self.count += tensor.numel()
        positions = torch.arange(first, self.count + 1, device=tensor.device).view(tensor.shape)
        self._known.put(tensor, _Origin(positions))

    def note_copy(self, tensor: Tensor, copy: Tensor) -> None:
        """A copy of integers comes from where they come from."""
        known = self._known.get(tensor)
        if known is not None:
            self._known.put(copy, _Origin(None if known.positions is None else known.positions.clone()))

    def come_from_inputs(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        """Whether a call fetches bags of vectors by integers of the inputs."""
        if not self.count or func is not F.embedding_bag:
            return False
        known = self._known.get(args[0] if args else kwargs["input"])
        return known is not None and known.positions is not None

    def looked_up(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> Tensor | None:
        """The positions of the integers that fetched a result from a table, shaped to broadcast against the result.

        A table that was made of the inputs' integers (the degrees of nodes, read at the ends of edges) tells them
        nothing of the model.
        """
        if not isinstance(result, Tensor) or not result.is_floating_point():
            return None
        op = lookup(func)
        ids, axis = _index(op.name if op is not None else "", func, args, kwargs)
        known = self._known.get(ids) if isinstance(ids, Tensor) else None
        if known is None or known.positions is None:
            return None
        if any(self._known.get(table) is not None for table in tensors_in((args, kwargs)) if table is not ids):
            return None
        after = result.dim() - axis - known.positions.dim()
        return known.positions.reshape(*[1] * axis, *known.positions.shape, *[1] * after)

    def follow(
        self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any, written: Tensor | None
    ) -> Any:
        """Note the positions of what a call without data returned; returns the result."""
        operands = tensors_in((args, kwargs))
        known = {id(t): origin for t in operands if (origin := self._known.get(t)) is not None}
        if not known:
            return result
        if func is Tensor.__iter__:
            result = list(result)
            moved: Any = self._moved(Tensor.unbind, args, {}, known)
        else:
            moved = self._positions(func, args, kwargs, known, result, written)
        places = [*tensors_in(result)] if written is None else [written]
        origins = [moved] if isinstance(moved, Tensor) else tensors_in(moved)
        for index, tensor in enumerate(places):
            if written is not None or self._known.get(tensor) is None:
                self._known.put(tensor, _Origin(origins[index] if origins else None))
        return iter(result) if func is Tensor.__iter__ else result

    def _positions(
        self,
        func: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        known: dict[int, _Origin],
        result: Any,
        written: Tensor | None,
    ) -> Any:
        """The positions of the result; None where they are not known."""
        name = getattr(func, "__name__", "").strip("_")
        shape = written.shape if written is not None else getattr(result, "shape", None)
        if name in _ELEMENTWISE or func == _get_data.__get__:
            together = _together([origin.positions for origin in known.values()], shape)
            shares_memory = name == "detach" or func == _get_data.__get__ or id(written) in known
            return together if together is None or shares_memory else together.clone()
        op = lookup(func)
        if name in ("fill", "zero") and written is not None:
            origin = known.get(id(written))
            return None if origin is None or origin.positions is None else origin.positions.zero_()
        if op is None or (op.family != "reshape" and op.name != "__setitem__") or isinstance(kwargs.get("out"), Tensor):
            return None
        if written is not None and id(written) not in known:
            known[id(written)] = _Origin(self._of_constant(written))
        values = _values(op.name, args, kwargs)
        if any(id(value) in known for value in values):
            return self._moved(func, args, kwargs, known, values, written)
        # a table of integers, read at integers
        return _together([origin.positions for origin in known.values()], shape, same=True)

    def _moved(
        self,
        func: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        known: dict[int, _Origin],
        values: Sequence[Tensor] = (),
        written: Tensor | None = None,
    ) -> Any:
        """The same call on positions; integers that the call puts in have none."""
        values = values or [args[0]]
        if any((origin := known.get(id(value))) is not None and origin.positions is None for value in values):
            return None
        numbers = {id(value) for value in values}

        def operand(tensor: Tensor) -> Tensor:
            origin = known.get(id(tensor))
            if origin is not None and origin.positions is not None and id(tensor) in numbers:
                return origin.positions
            return torch.zeros_like(tensor, dtype=torch.long) if id(tensor) in numbers else tensor

        given, named = map_tensors(operand, (list(args), kwargs))
        op = lookup(func)
        places = () if op is None else op.numbers
        for position, name in places:
            if len(given) > position and isinstance(given[position], (int, float)):
                given[position] = 0
            elif isinstance(named.get(name), (int, float)):
                named[name] = 0
        moved = func(*given, **named)
        return operand(written) if written is not None else moved

    def _of_constant(self, written: Tensor) -> Tensor:
        """Positions, none so far, of a constant that integers are written into; of a view, with its whole."""
        base = written._base
        if base is None:
            return torch.zeros_like(written, dtype=torch.long)
        whole = torch.zeros_like(base, dtype=torch.long)
        self._known.put(base, _Origin(whole))
        return strided_like(whole, base, written)


def _together(positions: Sequence[Tensor | None], shape: Any, same: bool = False) -> Tensor | None:
    """Positions of what comes element by element from integers at these positions; None where they differ."""
    first = positions[0]
    if shape is None or first is None or (same and first.shape != shape):
        return None
    spread = first.expand(shape)
    for other in positions[1:]:
        if other is None or not torch.equal(spread, other.expand(shape)):
            return None
    return spread


def _values(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Tensor]:
    """The arguments of a moving call that hold what is moved or put in, not where."""
    positional = [args[place] for place in _VALUES.get(name, (0,)) if place < len(args)]
    return tensors_in((positional, [value for key, value in kwargs.items() if key in _NAMED_VALUES]))


def _index(name: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, int]:
    """The integers by which a call reads a table, and the axis of the result on which theirs begin."""

    def get(position: int, keyword: str) -> Any:
        return args[position] if len(args) > position else kwargs.get(keyword)

    if name == "embedding":
        return (get(0, "input") if func is F.embedding else get(1, "indices")), 0
    if name == "index_select":
        return get(2, "index"), get(1, "dim") % args[0].dim()
    if name in ("gather", "take_along_dim"):
        return get(2, "index") if name == "gather" else get(1, "indices"), 0
    if name == "take":
        return get(1, "index"), 0
    if name == "__getitem__":
        key = args[1] if isinstance(args[1], tuple) else (args[1],)
        before = [item for item in key if not isinstance(item, Tensor)]
        if len(key) - len(before) == 1 and all(isinstance(item, slice) for item in before):
            axis = next(i for i, item in enumerate(key) if isinstance(item, Tensor))
            return key[axis], axis
    return None, 0


def on_a_copy(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], data: Sequence[Tensor]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of an embedding, with a copy in the place of a table that `max_norm` would write into."""
    place = {F.embedding: 3, F.embedding_bag: 3}.get(func)
    if place is None or (args[place] if len(args) > place else kwargs.get("max_norm")) is None:
        return args, kwargs
    table = args[1] if len(args) > 1 else kwargs["weight"]
    if any(table is tensor for tensor in data):
        raise ModelError(
            "max_norm rescales a table that comes from the data, outside the graph",
            where=func.__name__,
            seen=f"max_norm={args[place] if len(args) > place else kwargs['max_norm']}",
            cure="F.embedding(ids, table) with the rescaling written out",
        )
    copy = table.detach().clone()
    return map_tensors(lambda tensor: copy if tensor is table else tensor, args), (
        {key: copy if item is table else item for key, item in kwargs.items()}
    )
