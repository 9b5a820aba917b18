"""The one table: torch function -> family of operations.

A line names a function wherever torch keeps it (`torch`, `torch.Tensor`, `torch.nn.functional`), together with its
in-place twin (`add_`, `__iadd__`). What is not in the table is refused by name when it lies on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F

from lrp.errors import CompositeError
from lrp.ops.activations import GATES, HOMOGENEOUS
from lrp.rules.base import Rule
from lrp.rules.linear import Zero
from lrp.rules.pointwise import Gate

__all__ = ["METADATA", "Op", "lookup", "register"]


@dataclass(frozen=True)
class Op:
    """One line of the table.

    Args:
        name: the function's name without in-place marks.
        family: which handler and which rules it gets.
        view: may return a view of its input.
        fills: puts in elements of its own (padding, concatenated constants).
        scalars: arguments (position, name) at which a Python number is an additive constant.
        number: the same for a number that torch does not take as a tensor.
        monotone: keeps `x >= 0`.
        rule: the rule that was registered for it by the user.
    """

    name: str
    family: str
    view: bool = False
    fills: bool = False
    scalars: tuple[tuple[int, str], ...] = ()
    number: tuple[int, str] | None = None
    monotone: bool = False
    rule: Rule | None = None


_VIEWS = """
    view reshape flatten unflatten ravel transpose permute t movedim moveaxis swapaxes swapdims adjoint squeeze
    unsqueeze expand expand_as view_as reshape_as contiguous to float double half bfloat16 type type_as cpu cuda
    chunk split split_with_sizes tensor_split unsafe_chunk unsafe_split hsplit vsplit dsplit unbind select narrow
    __getitem__ diagonal diag broadcast_to broadcast_tensors atleast_1d atleast_2d atleast_3d unfold __iter__
    positive T.__get__ mT.__get__ H.__get__ mH.__get__ requires_grad_
"""
_COPIES = """
    clone repeat tile flip fliplr flipud roll rot90 repeat_interleave index_select masked_select take
    take_along_dim gather pixel_shuffle pixel_unshuffle channel_shuffle
"""
_SELECTIONS = """
    max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d adaptive_max_pool1d_with_indices
    adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices max min amax amin topk sort
"""
_POOLS = """
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
"""
_DROPOUTS = "dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout"
_INCREMENTS = {"__iadd__": "add", "__isub__": "sub", "__imul__": "mul", "__itruediv__": "div", "__idiv__": "div"}


def _lines() -> Iterator[Op]:
    for name in _VIEWS.split():
        yield Op(name, "reshape", view=True, monotone=True)
    for name in _COPIES.split():
        yield Op(name, "reshape", monotone=True)
    for name in ("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "row_stack"):
        yield Op(name, "reshape", fills=True, monotone=True)
    for name in ("tril", "triu"):
        yield Op(name, "reshape", fills=True, monotone=True)
    yield Op("pad", "reshape", fills=True, number=(3, "value"))
    yield Op("constant_pad_nd", "reshape", fills=True, number=(2, "value"))
    yield Op("__setitem__", "reshape", fills=True, scalars=((2, "value"),))
    yield Op("copy_", "reshape", fills=True)
    yield Op("where", "reshape", fills=True, scalars=((1, "input"), (2, "other")))
    yield Op("masked_fill", "reshape", fills=True, scalars=((2, "value"),))
    for name in _SELECTIONS.split():
        yield Op(name, "select", monotone=True)
    for name in _POOLS.split():
        yield Op(name, "pool", monotone=True)
    for name in ("sum", "mean", "cumsum"):
        yield Op(name, "reduce", monotone=True)
    for name in ("neg", "negative"):
        yield Op(name, "product")
    for name in ("add", "__add__", "__radd__"):
        yield Op(name, "sum", scalars=((1, "other"),), monotone=True)
    for name in ("sub", "subtract", "rsub", "__sub__", "__rsub__"):
        yield Op(name, "sum", scalars=((1, "other"),))
    for name in ("mul", "multiply", "__mul__", "__rmul__"):
        yield Op(name, "product")
    for name in ("matmul", "mm", "bmm", "mv", "dot", "__matmul__", "__rmatmul__"):
        yield Op(name, "matmul")
    for name in ("div", "divide", "true_divide", "__truediv__", "__div__", "__rtruediv__", "__rdiv__"):
        yield Op(name, "division")
    yield Op("linear", "linear")
    for name in ("conv1d", "conv2d", "conv3d"):
        yield Op(name, "conv")
    yield Op("batch_norm", "norm")
    for name in _DROPOUTS.split():
        yield Op(name, "dropout", monotone=True)
    for name in sorted(HOMOGENEOUS | GATES.keys()):
        yield Op(name, "activation")
    yield Op("glu", "glu")
    for name in ("softmax", "log_softmax", "softmin"):
        yield Op(name, "softmax")


def _find(name: str) -> Iterator[Callable[..., Any]]:
    """The functions that torch keeps under this name, in-place twins included."""
    attribute, _, getter = name.partition(".")
    names = [name] if name.startswith("__") or name.endswith("_") else [name, name + "_"]
    for place in (torch, torch.Tensor, F, torch._C._nn):
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
        for function in _find(op.name):
            table.setdefault(function, op)
    for mark, plain in _INCREMENTS.items():
        marked = getattr(torch.Tensor, mark, None)
        if marked is not None:
            table.setdefault(marked, table[getattr(torch.Tensor, plain)])
    return table


_TABLE: Mapping[Any, Op] = MappingProxyType(_build())

METADATA = (
    frozenset(
        getattr(torch.Tensor, name).__get__
        for name in (
            *("shape", "dtype", "device", "layout", "ndim", "names", "is_leaf", "requires_grad", "is_cuda", "is_cpu"),
            *(
                "is_sparse",
                "is_mps",
                "is_meta",
                "is_quantized",
                "is_nested",
                "itemsize",
                "nbytes",
                "_version",
                "output_nr",
            ),
            *("retains_grad", "is_xpu", "is_mkldnn", "is_sparse_csr"),
        )
        if hasattr(torch.Tensor, name)
    )
    | frozenset(
        getattr(torch.Tensor, name)
        for name in (
            *(
                "size",
                "dim",
                "numel",
                "nelement",
                "stride",
                "is_contiguous",
                "is_floating_point",
                "is_complex",
                "__len__",
            ),
            *("element_size", "storage_offset", "data_ptr", "get_device", "is_inference", "is_signed", "ndimension"),
            *("untyped_storage", "__repr__", "__format__", "__hash__", "register_hook", "retain_grad"),
            *("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor"),
        )
    )
    | frozenset(
        getattr(torch, f"{name}_like") for name in ("zeros", "ones", "full", "empty", "rand", "randn", "randint")
    )
)
"""Functions that ask about a tensor or make one of its shape, and hand on no data; they are called as they are."""

_registered: dict[Any, Op] = {}


def lookup(function: Any) -> Op | None:
    """The table's line for a torch function, or None; what the user registered comes first."""
    return _registered.get(function) or _TABLE.get(function)


def is_registered_node(name: str) -> bool:
    """Whether an autograd node of this name was registered."""
    return name in _registered


def register(function: Callable[..., Any] | str, rule: Rule) -> Callable[[], None]:
    """Cover an operation that `lrp` has no rule for; returns a function that undoes it.

    Args:
        function: a torch function as the error names it (its method and in-place twin are covered with it), or the
            name of an autograd node (`"MyFunctionBackward"`)
            for a `torch.autograd.Function` of one's own.
        rule: `rules.Zero()` where the operation is linear in its data: its gradient is taken as the rule.
            `rules.Gate()` where it is an elementwise activation with a finite value at 0, for torch functions.

    Raises:
        CompositeError: the rule cannot be registered for this.

    >>> import torch
    >>> from lrp import rules
    >>> undo = register(torch.sinh, rules.Gate())
    >>> undo()
    """
    name = function if isinstance(function, str) else getattr(function, "__name__", str(function))
    family = {Zero: "registered", Gate: "activation"}.get(type(rule))
    if family is None or (isinstance(function, str) and family != "registered"):
        raise CompositeError(
            f"{rule} cannot be registered for {name!r}",
            where="lrp.register",
            seen=f"{type(rule).__name__} for {'an autograd node' if isinstance(function, str) else 'a function'}",
            cure="rules.Zero() for an operation that is linear in its data, rules.Gate() for an activation",
        )
    twins = {function} if isinstance(function, str) else {function, *_find(name)}
    before = {twin: _registered.get(twin) for twin in twins}
    _registered.update(dict.fromkeys(twins, Op(name, family, rule=rule)))

    def undo() -> None:
        for twin, op in before.items():
            if op is None:
                _registered.pop(twin, None)
            else:
                _registered[twin] = op

    return undo
