"""The one table: torch function -> family of operations.

A line names a function wherever torch keeps it (`torch`, `torch.Tensor`, `torch.nn.functional`), together with its
in-place twin (`add_`, `__iadd__`). What is not in the table is refused by name when it lies on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F

from lrp.errors import CompositeError
from lrp.ops import arithmetic, homogeneous, moving
from lrp.ops.activations import ALIASES, GATES, HOMOGENEOUS, NUMERIC
from lrp.ops.attention import ATTENTION, COMPOUND
from lrp.ops.decompositions import DECOMPOSITIONS
from lrp.ops.homogeneous import PAIRS
from lrp.ops.op import Op
from lrp.ops.recurrent import CELLS, LAYERS
from lrp.rules.base import Rule
from lrp.rules.linear import Zero
from lrp.rules.pointwise import Gate

__all__ = ["IDENTITIES", "is_gating_node", "is_registered_node", "lookup", "node", "register", "same", "usual"]


_INCREMENTS = {
    "__iadd__": "add",
    "__isub__": "sub",
    "__imul__": "mul",
    "__ipow__": "pow",
    "__itruediv__": "div",
    "__idiv__": "div",
}

_SPELLINGS = (
    *(("add", "__add__", "__radd__"), ("sub", "subtract", "__sub__"), ("rsub", "__rsub__")),
    *(("mul", "multiply", "__mul__", "__rmul__"), ("neg", "negative"), ("matmul", "__matmul__", "__rmatmul__")),
    *(("div", "divide", "true_divide", "__truediv__", "__div__"), ("__rtruediv__", "__rdiv__")),
)
"""The names that one operation has in several lines."""
_USUAL = {name: spellings[0] for spellings in _SPELLINGS for name in spellings}


_BINDINGS = [getattr(torch._C, name) for name in ("_nn", "_fft", "_linalg", "_sparse")]
_HOMES: tuple[Any, ...] = (torch, torch.Tensor, F, *_BINDINGS, torch.special)
"""Where torch keeps its functions."""


def _lines() -> Iterator[Op]:
    yield from moving.lines()
    yield from arithmetic.lines()
    yield from homogeneous.lines()
    for name in sorted(HOMOGENEOUS | GATES.keys() | NUMERIC):
        yield Op(name, "activation")
    for name in ("softmax", "log_softmax", "softmin"):
        yield Op(name, "softmax")
    for name in ATTENTION:
        yield Op(name, "attention")
    for name in sorted((DECOMPOSITIONS.keys() | COMPOUND.keys()) - PAIRS):
        yield Op(name, "written out")
    for name in (*LAYERS, *CELLS):
        yield Op(name, "recurrence")


def _find(name: str, functional: bool = False) -> Iterator[Callable[..., Any]]:
    """The functions that torch keeps under this name, in-place twins included."""
    attribute, _, getter = name.partition(".")
    names = [name] if name.startswith("__") or name.endswith("_") else [name, name + "_"]
    for place in (F,) if functional else _HOMES:
        if getter:
            if place is torch.Tensor:
                found: Any = getattr(place, attribute)
                yield getattr(found, getter)
            continue
        for spelling in names:
            found = getattr(place, spelling, None)
            if callable(found):
                yield found


def _build() -> dict[Any, Op]:
    table: dict[Any, Op] = {}
    for op in _lines():
        for function in _find(op.name, op.functional):
            table.setdefault(function, op)
    for alias, name in ALIASES.items():
        for function in _find(alias):
            table.setdefault(function, Op(name, "activation"))
    for mark, plain in _INCREMENTS.items():
        marked = getattr(torch.Tensor, mark, None)
        if marked is not None:
            table.setdefault(marked, table[getattr(torch.Tensor, plain)])
    return table


_TABLE: Mapping[Any, Op] = MappingProxyType(_build())

_registered: dict[Any, Op] = {}

_NODES: Mapping[str, Op] = {
    **{
        name: Op(name, "registered", rule=Zero())
        for name in ("MatMul4BitBackward", "MatMul8bitLtBackward", "MatMul8bitFpBackward")
    },
    "GeLUFunctionBackward": Op("GeLUFunctionBackward", "activation", rule=Gate()),
}
"""Autograd functions of other libraries: the linear layers of bitsandbytes, and Bloom's GELU."""

_GATING_NODES = frozenset({"SqrtBoundDerivativeBackward", "XSoftmaxBackward"})
"""Those whose result gates what it multiplies: RecurrentGemma's `sqrt(1 - a^2)`, which is what a decay leaves for the
input, and the softmax of SEW-D and of DeBERTa in older versions."""

IDENTITIES = frozenset({"RegisterPostBackwardFunctionBackward"})
"""Autograd functions that hand on what they are given: at the entrance of a module under FSDP's `fully_shard`."""


def lookup(function: Any) -> Op | None:
    """The table's line for a torch function, or None; what the user registered comes first."""
    return _registered.get(function) or _TABLE.get(function) or _of_node(function)


def _of_node(function: Any) -> Op | None:
    """The line of what `torch.autograd.Function.apply` makes a node of."""
    made = getattr(getattr(function, "__self__", None), "_backward_cls", None)
    return node(made.__name__) if made is not None else None


def node(name: str) -> Op | None:
    """The line of an autograd node of this name, registered by the user or here."""
    return _registered.get(name) or _NODES.get(name)


def same(function: Any, other: Any) -> bool:
    """Whether two torch functions are spellings of one operation.

    >>> same(torch.Tensor.relu_, F.relu), same(torch.Tensor.__iadd__, torch.add), same(torch.add, torch.sub)
    (True, True, False)
    """
    if function == other:
        return True
    op, other_op = lookup(function), lookup(other)
    if op is None or other_op is None:
        return False
    return usual(op.name) == usual(other_op.name)


def usual(name: str) -> str:
    """The usual name of an operation that has several lines."""
    return _USUAL.get(name, name)


def is_registered_node(name: str) -> bool:
    """Whether the gradient of an autograd node of this name is its rule."""
    op = node(name)
    return op is not None and op.family == "registered"


def is_gating_node(name: str) -> bool:
    """Whether what an autograd node of this name gives counts as a gate; where it is no constant it is refused."""
    return name in _GATING_NODES


def _twins(function: Any, name: str) -> set[Any]:
    """What torch may be seen to call where a function is: its method and in-place twin, or an operator's overloads."""
    operator = getattr(function, "_opoverload", function)  # of what `torch.library.custom_op` returns
    packet = getattr(operator, "overloadpacket", operator)
    if isinstance(packet, torch._ops.OpOverloadPacket):
        return {packet, *(getattr(packet, overload) for overload in packet.overloads())}
    return {function, *_find(name)}


def register(function: Callable[..., Any] | str, rule: Rule) -> Callable[[], None]:
    """Cover an operation that `lrp` has no rule for; returns a function that undoes it.

    Args:
        function: a torch function as the error names it (its method and in-place twin are covered with it), an
            operator made by `torch.library.custom_op` (with all its overloads), or the name of an autograd node
            (`"MyFunctionBackward"`) for a `torch.autograd.Function` of one's own.
        rule: `rules.Zero()` where the operation is linear in its data: its gradient is taken as the rule.
            `rules.Gate()` where it is an elementwise activation with a finite value at 0; an autograd function must
            then be all that a module of its own does with its one input, where it is called once more to be seen.

    Raises:
        CompositeError: the rule cannot be registered for this.

    >>> import torch
    >>> from lrp import rules
    >>> undo = register(torch.sinh, rules.Gate())
    >>> undo()
    """
    name = function if isinstance(function, str) else getattr(function, "__name__", str(function))
    family = {Zero: "registered", Gate: "activation"}.get(type(rule))
    if family is None:
        raise CompositeError(
            f"{rule} cannot be registered for {name!r}",
            where="lrp.register",
            seen=type(rule).__name__,
            cure="rules.Zero() for an operation that is linear in its data, rules.Gate() for an activation",
        )
    twins = {function} if isinstance(function, str) else _twins(function, name)
    before = {twin: _registered.get(twin) for twin in twins}
    _registered.update(dict.fromkeys(twins, Op(name, family, rule=rule)))

    def undo() -> None:
        for twin, op in before.items():
            if op is None:
                _registered.pop(twin, None)
            else:
                _registered[twin] = op

    return undo
