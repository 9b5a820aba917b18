"""How each family of operations is carried out under its rule.

A handler runs the operation, so that its output is bit-equal to a call without `lrp`, and leaves a graph behind it that
carries multipliers. It returns the result and, where there is something to say, the facts about its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrp.engine.attention import handle_attention
from lrp.engine.batch_norm import refuse_batch_statistics
from lrp.engine.differences import handle_with_reference
from lrp.engine.division import family_of_division, family_of_solution, handle_division, handle_solution
from lrp.engine.homogeneous import handle_homogeneous, handle_logsumexp
from lrp.engine.islands import is_gate, step
from lrp.engine.linear import handle_linear, handle_norm
from lrp.engine.moving import PAIRWISE, handle_put, handle_reshape, handle_select, handle_sum
from lrp.engine.native import carry_out
from lrp.engine.nodes import Stopped
from lrp.engine.norms import handle_normaliser
from lrp.engine.outcome import Outcome, TorchCall, refuse_written_constant, uncovered
from lrp.engine.pointwise import handle_activation, handle_softmax
from lrp.engine.power import family_of_power
from lrp.engine.product import handle_product
from lrp.engine.recurrent import handle_recurrence
from lrp.engine.relevance_form import scaled
from lrp.engine.structure import is_continuous, map_tensors
from lrp.engine.values import Value, as_constant
from lrp.engine.written_out import handle_written_out
from lrp.errors import CompositeError, TrainingModeError
from lrp.ops.homogeneous import PAIRS
from lrp.ops.moving import DROPOUTS
from lrp.ops.op import Op
from lrp.rules.passing import AsConstant, Stop

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["family_of", "handle"]

Handler = Callable[["Run", TorchCall], Outcome]

_ONE_DATA = frozenset({"activation", "norm", "normaliser", "softmax", "dropout"})
"""Families whose handlers follow one data operand; with more, part of the data would be cut off in silence."""

_WEIGHTED = frozenset({"matmul", "linear", "conv"})
"""Families of the table whose calls are products, perhaps with something added."""


def family_of(op: Op, data: Sequence[Tensor], operands: Sequence[Tensor], args: Any, kwargs: Mapping[str, Any]) -> str:
    """The family of a call, which can depend on which of its operands carry data."""
    if op.rule is not None and len(data) == 1:
        return op.family
    if any(tensor.layout is not torch.strided for tensor in data):
        return ""
    if op.family == "power":
        return family_of_power(op.name, data, args, kwargs)
    if op.family == "division":
        return family_of_division(op.name, data, args, kwargs)
    if op.family == "solution":
        return family_of_solution(op, data, args, kwargs)
    if op.name in PAIRS and len(data) == 1:
        return "written out"
    if op.name in PAIRWISE:
        return "activation" if len(operands) > 1 and len(data) == 1 else "select"
    if op.family in _WEIGHTED:
        if op.added is not None:
            position, name = op.added
            added = args[position] if len(args) > position else kwargs.get(name)
            if added is not None and (len(data) > 1 or data[0] is added):
                return "written out"
        if len(data) > 1:
            return "product"
        if not any(is_continuous(tensor) for tensor in operands if tensor is not data[0]):
            return "reduce"
        return "linear" if op.family == "matmul" else op.family
    if len(data) > 1:
        return "" if op.family in _ONE_DATA else op.family
    if op.family == "logsumexp" and op.name != "logsumexp" and len(data) == 1:
        return "activation"
    if op.family == "homogeneous" and op.name in ("prod", "cumprod"):
        return "product"
    return {"sum": "affine", "product": "affine"}.get(op.family, op.family)


def handle(run: Run, call: TorchCall) -> Outcome:
    """Carry out a call under the rule of its record."""
    rule = call.record.rule
    if isinstance(rule, Stop):
        return _stopped(run, call)
    if isinstance(rule, AsConstant):
        return _as_constants(run, call, rule)
    if run.with_reference and call.record.family not in ("written out", "recurrence", "put"):
        if call.op.name in _CHECKED:
            _CHECKED[call.op.name](call)
        return handle_with_reference(run, call)
    return _HANDLERS.get(call.record.family, uncovered)(run, call)


def _stopped(run: Run, call: TorchCall) -> Outcome:
    """Any call under `rules.Stop`: its value, and nothing behind it."""
    record, rule = call.record, call.record.rule
    assert rule is not None
    record.gradient = False
    data = [run.tap(record, tensor, inside=True) for tensor in call.data if tensor is not call.written]
    with torch.no_grad():
        result = call.run()

    def stop(z: Tensor) -> Tensor:
        if not is_continuous(z):
            return z
        return Stopped.apply(z, z is call.written, run.relevance_form, *run.slots(record, rule.kinds, z), *data)

    stopped = map_tensors(stop, result)
    if call.written is not None and result is not call.written:
        stop(call.written)
    return Outcome(stopped)


def _as_constants(run: Run, call: TorchCall, rule: AsConstant) -> Outcome:
    """Any call under `rules.AsConstant`: its value, or some of its outputs, without a way back to the data."""
    refuse_written_constant(call)
    call.record.gradient = False
    if not rule.outputs:
        with torch.no_grad():
            return Outcome(call.run(as_constant))
    result, value = handle_reshape(run, call)
    if not isinstance(result, (tuple, list)) or max(rule.outputs) >= len(result):
        raise CompositeError(
            "a call has fewer outputs than the rule names",
            where=call.record.name,
            seen=f"rules.{rule} on {len(result) if isinstance(result, (tuple, list)) else 1}",
            cure="numbers of its outputs, from 0",
        )
    parts = [as_constant(part) if number in rule.outputs else part for number, part in enumerate(result)]
    return Outcome(type(result)(parts), value)


def _handle_affine(run: Run, call: TorchCall) -> Outcome:
    """One data tensor, shifted or scaled by constants."""
    before = run.value(call.data[0]) or Value()
    shifts = call.op.family == "sum"
    # a bias added by hand is no part of an activation; a number is, and a mask
    biases = [t for t in call.operands if t.dim() and t.dtype is not torch.bool and not call.is_data(t)]
    moves = shifts and bool(biases)
    point = None if moves else step(run, call, affine=True, shifts=shifts)
    result = scaled(run, call, call.data[0]) if run.relevance_form and not shifts else carry_out(run, call, adds=shifts)
    slot = None if before.slot is None else run.tap_slot(call, before.slot).expand_as(result)
    if shifts:
        unchanged = point is None or point.affine
        gate = (before.gate and not moves) if unchanged else is_gate(point)
        return Outcome(result, Value(gate=gate, slot=slot, point=point, exponential=before.exponential))
    value = Value(factors=before.factors, denominator=before.denominator, slot=slot, point=point)
    value.exponential = before.exponential
    value.gate = before.gate or is_gate(point)
    return Outcome(result, value)


def _handle_dropout(run: Run, call: TorchCall) -> Outcome:
    refuse_active_dropout(call)
    return handle_reshape(run, call)


def refuse_active_dropout(call: TorchCall) -> None:
    """Dropout that is not in eval mode."""
    default = call.op.name.startswith("dropout")
    training = call.kwargs.get("train", call.get(2, "training", default))
    if training and call.get(1, "p", 0.5) > 0:
        raise TrainingModeError(
            "dropout is active, so the output depends on chance",
            where=call.record.name,
            seen="training=True",
            cure="model.eval()",
        )


def _handle_compare(run: Run, call: TorchCall) -> Outcome:
    """A comparison carries no data, but tells a hand-written activation which of its branches it is on."""
    return Outcome(call.run(), Value(point=step(run, call)))


_CHECKED: dict[str, Callable[[TorchCall], None]] = {
    "batch_norm": refuse_batch_statistics,
    **dict.fromkeys(DROPOUTS, refuse_active_dropout),
}

_HANDLERS: dict[str, Handler] = {
    "reshape": handle_reshape,
    "select": handle_select,
    "put": handle_put,
    "pool": handle_sum,
    "reduce": handle_sum,
    "transform": handle_sum,
    "sum": handle_sum,
    "affine": _handle_affine,
    "product": handle_product,
    "division": handle_division,
    "solution": handle_solution,
    "homogeneous": handle_homogeneous,
    "logsumexp": handle_logsumexp,
    "compare": _handle_compare,
    "dropout": _handle_dropout,
    "activation": handle_activation,
    "written out": handle_written_out,
    "recurrence": handle_recurrence,
    "softmax": handle_softmax,
    "attention": handle_attention,
    "linear": handle_linear,
    "conv": handle_linear,
    "norm": handle_norm,
    "normaliser": handle_normaliser,
}
