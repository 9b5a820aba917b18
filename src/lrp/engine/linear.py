"""Linear layers, convolutions, matrix products with a constant, and batch norm, alone and folded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lrp.engine.calls import Foldable
from lrp.engine.nodes import InputNode, LinearNode, Pointwise
from lrp.engine.outcome import Outcome, TorchCall, uncovered
from lrp.engine.product import handle_product
from lrp.engine.values import Readers, Value, as_constant
from lrp.errors import TrainingModeError
from lrp.rules.linear import ArrivingRule, InputRule, LinearOp, LinearRule
from lrp.rules.pointwise import PointwiseRule, Uniform

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_linear", "handle_matmul", "handle_norm"]


def handle_linear(run: Run, call: TorchCall) -> Outcome:
    """`linear(input, weight, bias)` and convolutions."""
    x, weight, bias = call.get(0, "input"), call.get(1, "weight"), call.get(2, "bias")
    if not call.is_data(x) or call.is_data(weight) or call.is_data(bias):
        return _made_weights(run, call, x, weight, bias)
    weight = as_constant(weight)
    spatial = weight.dim() - 2 if call.record.family == "conv" else 0
    column = None if bias is None else as_constant(bias).view(-1, *[1] * spatial)

    function = call.as_function((0, "input"), (1, "weight"), (2, "bias"))

    def apply(data: Tensor, w: Tensor) -> Tensor:
        return function(data, w, None)

    op = LinearOp(apply, weight, column, (run.value(x) or Value()).nonnegative, **_axes(-1 - spatial, weight))
    axis = 0 if x.dim() == weight.dim() > 1 else None

    def native(data: Tensor, b: Tensor | None) -> Tensor:
        return call.replace([(0, "input", data), (1, "weight", weight), (2, "bias", b)]).run()

    return _under_rule(run, call, x, op, native, bias, axis)


def handle_matmul(run: Run, call: TorchCall) -> Outcome:
    """A matrix product of data and a constant, on either side."""
    left, right = call.get(0, "input"), call.get(1, "other")
    if right is None:
        right = call.kwargs.get("mat2", call.kwargs.get("vec", call.kwargs.get("tensor")))
    data_left = call.is_data(left)
    x, weight = (left, as_constant(right)) if data_left else (right, as_constant(left))
    # `a @ b` by an operator of the right operand arrives with its operands swapped
    data_left = data_left != (call.op.name == "__rmatmul__")

    def apply(data: Tensor, w: Tensor) -> Tensor:
        pair = (data, w) if data_left else (w, data)
        return torch.matmul(*pair)

    def native(data: Tensor, _: Tensor | None) -> Tensor:
        return call.run(lambda tensor: data if tensor is x else weight)

    features = -1 if data_left or x.dim() == 1 else -2
    op = LinearOp(apply, weight, None, (run.value(x) or Value()).nonnegative, **_axes(features, weight))
    axis = 1 if data_left and weight.dim() == 2 and x.dim() == 2 else None
    return _under_rule(run, call, x, op, native, None, axis)


def _axes(features: int, weight: Tensor) -> dict[str, Any]:
    """The axes of the input's features and the output's units; a weight vector stands for one unit."""
    return {"features": features, "units": features if weight.dim() > 1 else None}


def _under_rule(
    run: Run,
    call: TorchCall,
    x: Tensor,
    op: LinearOp,
    native: Callable[[Tensor, Tensor | None], Tensor],
    bias: Tensor | None,
    axis: int | None,
) -> Outcome:
    """Carry out a linear call under its rule; `axis` is the weight's output axis where batch norm can be folded."""
    record, rule = call.record, call.record.rule
    data = run.tap(record, x)
    foldable = Foldable(record, x, op, axis) if axis is not None else None
    if isinstance(rule, (LinearRule, InputRule)):
        constant_bias = None if bias is None else as_constant(bias)
        readers = Readers()
        z = _ruled(run, call, x, data, op, lambda: native(x.detach(), constant_bias), readers)
        return Outcome(z, Value(linear_above=True, foldable=foldable, readers=readers))
    z = native(data, None if bias is None else as_constant(bias))
    if op.bias is not None:
        z = run.constants(record, z, op.bias, "bias")
    if isinstance(rule, ArrivingRule):
        if foldable is not None:
            foldable.plain = z
        z = run.arriving(record, z, rule, op.units)
        return Outcome(z, Value(linear_above=True, foldable=foldable))
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


def _made_weights(run: Run, call: TorchCall, x: Any, weight: Any, bias: Any) -> Outcome:
    """A linear call whose weight or bias carries data: a product, then a sum."""
    if bias is not None:
        product = run.call(call.function, (*call.args[:2], None, *call.args[3:]), _without(call.kwargs, "bias"))
        spatial = weight.dim() - 2 if call.record.family == "conv" else 0
        column = run.call(torch.Tensor.view, (bias, (-1, *[1] * spatial)), {}) if spatial else bias
        z = run.call(torch.add, (product, column), {})
        return Outcome(z, run.value(z))
    call.record.rule, call.record.entry = Uniform(), "(made weights)"
    return handle_product(run, call)


def _without(kwargs: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if key != name}


def handle_norm(run: Run, call: TorchCall) -> Outcome:
    """Batch norm in eval: an affine map per channel, folded into the linear call above it for every rule but LRP-0."""
    x, mean, _, _, _, training, _ = _norm_arguments(call)
    if training or mean is None:
        raise TrainingModeError(
            "batch norm uses the statistics of the batch, so each output depends on the other samples",
            where=call.record.name,
            seen="training=True" if mean is not None else "no running statistics",
            cure="model.eval(), and batch norm layers with track_running_stats=True",
        )
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
    z = _affine(run, call, x, data)
    if isinstance(rule, ArrivingRule):
        z = run.arriving(record, z, rule, 1 - z.dim())
    return Outcome(z, Value(slot=slot))


def _folded(run: Run, call: TorchCall, x: Tensor, above: Foldable) -> Outcome:
    """One rule for a linear call and the norm behind it: weight `w a`, bias `b a + shift`, `z` the norm's output."""
    record = call.record
    record.rule, record.entry = above.call.rule, above.call.entry
    record.note = f"with #{above.call.number} folded in"
    above.call.note = f"folded into #{record.number}"
    record.first, record.last = above.call.first, above.call.last
    readers = Readers()
    if above.plain is not None:
        record.bracketed = run.relevance_form  # the way in is that of the linear call
        plain = run.tap(record, above.plain, inside=True)
        above.call.arrived += record.handed
        z = _affine(run, call, x, plain)
        assert isinstance(record.rule, ArrivingRule)
        z = run.arriving(record, z, record.rule, 1 - z.dim())
    else:
        scale, shift = _scale_and_shift(call)
        shape = [1] * above.op.weight.dim()
        shape[above.axis] = -1
        b = shift.view(-1, *[1] * (x.dim() - 2))
        b = b if above.op.bias is None else b + above.op.bias * scale.view_as(b)
        op = replace(above.op, weight=above.op.weight * scale.view(shape), bias=b)
        data = run.tap(record, above.x)
        z = _ruled(run, call, above.x, data, op, lambda: call.run(as_constant), readers)
    above.outputs.append(run.measure(z, inside=record.bracketed))
    return Outcome(z, Value(linear_above=True, readers=readers))


def _affine(run: Run, call: TorchCall, x: Tensor, data: Tensor) -> Tensor:
    """The native batch norm of `data` in the place of `x`, with its shift in the ledger."""
    z: Tensor = call.run(lambda tensor: data if tensor is x else as_constant(tensor))
    if not run.books:
        return z
    _, shift = _scale_and_shift(call)
    return run.constants(call.record, z, shift.view(-1, *[1] * (z.dim() - 2)), "shift")


def _scale_and_shift(call: TorchCall) -> tuple[Tensor, Tensor]:
    """Batch norm as `z = scale x + shift`, per channel."""
    _, mean, var, weight, bias, _, eps = _norm_arguments(call)
    scale = torch.rsqrt(var + eps)
    scale = scale if weight is None else scale * as_constant(weight)
    shift = -mean * scale
    return scale, shift if bias is None else shift + as_constant(bias)


def _norm_arguments(call: TorchCall) -> tuple[Any, Any, Any, Any, Any, bool, float]:
    """(x, mean, var, weight, bias, training, eps) of `F.batch_norm` or `torch.batch_norm`."""
    x = call.get(0, "input")
    if call.function is F.batch_norm:
        mean, var = call.get(1, "running_mean"), call.get(2, "running_var")
        weight, bias = call.get(3, "weight"), call.get(4, "bias")
    else:
        weight, bias = call.get(1, "weight"), call.get(2, "bias")
        mean, var = call.get(3, "running_mean"), call.get(4, "running_var")
    return x, mean, var, weight, bias, bool(call.get(5, "training", False)), float(call.get(7, "eps", 1e-5))
