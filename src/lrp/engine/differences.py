"""Reference inputs: LRP-0 on differences to the activations that another input gives (DeepLIFT's rescale rule).

Each data tensor `x` has a counterpart `x'`, what the same op calls make of the reference. Every op call is carried out
on both, and its multiplier takes differences to differences, `z - z' = sum m_x (x - x')` with `m = 1` at the output:

    linear in the data      the native gradient; constants cancel
    elementwise             `m_x = m (phi(x) - phi(x')) / (x - x')`, the derivative where they meet up to rounding
    products of two         the native gradient halfway, `m_1 = m (x_2 + x_2') / 2` and its mirror
    max pooling             with `M = max(z, z')`: `m (M - z')` to x's winner, `m (z - M)` to the reference's

Source: Shrikumar et al. 2017, sections 3.3 and 3.5.1 (rescale rule); the product rule follows from
`a b - a' b' = (a - a') (b + b') / 2 + (a + a') (b - b') / 2`, the pooling rule gives each winner what it changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lrp.engine.batch_norm import by_channel
from lrp.engine.nodes import Node
from lrp.engine.outcome import Outcome, TorchCall, not_linear, uncovered
from lrp.engine.pointwise import is_elementwise
from lrp.engine.structure import tensors_in
from lrp.engine.values import Value, as_constant
from lrp.errors import InputError, ModelError

if TYPE_CHECKING:
    from lrp.engine.facts import Facts
    from lrp.engine.run import Run

__all__ = ["handle_with_reference", "on_reference", "reference_of"]

_ADDING = frozenset({"reshape", "dropout", "pool", "reduce", "transform", "sum"})
_POOLINGS: dict[str, tuple[Callable[..., Any], int]] = {
    f"{kind}max_pool{n}d": (getattr(F, f"{kind}max_pool{n}d"), n) for kind in ("", "adaptive_") for n in (1, 2, 3)
}


def reference_of(run: Facts, tensor: Tensor) -> Tensor:
    """The counterpart of a data tensor."""
    value = run.value(tensor)
    if value is None or not isinstance(value.reference, Tensor):
        raise ModelError(
            "the reference cannot be followed through this",
            where=run.modules.path or "(model)",
            seen="a write into a view of a constant, or a tensor made out of sight",
            cure="write it out of place, or explain without a reference",
        )
    return value.reference


def handle_with_reference(run: Run, call: TorchCall) -> Outcome:
    """Carry out a call on its data and on their counterparts."""
    record, family, written = call.record, call.record.family, call.written
    x, *more = call.data
    stepped_over = family == "softmax" or call.op.name == "sigmoid"
    logit = None if more or not stepped_over else run.copied(x) if written is not None else x
    data = {id(x): x if call.op.view else run.tap(record, x, x is written) for x in call.data}
    before = {id(x): reference_of(run, x) for x in call.data}
    earlier = {id(x): x.detach() for x in call.data}
    if written is not None:
        before = {key: reference.clone() for key, reference in before.items()}
        earlier = {key: tensor.clone() for key, tensor in earlier.items()}
    others = on_reference(run, call)
    value = Value(reference=others, logit=logit, logit_of="" if logit is None else call.op.name)

    def native() -> Any:
        return call.run(lambda t: data[id(t)] if call.is_data(t) else t if t is written else as_constant(t))

    def constant() -> Any:
        return call.run(lambda t: data[id(t)] if t is written and call.is_data(t) else as_constant(t))

    chosen = record.entry != "(default)"
    if call.op.name == "batch_norm" and not more and x is call.get(0, "input"):
        return Outcome(by_channel(run, call, data[id(x)]), value)
    if _is_affine(call) or (family == "select" and chosen):
        return Outcome(native(), value)
    record.gradient = False
    in_place = written is not None
    if _has_a_slope(call):
        function = _of(call, [x])
        z = Elementwise.apply(data[id(x)], constant, earlier[id(x)], before[id(x)], others[0], function, in_place)
        return Outcome(z, value)
    if family in ("product", "linear", "conv") and len(more) == 1:
        factors = list({id(x): x for x in call.data}.values())
        halves = [(earlier[id(x)] + before[id(x)]) / 2 for x in factors]
        z = Halfway.apply(constant, _of(call, factors), halves, in_place, *(data[id(x)] for x in factors))
        return Outcome(z, value)
    if family == "select" and call.op.name in _POOLINGS:
        pooling, n = _POOLINGS[call.op.name]
        options = {**call.kwargs, "return_indices": True}
        winners = [pooling(t, *call.args[1:], **options)[1] for t in (earlier[id(x)], before[id(x)])]
        return Outcome(MaxPool.apply(data[id(x)], constant, before[id(x)], others[0], *winners, n), value)
    record.note = record.note or "there is no rule for differences to a reference"
    return Outcome(uncovered(run, call).result, value)


def _is_affine(call: TorchCall) -> bool:
    """Whether a call is linear in its data up to constants, which cancel."""
    more = call.data[1:]
    if call.record.family in _ADDING:
        return not not_linear(call)
    return not more and call.record.family in ("affine", "linear", "conv", "division")


def _has_a_slope(call: TorchCall) -> bool:
    """Whether a call is a function of real data, element by element."""
    x, *more = call.data
    if more or x.is_complex():
        return False
    return call.op.family == "power" or (call.record.family == "activation" and is_elementwise(call))


def on_reference(run: Run, call: TorchCall) -> list[Any]:
    """What the call makes of the counterparts of its data: a tensor for each of its outputs."""
    written = call.written
    into: list[Tensor] = []

    def counterpart(tensor: Tensor) -> Tensor:
        other = reference_of(run, tensor) if call.is_data(tensor) else as_constant(tensor)
        if tensor is written:
            run.shelf.before_write(other)
            other = other if call.is_data(tensor) else other.clone()
            into.append(other)
        return other

    with torch.no_grad():
        try:
            others = tensors_in(call.run(counterpart))
        except RuntimeError as error:
            raise InputError(
                "the model's forward pass failed on the reference",
                where=call.record.name,
                seen=str(error).splitlines()[0],
                cure="a reference that the model runs on by itself",
            ) from error
    return others + [other for other in into if not any(other is each for each in others)]


def _of(call: TorchCall, data: list[Tensor]) -> Callable[..., Tensor]:
    """The call as a function of its data alone, which writes into none of it."""
    function = call.as_function(*data)

    def of_data(*values: Tensor) -> Tensor:
        z: Tensor = function(*(value.clone() for value in values))
        return z

    return of_data


class Elementwise(Node):
    """`m_x = m (phi(x) - phi(x')) / (x - x')`, the derivative where they meet up to rounding."""

    @staticmethod
    def forward(
        ctx: Any,
        data: Tensor,
        compute: Callable[[], Tensor],
        x: Tensor,
        x_reference: Tensor,
        z_reference: Tensor,
        function: Callable[[Tensor], Tensor],
        in_place: bool,
    ) -> Tensor:
        z = compute()
        if in_place:
            ctx.mark_dirty(data)
        ctx.function = function
        ctx.save_for_backward(x, x_reference, z.clone() if in_place else z, z_reference.clone())
        return z

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        x, x_reference, z, z_reference = ctx.saved_tensors
        with torch.enable_grad():
            point = ((x + x_reference) / 2).detach().expand(z.shape).requires_grad_()
            (derivative,) = torch.autograd.grad(ctx.function(point).sum(), point)
        derivative = torch.where(derivative.isfinite(), derivative, 0.0)  # at a pole, where both are the same
        change, moved = x - x_reference, z - z_reference
        # where they meet up to rounding the quotient is noise; both may be -inf, as masked scores are
        rounding = 4 * torch.finfo(z.dtype).eps * torch.maximum(z.abs(), z_reference.abs())
        meet = (x == x_reference) | ((moved - derivative * change).abs() <= rounding)
        slope = torch.where(meet, derivative, moved / torch.where(meet, torch.ones_like(change), change))
        return (m * slope).sum_to_size(x.shape), *[None] * 6


class Halfway(Node):
    """A product of two: the native gradient at the mean of data and reference."""

    @staticmethod
    def forward(
        ctx: Any,
        compute: Callable[[], Tensor],
        function: Callable[..., Tensor],
        middle: list[Tensor],
        in_place: bool,
        *data: Tensor,
    ) -> Tensor:
        z = compute()
        if in_place:
            ctx.mark_dirty(z)
        ctx.function = function
        ctx.save_for_backward(*middle)
        return z

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        with torch.enable_grad():
            points = [middle.detach().requires_grad_() for middle in ctx.saved_tensors]
            z = ctx.function(*points)
        return None, None, None, None, *torch.autograd.grad(z, points, m)


class MaxPool(Node):
    """With `M = max(z, z')`: `m (M - z')` to x's winner and `m (z - M)` to the reference's."""

    @staticmethod
    def forward(
        ctx: Any,
        data: Tensor,
        compute: Callable[[], Tensor],
        x_reference: Tensor,
        z_reference: Tensor,
        winners: Tensor,
        reference_winners: Tensor,
        axes: int,
    ) -> Tensor:
        z = compute()
        ctx.axes = axes
        ctx.save_for_backward(data, x_reference, z, z_reference, winners, reference_winners)
        return z

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        x, x_reference, z, z_reference, winners, reference_winners = ctx.saved_tensors
        change = (x - x_reference).flatten(-ctx.axes)
        top = torch.maximum(z, z_reference)
        m_x = torch.zeros_like(change)
        for places, part in ((winners, top - z_reference), (reference_winners, z - top)):
            at = places.flatten(-ctx.axes)
            moved = change.gather(-1, at)
            share = torch.where(moved == 0, torch.zeros_like(moved), part.flatten(-ctx.axes) / moved)
            m_x = m_x.scatter_add(-1, at, m.reshape(at.shape) * share)
        return m_x.reshape(x.shape), *[None] * 6
