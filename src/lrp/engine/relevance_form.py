"""Runs in relevance form: what autograd carries is relevance `R`, not multipliers.

A Flat, WSquare or Box rule on a hidden op call gives relevance to units that are zero, which no multiplier can express;
so does Pass on a batch norm, whose shift makes something of zero. Where a composite has such a rule, the run carries
relevance:

    moving and picking elements     the native gradient, applied to R
    activations, constant scales    `R_x = R_z` (an offset keeps its share)
    rules of linear operations      `R_x = x m_x`, with `m_x` from the relevance that arrives
    all others                      carry multipliers between a way in, `R_x = x m_x`, and a way out, `m = R_z / z`

It is also the slow reference for the multiplier form: wherever both exist, they give the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrp.engine.calls import OpCall
from lrp.engine.nodes import Enter, Exit, Pointwise
from lrp.engine.outcome import TorchCall
from lrp.engine.structure import is_continuous, map_tensors
from lrp.engine.values import as_constant
from lrp.errors import ModelError
from lrp.rules.linear import InputRule, LinearRule
from lrp.rules.pointwise import Pass, PointwiseRule

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["enter", "filled", "leave", "scaled"]

_MOVING = frozenset({"reshape", "select", "dropout"})


def enter(call: OpCall, tensor: Tensor, in_place: bool) -> Tensor:
    """An operand of a call as the call's rule wants it: one that carries multipliers needs a way in."""
    if tensor.is_complex():
        raise ModelError(
            "complex numbers cannot be explained in relevance form",
            where=call.name,
            seen="a rule for input layers on a hidden op call, and complex data on the way to it",
            cure="Flat, WSquare and Box at sources alone: (on.first & on.conv, rules.Flat())",
        )
    if call.family in _MOVING or isinstance(call.rule, (LinearRule, InputRule, PointwiseRule)):
        return tensor
    call.bracketed = True
    return Enter.apply(tensor, in_place)


def leave(run: Run, call: OpCall, result: Any, written: Tensor | None) -> Any:
    """The results of a call that carries multipliers, each behind a way out."""

    def out(tensor: Tensor) -> Tensor:
        if not tensor.requires_grad:
            return tensor
        return Exit.apply(tensor, tensor is written, *run.slots(call, ("stabiliser",), tensor))

    left = map_tensors(out, result)
    if written is not None and left is not written:
        out(written)
    return left


def scaled(run: Run, call: TorchCall, x: Tensor) -> Tensor:
    """Data multiplied or divided by what counts as a constant: relevance passes unchanged."""
    in_place = call.written is not None
    data = run.tap(call.record, x, in_place, inside=True)

    def compute() -> Tensor:
        return call.run(lambda tensor: as_constant(data if tensor is x else tensor))

    slots = run.slots(call.record, Pass.kinds, x)
    return Pointwise.apply(data, compute, Pass(), None, in_place, True, *slots)


def filled(call: TorchCall) -> Tensor:
    """1 where a call that moves elements about put in its own, 0 where it put data: one less the same call on ones
    for the data and zeros for all else.
    """
    plain = call.replace([(*place, 0.0) for place in call.op.numbers if isinstance(call.get(*place), (int, float))])
    into: list[Tensor] = []

    def operand(tensor: Tensor) -> Tensor:
        if not is_continuous(tensor):
            return tensor
        changed = torch.ones_like(tensor) if call.is_data(tensor) else torch.zeros_like(tensor)
        if tensor is call.written:
            into.append(changed)
        return changed

    with torch.no_grad():
        result = plain.run(operand)
    return 1 - (into[0] if into else result)
