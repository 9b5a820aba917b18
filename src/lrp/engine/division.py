"""Division, by numbers and by matrices: a denominator of data counts as a constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lrp.engine.islands import is_gate, known_point, replayed, step
from lrp.engine.moving import handle_sum
from lrp.engine.native import carry_out
from lrp.engine.outcome import Outcome, TorchCall, uncovered
from lrp.engine.relevance_form import scaled
from lrp.engine.softmax import handle_softmax_by_hand, note_if_missed
from lrp.engine.values import Value
from lrp.ops.op import Op

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["family_of_division", "family_of_solution", "handle_division", "handle_solution"]

_REVERSED = frozenset({"__rtruediv__", "__rdiv__"})


def family_of_division(name: str, data: Sequence[Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Data over anything is a division, a constant over data an activation."""
    if kwargs.get("rounding_mode"):
        return ""
    numerator = _argument(args, kwargs, name in _REVERSED)
    return "division" if any(numerator is tensor for tensor in data) else "activation"


def family_of_solution(op: Op, data: Sequence[Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The solution `X` of `A X = B` is linear in `B`."""
    ((position, name),) = op.places
    solved = args[position] if len(args) > position else kwargs.get(name)
    return "transform" if len(data) == 1 and data[0] is solved else "solution"


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], second: bool) -> Any:
    position, name = (1, "other") if second else (0, "input")
    return args[position] if len(args) > position else kwargs.get(name)


def handle_division(run: Run, call: TorchCall) -> Outcome:
    """Data divided by a constant, or by data that counts as one."""
    reversed_ = call.op.name in _REVERSED
    numerator = _argument(call.args, call.kwargs, reversed_)
    denominator = _argument(call.args, call.kwargs, not reversed_)
    before, by_data = run.value(numerator) or Value(), call.is_data(denominator)
    above = known_point(run, numerator)
    if by_data and above is not None and above.shifted and not above.affine:
        outcome = replayed(run, call)
        if outcome is not None:
            return outcome
    below = run.value(denominator) if by_data else None
    if below is not None and below.exponential is not None and below.exponential is before.exponential:
        return handle_softmax_by_hand(run, call, below.exponential)
    if by_data:
        note_if_missed(run, call, denominator)
    point = step(run, call, affine=not by_data)
    if by_data:
        call.record.gradient = False
        call = call.replace([(0 if reversed_ else 1, "other", denominator.detach())])
    result = scaled(run, call, numerator) if run.relevance_form else carry_out(run, call, adds=False)
    slot = None if before.slot is None or by_data else run.tap_slot(call, before.slot).expand_as(result)
    value = Value(factors=before.factors, denominator=before.denominator, slot=slot, point=point)
    value.exponential = None if by_data else before.exponential
    value.gate = before.gate or is_gate(point)
    return Outcome(result, value)


def handle_solution(run: Run, call: TorchCall) -> Outcome:
    """The solution `X` of `A X = B` for a matrix of data, which counts as a constant, as a denominator does."""
    ((position, name),) = call.op.places
    solved = call.get(position, name)
    if not call.is_data(solved):
        call.record.note = "a constant over a matrix of data has no rule"
        return uncovered(run, call)
    call.record.gradient = False
    return handle_sum(run, replace(call, data=[solved]))
