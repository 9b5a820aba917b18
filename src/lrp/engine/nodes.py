"""The autograd nodes that carry out rules: forward they compute nothing new, backward they apply the rule.

What arrives is a multiplier `m`, or, in a run in relevance form, the relevance `m z` itself (see `relevance_form`).
Ledger rows are read as gradients: each node takes scalar `slots`, and the gradient of a slot is what the op call kept.
(Python side effects in a backward pass would be lost when several targets are propagated at once.)
No node returns a view of its input: autograd forbids writing into a view made in a custom function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from lrp.engine.values import Readers
from lrp.rules.base import Kept
from lrp.rules.linear import ArrivingRule, InputRule, LinearOp, LinearRule
from lrp.rules.pointwise import Activation, PointwiseRule
from lrp.rules.softmax import SoftmaxRule
from lrp.rules.sums import ResidualGamma

__all__ = [
    "Arriving",
    "ByChannel",
    "Constants",
    "Enter",
    "Exit",
    "Identity",
    "InputNode",
    "LinearNode",
    "Pointwise",
    "Scale",
    "SoftmaxNode",
    "Stopped",
    "SumNode",
    "Valued",
]


def _pay(ctx: Any, kinds: Sequence[str], kept: Kept, slots_from: int) -> list[Tensor | None]:
    """The gradient of each slot: the sum of what was kept, or None where no books are kept."""
    wanted = ctx.needs_input_grad[slots_from:]
    return [kept[kind]().sum() if want else None for kind, want in zip(kinds, wanted, strict=True)]


def _same(ctx: Any, tensor: Tensor, in_place: bool) -> Tensor:
    """The tensor as a new output of this node: itself where it is written in place, else an alias."""
    if in_place:
        ctx.mark_dirty(tensor)
        return tensor
    return tensor.detach()


def _save(ctx: Any, x: Tensor, z: Tensor, op: LinearOp) -> None:
    """Save what a rule of linear operations reads; weights too, as a model may overwrite them between two uses."""
    ctx.op = op
    ctx.save_for_backward(x, z, op.weight, *(() if op.bias is None else (op.bias,)))


def _saved(ctx: Any) -> tuple[Tensor, Tensor, LinearOp]:
    x, z, weight, *bias = ctx.saved_tensors
    return x, z, replace(ctx.op, weight=weight, bias=bias[0] if bias else None)


class Node(torch.autograd.Function):
    """Base that only widens the types of what autograd passes around."""

    @staticmethod
    def forward(ctx: FunctionCtx, *args: Any) -> Any:
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, *multipliers: Any) -> Any:
        raise NotImplementedError


class Identity(Node):
    """Hands on the multiplier unchanged: a place of its own in the graph to measure at."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, in_place: bool) -> Tensor:
        return _same(ctx, tensor, in_place)

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        return m, None


class Valued(Node):
    """Hands on the multiplier unchanged, with the value of a fused function in the place of the written-out one."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, value: Tensor) -> Tensor:
        return value.detach()

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        return m, None


class Enter(Node):
    """The way into an operation that carries multipliers, in a run in relevance form: `R_x = x m_x`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, in_place: bool) -> Tensor:
        ctx.save_for_backward(x.clone() if in_place else x)
        return _same(ctx, x, in_place)

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return torch.where(m == 0, torch.zeros_like(m), x * m), None


class Exit(Node):
    """The way out of it: `m = R_z / z`. What arrives at `z = 0` finds nothing to be shared by, and stays."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, in_place: bool, slot: Tensor | None) -> Tensor:
        ctx.save_for_backward(z.clone() if in_place else z)
        return _same(ctx, z, in_place)

    @staticmethod
    def backward(ctx: Any, relevance_out: Tensor) -> Any:
        (z,) = ctx.saved_tensors
        empty = z == 0
        m = torch.where(empty, torch.zeros_like(relevance_out), relevance_out / z)
        kept = torch.where(empty, relevance_out, torch.zeros_like(relevance_out))
        return m, None, kept.sum() if ctx.needs_input_grad[2] else None


class Stopped(Node):
    """Hands nothing on; what arrives stays."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, in_place: bool, relevance_form: bool, slot: Tensor | None, *data: Tensor
    ) -> Tensor:
        ctx.relevance_form, ctx.data, ctx.in_place = relevance_form, len(data), in_place
        ctx.save_for_backward(z.clone() if in_place else z)
        return _same(ctx, z, in_place)

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        (z,) = ctx.saved_tensors
        kept = m if ctx.relevance_form else torch.where(m == 0, torch.zeros_like(m), z * m)
        # torch takes None for a part written into a tensor to mean that nothing goes to the rest of it either
        handed = torch.zeros_like(m) if ctx.in_place else None
        return handed, None, None, kept.sum() if ctx.needs_input_grad[3] else None, *[None] * ctx.data


class Scale(Node):
    """Multiplies the multiplier by a constant share."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, share: float, in_place: bool) -> Tensor:
        ctx.share = share
        return _same(ctx, tensor, in_place)

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        return m * ctx.share, None, None


class Constants(Node):
    """Books what constants inside a tensor keep: `sum m c`, where `tensor = data part + c` (broadcast).

    For a bias this is one reduction of `m`; asking autograd for the bias's gradient would, on some backends, compute
    the weight's too.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, constant: Tensor, in_place: bool, slot: Tensor) -> Tensor:
        ctx.save_for_backward(constant)
        return _same(ctx, tensor, in_place)

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        (constant,) = ctx.saved_tensors
        arrived = m.sum_to_size(constant.shape)
        kept = torch.where(arrived == 0, torch.zeros_like(arrived), arrived * constant.conj())
        return m, None, None, kept.sum().real


class ByChannel(Node):
    """`z = scale x + shift` with numbers for each channel, and what `shift` keeps booked.

    torch's own backward pass of a batch norm is wrong on processors for one sample whose strides are neither those of
    a contiguous tensor nor of one with channels last, which transposing tokens makes (torch 2.13).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, compute: Callable[[], Tensor], scale: Tensor, shift: Tensor, slot: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(scale, shift)
        return compute()

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        scale, shift = ctx.saved_tensors
        kept = None
        if ctx.needs_input_grad[4]:
            arrived = m.sum([0, *range(2, m.dim())])
            kept = torch.where(arrived == 0, 0, arrived * shift).sum()
        return (m * scale.view(-1, *[1] * (m.dim() - 2))).to(m.dtype), None, None, None, kept


class Arriving(Node):
    """Applies an `ArrivingRule` behind a native operation."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, rule: ArrivingRule, units: int | None, in_place: bool, *slots: Tensor | None
    ) -> Tensor:
        ctx.rule, ctx.units = rule, units
        ctx.save_for_backward(z)
        return _same(ctx, z, in_place)

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        (z,) = ctx.saved_tensors
        q, kept = ctx.rule.arriving(z, m, ctx.units)
        return q, None, None, None, *_pay(ctx, ctx.rule.kinds, kept, 4)


class Pointwise(Node):
    """Runs an elementwise function natively and applies a `PointwiseRule` to it; `x` may be broadcast to `z`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        compute: Callable[[], Tensor],
        rule: PointwiseRule,
        activation: Activation | None,
        in_place: bool,
        relevance_form: bool,
        *slots: Tensor | None,
    ) -> Tensor:
        ctx.rule, ctx.activation, ctx.relevance_form = rule, activation, relevance_form
        if in_place:
            before = x.clone()
            z = compute()
            ctx.mark_dirty(x)
            ctx.save_for_backward(before, z if rule.needs_output or relevance_form else before)
            return x
        z = compute()
        ctx.save_for_backward(x, z if rule.needs_output or relevance_form else x)
        return z

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        x, z = ctx.saved_tensors
        if ctx.relevance_form:
            passed, kept = ctx.rule.hand_on(ctx.activation, x, z, m)
        else:
            passed = m * ctx.rule.factor(ctx.activation, x, z)
            kept = ctx.rule.kept(ctx.activation, x, z, m)
        return passed.sum_to_size(x.shape), None, None, None, None, None, *_pay(ctx, ctx.rule.kinds, kept, 6)


class LinearNode(Node):
    """Runs a linear operation natively and applies a `LinearRule` to it."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        compute: Callable[[], Tensor],
        rule: LinearRule,
        op: LinearOp,
        readers: Readers,
        relevance_form: bool,
        *slots: Tensor | None,
    ) -> Tensor:
        ctx.rule, ctx.readers, ctx.relevance_form = rule, readers, relevance_form
        z = compute()
        _save(ctx, x, z, op)
        return z

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        x, z, op = _saved(ctx)
        if ctx.relevance_form:  # an input rule further on may have given relevance to units that a ReLU made zero
            m_x, kept = ctx.rule.propagate(op, x, z, m)
            passed = x * m_x
        else:
            op = replace(op, rectified=ctx.readers.rectified)
            passed, kept = ctx.rule.propagate(op, x, z, z * m)
        return passed, None, None, None, None, None, *_pay(ctx, ctx.rule.kinds, kept, 6)


class InputNode(Node):
    """Runs a linear operation natively and delivers the relevance of its input by an `InputRule`.

    The gradient of `slot`, a tensor of zeros shaped like `x`, is the relevance, and `x` gets the multiplier 0. Without
    a slot, which only a run in relevance form does, the relevance goes to `x` itself.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        slot: Tensor | None,
        compute: Callable[[], Tensor],
        rule: InputRule,
        op: LinearOp,
        relevance_form: bool,
        *slots: Tensor | None,
    ) -> Tensor:
        ctx.rule, ctx.relevance_form, ctx.at_source = rule, relevance_form, slot is not None
        z = compute()
        _save(ctx, x, z, op)
        return z

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        x, z, op = _saved(ctx)
        relevance_in, kept = ctx.rule.distribute(op, x, m if ctx.relevance_form else z * m)
        delivered = (None, relevance_in) if ctx.at_source else (relevance_in, None)
        return *delivered, None, None, None, None, *_pay(ctx, ctx.rule.kinds, kept, 6)


class SumNode(Node):
    """Runs `coefficients[0] a + coefficients[1] b` natively and applies `ResidualGamma` to it."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        compute: Callable[[], Tensor],
        rule: ResidualGamma,
        coefficients: tuple[float, float],
        in_place: bool,
    ) -> Tensor:
        ctx.rule, ctx.coefficients = rule, coefficients
        before = a.clone() if in_place else a
        z = compute()
        if in_place:
            ctx.mark_dirty(a)
            z = a
        ctx.save_for_backward(before, b, z)
        return z

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        a, b, z = ctx.saved_tensors
        by_a, by_b = ctx.coefficients
        to_a, to_b = ctx.rule.factors(z, by_a * a, by_b * b)
        m_a, m_b = m * to_a * by_a, m * to_b * by_b
        return m_a.sum_to_size(a.shape), m_b.sum_to_size(b.shape), None, None, None, None


class SoftmaxNode(Node):
    """Runs a softmax or log-softmax natively; its rule is the native gradient, and tells what it does not hand on."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, compute: Callable[[], Tensor], rule: SoftmaxRule, dim: int, log: bool, slot: Tensor | None
    ) -> Tensor:
        ctx.rule, ctx.dim, ctx.log = rule, dim, log
        z = compute()
        ctx.save_for_backward(x, z)
        return z

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        x, z = ctx.saved_tensors
        m_x, kept = ctx.rule.softmax(x, z, m, ctx.dim, ctx.log)
        return m_x, None, None, None, None, *_pay(ctx, ctx.rule.kinds, kept, 5)
