"""Torch calls that are linear in one data operand, read as `z = apply(x, weight) + bias` with one weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import torch
import torch.nn.grad
from torch import Tensor

from lrp.engine.outcome import TorchCall
from lrp.engine.structure import is_continuous, tensors_in
from lrp.engine.values import as_constant
from lrp.rules.base import Native
from lrp.rules.linear import ArrivingRule

__all__ = ["Weighted", "as_weighted"]


@dataclass(frozen=True)
class Weighted:
    """A call as `z = apply(x, weight) + bias`.

    Args:
        apply: the call without what it adds, as a function of the data and the weight.
        weight: the constant that the data is multiplied by; several are contracted to one where the rule needs it.
        bias: what it adds, shaped to broadcast against the output, or None.
        scaled: the weight with each output channel scaled, where the output's axis 1 holds the channels; else None.
        features: the axis of the data along which its features lie, from the end.
        transpose: what a multiplier `q` at the output gives to the data, as a function of (q, x, weight), where there
            is one that does without the output.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    weight: Tensor
    bias: Tensor | None = None
    scaled: Callable[[Tensor, Tensor], Tensor] | None = None
    features: int = -1
    transpose: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None

    @property
    def units(self) -> int | None:
        """The axis of the output along which its units lie, from the end; a weight vector stands for one unit."""
        return self.features if self.weight.dim() > 1 else None


def as_weighted(call: TorchCall, x: Tensor) -> Weighted:
    """The call as a rule of linear operations sees it, with `x` its data operand."""
    return _READERS.get(call.op.name, _layer if call.op.added == (2, "bias") else _product)(call, x)


def _layer(call: TorchCall, x: Tensor) -> Weighted:
    """`linear(input, weight, bias)` and convolutions."""
    input, weight, bias = call.get(0, "input"), call.get(1, "weight"), call.get(2, "bias")
    other = weight if x is input else input
    function = call.replace([(2, "bias", None)]).as_function(x, other)
    spatial = weight.dim() - 2 if call.op.family == "conv" else 0
    column = None if bias is None else as_constant(bias).view(-1, *[1] * spatial)
    scaled = None
    if x is input and x.dim() == weight.dim() > 1:
        transposed, groups = _layout(call)
        scaled = partial(_scaled, axis=1 if transposed else 0, groups=groups)
    transpose = _transpose(call) if x is input else None
    constant = as_constant(other)
    if type(constant).dequantize is not Tensor.dequantize and not isinstance(call.record.rule, (Native, ArrivingRule)):
        constant = constant.dequantize()  # a subclass that holds integers can do little but multiply
    return Weighted(function, constant, column, scaled, -1 - spatial, transpose)


def _transpose(call: TorchCall) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
    """For linear layers and convolutions what autograd would give to the data."""
    if call.op.name == "linear" and call.get(1, "weight").dim() == 2:
        return lambda q, x, weight: q @ weight
    backward = _CONVOLUTIONS.get(call.op.name)
    padding = call.get(4, "padding", 0)
    if backward is None or isinstance(padding, str) or call.get(0, "input").dim() < call.get(1, "weight").dim():
        return None
    stride, dilation, groups = call.get(3, "stride", 1), call.get(5, "dilation", 1), call.get(6, "groups", 1)
    return lambda q, x, weight: backward(x.shape, weight, q, stride, padding, dilation, groups)


_CONVOLUTIONS: dict[str, Callable[..., Tensor]] = {
    "conv1d": torch.nn.grad.conv1d_input,
    "conv2d": torch.nn.grad.conv2d_input,
    "conv3d": torch.nn.grad.conv3d_input,
}


def _layout(call: TorchCall) -> tuple[bool, int]:
    """Whether a convolution is transposed, and its number of groups (which matters to the weight's layout then)."""
    if call.op.name in ("convolution", "_convolution"):
        transposed = call.get(6, "transposed")
        return transposed, call.get(8, "groups") if transposed else 1
    transposed = call.op.name.startswith("conv_transpose")
    return transposed, call.get(6, "groups", 1) if transposed else 1


def _scaled(weight: Tensor, scale: Tensor, axis: int, groups: int = 1) -> Tensor:
    """The weight with each output channel scaled; on axis 1 they are counted within each group of axis 0."""
    if axis == 0:
        return weight * scale.view(-1, *[1] * (weight.dim() - 1))
    grouped = weight.unflatten(0, (groups, -1))
    return (grouped * scale.view(groups, 1, -1, *[1] * (weight.dim() - 2))).flatten(0, 1)


def _tbc(call: TorchCall, x: Tensor) -> Weighted:
    """`conv_tbc(input, weight, bias)`, whose bias cannot be left out."""
    bias = as_constant(call.get(2, "bias"))
    (weight,) = [t for t in (call.get(0, "input"), call.get(1, "weight")) if t is not x]
    function = call.replace([(2, "bias", torch.zeros_like(bias))]).as_function(x, weight)
    return Weighted(function, as_constant(weight), bias)


def _product(call: TorchCall, x: Tensor) -> Weighted:
    """A function that is linear in each of two operands."""
    (weight,) = [tensor for tensor in call.operands if tensor is not x and is_continuous(tensor)]
    first = next(tensor for tensor in call.operands if is_continuous(tensor))
    # `a @ b` by an operator of the right operand arrives with its operands swapped
    data_left = (first is x) != (call.op.name == "__rmatmul__")
    plain = x.dim() == weight.dim() == 2 and call.op.name in _MATRIX_PRODUCTS
    if weight.layout is not torch.strided and not isinstance(call.record.rule, (Native, ArrivingRule)):
        # torch cannot ask for the signs of a sparse matrix
        return Weighted(
            lambda x, w: x @ w if data_left else w @ x,
            as_constant(weight).to_dense(),
            None,
            None,
            -1 if data_left else -2,
        )
    scaled = partial(_scaled, axis=1) if plain and data_left else None
    features = -1 if data_left or x.dim() == 1 or call.op.name not in _MATRIX_PRODUCTS else -2
    return Weighted(call.as_function(x, weight), as_constant(weight), None, scaled, features)


_MATRIX_PRODUCTS = frozenset({"matmul", "mm", "bmm", "mv", "__matmul__", "__rmatmul__", "linalg_matmul", "_sparse_mm"})


def _cross(call: TorchCall, x: Tensor) -> Weighted:
    """`(x × w)_k = x_i w_j - x_j w_i`, where the weight of `x_j` is `-w_i`; `w × x` is the negative of it."""
    left = next(tensor for tensor in call.operands if is_continuous(tensor))
    (w,) = [tensor for tensor in call.operands if tensor is not x]
    dim = call.get(2, "dim", None if call.op.name == "cross" else -1)
    axis = (left.shape.index(3) if dim is None else dim % left.dim()) - left.dim()
    signs = x.new_tensor([1, -1] if left is x else [-1, 1])
    weight = as_constant(w).movedim(axis, -1)[..., [[2, 1], [0, 2], [1, 0]]] * signs

    def apply(data: Tensor, weight: Tensor) -> Tensor:
        return (data.movedim(axis, -1)[..., [[1, 2], [2, 0], [0, 1]]] * weight).sum(-1).movedim(-1, axis)

    return Weighted(apply, weight)


def _with_added(call: TorchCall, x: Tensor) -> Weighted:
    """`beta * input + alpha * (a @ b)`: `addmm` and the like."""
    added, beta, alpha = call.get(0, "input"), call.kwargs.get("beta", 1), call.kwargs.get("alpha", 1)
    other = next((t for t in call.operands if t is not x and t is not added), added)
    product = {key: value for key, value in call.kwargs.items() if key != "alpha"} | {"beta": 0}
    function = replace(call, kwargs=product).as_function(x, other)
    weight, constant = as_constant(other), as_constant(added)
    bias = None if beta == 0 else constant if beta == 1 else beta * constant
    data_left = x is call.get(1, {"addmm": "mat1", "addmv": "mat", "addr": "vec1"}.get(call.op.name, "batch1"))
    scaled = partial(_scaled, axis=1) if call.op.name == "addmm" and data_left else None
    features = -1 if data_left or x.dim() == 1 else -2
    return Weighted(function, weight if alpha == 1 else alpha * weight, bias, scaled, features)


def _bilinear(call: TorchCall, x: Tensor) -> Weighted:
    input1, input2, weight = call.get(0, "input1"), call.get(1, "input2"), call.get(2, "weight")
    bias = call.get(3, "bias")
    batch = _LETTERS[: input1.dim() - 1]
    terms = [f"{batch}b", "abc", f"{batch}c"]
    read = _contraction(call, [input1, weight, input2], terms, f"{batch}a", x)
    return Weighted(read.apply, read.weight, None if bias is None else as_constant(bias))


def _einsum(call: TorchCall, x: Tensor) -> Weighted:
    operands = tensors_in(call.args)
    if len(operands) == 2:
        return _product(call, x)
    return _contraction(call, operands, *_explicit(call.args, operands), x)


def _contraction(call: TorchCall, operands: Sequence[Tensor], terms: Sequence[str], out: str, x: Tensor) -> Weighted:
    """An einsum with one data operand and several constants; rules that look at signs need these as one weight."""
    place = next(i for i, operand in enumerate(operands) if operand is x)
    constants = [(as_constant(t), term) for i, (t, term) in enumerate(zip(operands, terms, strict=True)) if i != place]
    if isinstance(call.record.rule, (Native, ArrivingRule)):
        (weight, inner), *rest = constants
    else:
        inner = "".join(sorted({c for _, term in constants for c in term} & {*terms[place], *out}))
        equation = ",".join(term for _, term in constants)
        weight, rest = torch.einsum(f"{equation}->{inner}", *[constant for constant, _ in constants]), []
    equation = f"{','.join([terms[place], inner, *(term for _, term in rest)])}->{out}"
    others = [constant for constant, _ in rest]

    def apply(data: Tensor, w: Tensor) -> Tensor:
        return torch.einsum(equation, data, w, *others)

    return Weighted(apply, weight)


def _explicit(args: Sequence[Any], operands: Sequence[Tensor]) -> tuple[list[str], str]:
    """The subscripts of an einsum, one letter for each axis of each operand, and those of its result."""
    if isinstance(args[0], str):
        left, arrow, out = args[0].replace(" ", "").partition("->")
        terms = left.split(",")
    else:  # operands and lists of numbers by turns, perhaps with those of the result behind
        lists = ["".join("..." if n is ... else _LETTERS[n] for n in a) for a in args if not isinstance(a, Tensor)]
        terms, out = lists[: len(operands)], "".join(lists[len(operands) :])
        arrow = "->" if len(lists) > len(operands) else ""
    ranks = [op.dim() - len(term.replace("...", "")) for op, term in zip(operands, terms, strict=True)]
    free = [letter for letter in _LETTERS if letter not in "".join([*terms, out])][: max(ranks)]
    if not arrow:
        named = "".join(terms).replace(".", "")
        out = "..." + "".join(sorted(letter for letter in {*named} if named.count(letter) == 1))
    spread = [term.replace("...", "".join(free[len(free) - n :])) for term, n in zip(terms, ranks, strict=True)]
    return spread, out.replace("...", "".join(free))


_LETTERS = ascii_uppercase + ascii_lowercase
"""In the order in which an einsum without a result puts its axes."""


_READERS: dict[str, Callable[[TorchCall, Tensor], Weighted]] = {
    "conv_tbc": _tbc,
    "bilinear": _bilinear,
    "einsum": _einsum,
    **dict.fromkeys(("cross", "linalg_cross"), _cross),
    **dict.fromkeys(("addmm", "addmv", "addr", "addbmm", "baddbmm"), _with_added),
}
