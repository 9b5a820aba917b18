"""How each family of operations is carried out under its rule.

A handler runs the operation, so that its output is bit-equal to a call without `lrp`, and leaves a graph behind it that
carries multipliers. It returns the result and, where there is something to say, the facts about its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrp.engine.linear import handle_linear, handle_matmul, handle_norm
from lrp.engine.native import carry_out
from lrp.engine.nodes import Stopped
from lrp.engine.outcome import Outcome, TorchCall, uncovered
from lrp.engine.pointwise import handle_activation, handle_softmax
from lrp.engine.product import handle_product
from lrp.engine.relevance_form import scaled
from lrp.engine.segments import slot_through
from lrp.engine.structure import map_tensors, tensors_in
from lrp.engine.sums import residual_sum
from lrp.engine.values import Value
from lrp.engine.written_out import handle_written_out
from lrp.errors import TrainingModeError
from lrp.ops.op import Op
from lrp.rules.linear import ArrivingRule
from lrp.rules.passing import Stop
from lrp.rules.sums import ResidualGamma

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["family_of", "handle"]

Handler = Callable[["Run", TorchCall], Outcome]

_ONE_DATA = frozenset({"activation", "norm", "softmax", "dropout"})
"""Families whose handlers follow one data operand; with more, part of the data would be cut off in silence."""

_MEETS_CONSTANT = frozenset({"max", "min", "maximum", "minimum"})


def family_of(op: Op, data: Sequence[Tensor], operands: Sequence[Tensor]) -> str:
    """The family of a call, which can depend on how many of its operands carry data."""
    if op.name in _MEETS_CONSTANT:
        return "activation" if len(operands) > 1 and len(data) == 1 else "select"
    if len(data) > 1:
        return "" if op.family in _ONE_DATA else {"matmul": "product"}.get(op.family, op.family)
    return {"sum": "affine", "product": "affine", "matmul": "linear"}.get(op.family, op.family)


def handle(run: Run, call: TorchCall) -> Outcome:
    """Carry out a call under the rule of its record."""
    if isinstance(call.record.rule, Stop):
        return _stopped(run, call)
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
        if not (z.is_floating_point() or z.is_complex()):
            return z
        return Stopped.apply(z, z is call.written, run.relevance_form, *run.slots(record, rule.kinds, z), *data)

    stopped = map_tensors(stop, result)
    if call.written is not None and result is not call.written:
        stop(call.written)
    return Outcome(stopped)


def _factors(run: Run, call: TorchCall) -> int:
    """How many data factors the pure products among the operands have, where they agree; else 1."""
    counts = {value.factors for tensor in call.data if (value := run.value(tensor)) is not None}
    return counts.pop() if len(counts) == 1 else 1


def _handle_reshape(run: Run, call: TorchCall) -> Outcome:
    """Operations that move elements about, perhaps among constants."""
    value = Value(factors=1 if call.constants else _factors(run, call), slot=slot_through(run, call))
    first = run.value(call.data[0]) or Value()
    if len(call.data) == 1 and first.logit is not None and call.written is None and not call.op.fills:
        logit = first.logit
        value.logit, value.logit_of = call.run(lambda t: logit if call.is_data(t) else t), first.logit_of
        for moved in tensors_in(value.logit):
            run.put(moved, Value(linear_above=True))
    return Outcome(carry_out(run, call), value)


def _handle_linear_in_data(run: Run, call: TorchCall) -> Outcome:
    """Sums, average pooling, mean: native, perhaps with a rule on the multiplier that arrives."""
    value = Value(factors=_factors(run, call))
    if isinstance(call.record.rule, ResidualGamma):
        return Outcome(residual_sum(run, call, call.record.rule), value)
    result = carry_out(run, call)
    if isinstance(call.record.rule, ArrivingRule):
        result = run.arriving(call.record, result, call.record.rule, in_place=call.written is not None)
    return Outcome(result, value)


def _handle_affine(run: Run, call: TorchCall) -> Outcome:
    """One data tensor, shifted or scaled by constants."""
    before = run.value(call.data[0]) or Value()
    shifts = call.op.family == "sum"
    result = scaled(run, call, call.data[0]) if run.relevance_form and not shifts else carry_out(run, call, adds=shifts)
    slot = None if before.slot is None else run.tap_slot(call, before.slot).expand_as(result)
    return Outcome(result, Value(factors=1 if shifts else before.factors, slot=slot))


def _handle_select(run: Run, call: TorchCall) -> Outcome:
    return Outcome(carry_out(run, call))


def _handle_dropout(run: Run, call: TorchCall) -> Outcome:
    default = call.op.name.startswith("dropout")
    training = call.kwargs.get("train", call.get(2, "training", default))
    if training and call.get(1, "p", 0.5) > 0:
        raise TrainingModeError(
            "dropout is active, so the output depends on chance",
            where=call.record.name,
            seen="training=True",
            cure="model.eval()",
        )
    return _handle_reshape(run, call)


def _handle_division(run: Run, call: TorchCall) -> Outcome:
    """A denominator of data counts as a constant; a constant over data is not covered."""
    reversed_ = call.op.name in ("__rtruediv__", "__rdiv__")
    numerator = call.get(1, "other") if reversed_ else call.get(0, "input")
    denominator = call.get(0, "input") if reversed_ else call.get(1, "other")
    before = run.value(numerator) if call.is_data(numerator) else None
    if before is None or call.kwargs.get("rounding_mode"):
        call.record.note = "a constant divided by data" if before is None else "rounded"
        return uncovered(run, call)
    by_data = call.is_data(denominator)
    if by_data:
        call.record.gradient = False
        call = call.replace([(0 if reversed_ else 1, "other", denominator.detach())])
    result = scaled(run, call, numerator) if run.relevance_form else carry_out(run, call, adds=False)
    slot = None if before.slot is None or by_data else run.tap_slot(call, before.slot).expand_as(result)
    return Outcome(result, Value(factors=before.factors, slot=slot))


_HANDLERS: dict[str, Handler] = {
    "reshape": _handle_reshape,
    "select": _handle_select,
    "pool": _handle_linear_in_data,
    "reduce": _handle_linear_in_data,
    "sum": _handle_linear_in_data,
    "affine": _handle_affine,
    "product": handle_product,
    "division": _handle_division,
    "dropout": _handle_dropout,
    "activation": handle_activation,
    "written out": handle_written_out,
    "softmax": handle_softmax,
    "linear": lambda run, call: (handle_matmul if call.op.family == "matmul" else handle_linear)(run, call),
    "conv": handle_linear,
    "norm": handle_norm,
}
