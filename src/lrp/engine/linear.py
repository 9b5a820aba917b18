"""Linear layers, convolutions, matrix products with a constant, and batch norm, alone and folded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from lrp.engine.batch_norm import by_channel, refuse_batch_statistics, scale_and_shift
from lrp.engine.calls import Foldable
from lrp.engine.nodes import InputNode, LinearNode, Pointwise
from lrp.engine.outcome import Outcome, TorchCall, uncovered
from lrp.engine.reference import Referenced
from lrp.engine.values import Readers, Value, as_constant
from lrp.engine.weighted import as_weighted
from lrp.engine.written_out import handle_written_out
from lrp.rules.linear import ArrivingRule, InputRule, LinearOp, LinearRule
from lrp.rules.pointwise import PointwiseRule

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_linear", "handle_norm"]


def handle_linear(run: Run, call: TorchCall) -> Outcome:
    """A call that is linear in its one data operand: a layer, a convolution, a product with constants."""
    if call.written is not None:
        return handle_written_out(run, call)
    x = call.data[0]
    weighted = as_weighted(call, x)
    nonnegative = (run.value(x) or Value()).nonnegative
    op = LinearOp(
        weighted.apply,
        weighted.weight,
        weighted.bias,
        nonnegative,
        features=weighted.features,
        units=weighted.units,
        transpose=weighted.transpose,
    )

    def native(data: Tensor) -> Tensor:
        return call.run(lambda tensor: data if tensor is x else as_constant(tensor))

    return _under_rule(run, call, x, op, native, weighted.scaled)


def _under_rule(
    run: Run,
    call: TorchCall,
    x: Tensor,
    op: LinearOp,
    native: Callable[[Tensor], Tensor],
    scaled: Callable[[Tensor, Tensor], Tensor] | None,
) -> Outcome:
    """Carry out a linear call under its rule; `scaled` is there where a batch norm can be folded into its weight."""
    record, rule = call.record, call.record.rule
    data = run.tap(record, x)
    reference = run.references.get(record.number)
    if reference is not None:
        return _under_reference(run, call, x, data, op, native, reference)
    foldable = Foldable(record, x, op, scaled) if scaled is not None else None
    if isinstance(rule, (LinearRule, InputRule)):
        readers = Readers()
        z = _ruled(run, call, x, data, op, lambda: native(x.detach()), readers)
        return Outcome(z, Value(linear_above=True, foldable=foldable, readers=readers))
    z = native(data)
    if not z.requires_grad:  # integer arithmetic within: the data is cut off
        return Outcome(z)
    if op.bias is not None:
        z = run.constants(record, z, op.bias, "bias")
    if isinstance(rule, ArrivingRule):
        if foldable is not None:
            foldable.plain = z
        z = run.arriving(record, z, rule, op.units)
        return Outcome(z, Value(linear_above=True, foldable=foldable))
    value = Value(linear_above=True)
    if call.op.family == "matmul" and op.bias is None:  # by a matrix of ones it may be the sum of a softmax by hand
        value.exponential = (run.value(x) or Value()).exponential
    return Outcome(z, value)


def _under_reference(
    run: Run,
    call: TorchCall,
    x: Tensor,
    data: Tensor,
    op: LinearOp,
    native: Callable[[Tensor], Tensor],
    reference: Tensor,
) -> Outcome:
    """The call with a reference output taken off its bias and its output."""
    record, rule = call.record, call.record.rule
    if isinstance(rule, (LinearRule, InputRule)):
        if isinstance(rule, LinearRule):
            record.rule = Referenced(rule, reference)
        op = replace(op, bias=-reference if op.bias is None else op.bias - reference)
        z = _ruled(run, call, x, data, op, lambda: native(x.detach()) - reference, Readers())
        return Outcome(z, Value(linear_above=True))
    z = native(data) - reference
    if op.bias is not None:
        z = run.constants(record, z, op.bias, "bias")
    z = run.constants(record, z, -reference, "reference")
    if isinstance(rule, ArrivingRule):
        z = run.arriving(record, z, rule, op.units)
    return Outcome(z, Value(linear_above=True))


def _ruled(
    run: Run,
    call: TorchCall,
    x: Tensor,
    data: Tensor,
    op: LinearOp,
    compute: Callable[[], Tensor],
    readers: Readers,
) -> Tensor:
    """A node that carries out a rule of linear operations on `x`, whose alias `data` is what it reads."""
    record, rule = call.record, call.record.rule
    record.gradient = False
    if isinstance(rule, LinearRule):
        return LinearNode.apply(data, compute, rule, op, readers, run.relevance_form, *run.slots(record, rule.kinds, x))
    assert isinstance(rule, InputRule)
    value = run.value(x)
    slot = None if value is None or value.slot is None else run.tap_slot(call, value.slot)
    run.needs_relevance_form |= slot is None
    return InputNode.apply(data, slot, compute, rule, op, run.relevance_form, *run.slots(record, rule.kinds, x))


def handle_norm(run: Run, call: TorchCall) -> Outcome:
    """Batch norm in eval: an affine map per channel, folded into the linear call above it for every rule but LRP-0."""
    refuse_batch_statistics(call)
    x = call.get(0, "input")
    value = run.value(x)
    if value is None:
        return uncovered(run, call)
    if value.foldable is not None:
        return _folded(run, call, x, value.foldable)
    record, rule = call.record, call.record.rule
    data = run.tap(record, x)
    slot = None if value.slot is None else run.tap_slot(call, value.slot)
    if isinstance(rule, PointwiseRule):
        record.gradient = False
        run.needs_relevance_form = True  # the shift gives relevance to inputs that are zero

        def compute() -> Tensor:
            return call.run(as_constant)

        z = Pointwise.apply(data, compute, rule, None, False, run.relevance_form, *run.slots(record, rule.kinds, data))
        return Outcome(z, Value(slot=slot))
    z = by_channel(run, call, data)
    if isinstance(rule, ArrivingRule):
        z = run.arriving(record, z, rule, 1 - z.dim())
    return Outcome(z, Value(slot=slot))


def _folded(run: Run, call: TorchCall, x: Tensor, above: Foldable) -> Outcome:
    """One rule for a linear call and the norm behind it: weight `w a`, bias `b a + shift`, `z` the norm's output."""
    record = call.record
    record.rule, record.entry = above.call.rule, above.call.entry
    record.note = f"with #{above.call.number} folded in ({above.call.name})"
    above.call.note = f"folded into #{record.number}"
    record.first, record.last = above.call.first, above.call.last
    readers = Readers()
    if above.plain is not None:
        record.bracketed = run.relevance_form  # the way in is that of the linear call
        plain = run.tap(record, above.plain, inside=True)
        above.call.arrived += record.handed
        z = by_channel(run, call, plain)
        assert isinstance(record.rule, ArrivingRule)
        z = run.arriving(record, z, record.rule, 1 - z.dim())
    else:
        scale, shift = scale_and_shift(call)
        b = shift.view(-1, *[1] * (x.dim() - 2))
        b = b if above.op.bias is None else b + above.op.bias * scale.view_as(b)
        op = replace(above.op, weight=above.scaled(above.op.weight, scale), bias=b)
        data = run.tap(record, above.x)
        z = _ruled(run, call, above.x, data, op, lambda: call.run(as_constant), readers)
    above.outputs.append(run.measure(z, inside=record.bracketed))
    return Outcome(z, Value(linear_above=True, readers=readers))
