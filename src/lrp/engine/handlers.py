"""How each family of operations is carried out under its rule.

A handler runs the operation, so that its output is bit-equal to a call without `lrp`, and leaves a graph behind it that
carries multipliers. It returns the result and, where there is something to say, the facts about its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrp.engine.linear import handle_linear, handle_matmul, handle_norm
from lrp.engine.outcome import Outcome, TorchCall, uncovered
from lrp.engine.pointwise import handle_activation, handle_glu, handle_softmax
from lrp.engine.values import Value, as_constant
from lrp.errors import TrainingModeError
from lrp.ops.table import Op
from lrp.rules.linear import ArrivingRule

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["family_of", "handle"]

Handler = Callable[["Run", TorchCall], Outcome]

_ONE_DATA = frozenset({"activation", "norm", "softmax", "glu", "dropout"})
"""Families whose handlers follow one data operand; with more, part of the data would be cut off in silence."""

_MEETS_CONSTANT = {"max": "maximum", "min": "minimum", "maximum": "maximum", "minimum": "minimum"}


def family_of(op: Op, data: Sequence[Tensor], args: Sequence[Any]) -> str:
    """The family of a call, which can depend on how many of its operands carry data."""
    if op.name in _MEETS_CONSTANT:
        binary = len(args) > 1 and isinstance(args[1], Tensor)
        return "activation" if binary and len(data) == 1 else "select"
    if len(data) > 1:
        return "" if op.family in _ONE_DATA else {"matmul": "product"}.get(op.family, op.family)
    return {"sum": "affine", "product": "affine", "matmul": "linear"}.get(op.family, op.family)


def handle(run: Run, call: TorchCall) -> Outcome:
    """Carry out a call under the rule of its record."""
    return _HANDLERS.get(call.record.family, uncovered)(run, call)


def _native(run: Run, call: TorchCall, *, offsets: bool = True, tap: bool | None = None) -> Any:
    """Run a call natively: constants as constants, additive ones so that what they keep is booked."""
    record, written = call.record, call.written
    taps = not call.op.view if tap is None else tap

    def operand(tensor: Tensor) -> Tensor:
        if call.is_data(tensor):
            return run.tap(record, tensor, in_place=tensor is written) if taps else tensor
        if tensor is written:
            return tensor
        return run.offset(record, tensor) if offsets else as_constant(tensor)

    if written is None or call.is_data(written):
        return _scalars_as_offsets(run, call).run(operand) if offsets else call.run(operand)
    # data written into a constant: what is left of the constant keeps its share
    constant = written.detach().clone()
    remainder = _rerun(call, lambda t: constant if t is written else torch.zeros_like(t) if call.is_data(t) else t)
    kind = "constant" if run.detached_from(written) is None else "detached"
    result = call.run(operand)
    if offsets:
        run.constants(record, written, remainder if remainder is not None else constant, kind, in_place=True)
    return result


def _rerun(call: TorchCall, change: Callable[[Tensor], Tensor]) -> Any:
    """The same call on other tensors, without a graph."""
    with torch.no_grad():
        return call.run(lambda tensor: as_constant(change(tensor)))


def _scalars_as_offsets(run: Run, call: TorchCall) -> TorchCall:
    """The call with Python numbers that are added turned into tensors, bit-equal, so that what they keep is booked."""
    if not run.books or not call.op.scalars:
        return call
    like = max(call.data, key=lambda tensor: tensor.dim())
    replaced = []
    for position in call.op.scalars:
        number = call.get(position, "value" if call.op.name == "masked_fill" else "other")
        if isinstance(number, (int, float)) and number != 0:
            # a 0-dim float64 tensor takes part in type promotion as a Python number does, but not beside 0-dim data
            dtype, device = (torch.float64, "cpu") if like.dim() else (like.dtype, like.device)
            tensor = torch.tensor(float(number), dtype=dtype, device=device)
            replaced.append(
                (position, "value" if call.op.name == "masked_fill" else "other", run.offset(call.record, tensor))
            )
    return call.replace(replaced)


def _handle_reshape(run: Run, call: TorchCall) -> Outcome:
    """Operations that move elements about, perhaps among constants."""
    values = [run.value(tensor) for tensor in call.data]
    slot = _slot_through(run, call, values) if all(v is not None and v.slot is not None for v in values) else None
    result = _native(run, call)
    if call.op.name in ("pad", "constant_pad_nd") and (
        call.get(3, "value") or (call.args[2:3] and call.op.name != "pad")
    ):
        filled = _rerun(call, lambda t: torch.zeros_like(t))
        result = run.constants(call.record, result, filled, "constant")
    first = values[0] or Value()
    counts = {value.factors for value in values if value is not None}
    value = Value(factors=counts.pop() if len(counts) == 1 and not call.constants else 1, slot=slot)
    if len(call.data) == 1 and first.logit is not None and call.written is None:
        logit = first.logit
        value.logit, value.logit_of = call.run(lambda t: logit if call.is_data(t) else t), first.logit_of
    return Outcome(result, value)


def _slot_through(run: Run, call: TorchCall, values: Sequence[Value | None]) -> Any:
    """What input rules deliver behind a call of a source segment: the same call on the slots.

    Elements that the call put in itself take their share too: `(1 - call(ones)) * leaf`, a row of the ledger.
    """
    slots = {id(t): v.slot for t, v in zip(call.data, values, strict=True) if v is not None}

    def on_slots(change: Callable[[Tensor], Tensor]) -> Any:
        fresh: dict[int, Tensor] = {}

        def operand(tensor: Tensor) -> Tensor:
            if not call.is_data(tensor):
                return torch.zeros_like(tensor) if tensor.is_floating_point() else tensor
            changed = change(slots[id(tensor)])
            fresh[id(tensor)] = changed.clone() if tensor is call.written else changed
            return fresh[id(tensor)]

        zeros = [(i, "value" if i == 3 else "other", 0.0) for i in (*call.op.scalars, 3) if _number(call, i)]
        result = call.replace(zeros).run(operand)
        return result if result is not None else fresh.get(id(call.written))

    if call.written is not None and not call.is_data(call.written):
        return None
    through = on_slots(lambda slot: slot)
    if not call.op.fills or not run.books:
        return through
    with torch.no_grad():
        missing = 1 - on_slots(torch.ones_like)
    (leaf,) = run.slots(call.record, ("constant",), through)
    return through + missing * leaf


def _number(call: TorchCall, position: int) -> bool:
    return isinstance(call.get(position, "value" if position == 3 else "other"), (int, float))


def _handle_linear_in_data(run: Run, call: TorchCall) -> Outcome:
    """Sums, average pooling, mean: native, perhaps with a rule on the multiplier that arrives."""
    result = _native(run, call)
    if isinstance(call.record.rule, ArrivingRule):
        result = run.arriving(call.record, result, call.record.rule, in_place=call.written is not None)
    counts = {value.factors for tensor in call.data if (value := run.value(tensor)) is not None}
    return Outcome(result, Value(factors=counts.pop() if len(counts) == 1 else 1))


def _handle_affine(run: Run, call: TorchCall) -> Outcome:
    """One data tensor shifted or scaled by constants, elementwise (or by a matrix of gates)."""
    before = run.value(call.data[0]) or Value()
    shifted = call.op.family == "sum"
    result = _native(run, call, offsets=shifted)
    slot = before.slot.expand_as(result) if before.slot is not None and result is not None else before.slot
    return Outcome(result, Value(factors=1 if shifted else before.factors, slot=slot))


def _handle_select(run: Run, call: TorchCall) -> Outcome:
    return Outcome(_native(run, call))


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


def _handle_product(run: Run, call: TorchCall) -> Outcome:
    """A product of two data factors: each gets its share by the number of factors it is made of."""
    record = call.record
    factors = [(run.value(tensor) or Value()).factors for tensor in call.data]
    own = {id(tensor): float(count) for tensor, count in zip(call.data, factors, strict=True)}
    nonnegative = all((run.value(tensor) or Value()).nonnegative for tensor in call.data)

    def operand(tensor: Tensor) -> Tensor:
        if not call.is_data(tensor):
            return as_constant(tensor)
        in_place = tensor is call.written
        return run.scale(record, run.tap(record, tensor, in_place), own[id(tensor)], in_place)

    result = run.scale(record, call.run(operand), 1 / sum(factors), in_place=call.written is not None)
    return Outcome(result, Value(factors=sum(factors), nonnegative=nonnegative))


def _handle_division(run: Run, call: TorchCall) -> Outcome:
    """A denominator of data counts as a constant; a constant over data is not covered."""
    reversed_ = call.op.name in ("__rtruediv__", "__rdiv__")
    numerator = call.get(1, "other") if reversed_ else call.get(0, "input")
    denominator = call.get(0, "input") if reversed_ else call.get(1, "other")
    if not call.is_data(numerator) or call.kwargs.get("rounding_mode"):
        call.record.note = "a constant divided by data" if not call.is_data(numerator) else "rounded"
        return uncovered(run, call)
    if call.is_data(denominator):
        call.record.gradient = False
        call = call.replace([(1, "other", denominator.detach())])
    before = run.value(numerator) or Value()
    slot = before.slot if not call.is_data(denominator) else None
    return Outcome(_native(run, call, offsets=False), Value(factors=before.factors, slot=slot))


_HANDLERS: dict[str, Handler] = {
    "reshape": _handle_reshape,
    "select": _handle_select,
    "pool": _handle_linear_in_data,
    "reduce": _handle_linear_in_data,
    "sum": _handle_linear_in_data,
    "affine": _handle_affine,
    "product": _handle_product,
    "division": _handle_division,
    "dropout": _handle_dropout,
    "activation": handle_activation,
    "glu": handle_glu,
    "softmax": handle_softmax,
    "linear": lambda run, call: (handle_matmul if call.op.family == "matmul" else handle_linear)(run, call),
    "conv": handle_linear,
    "norm": handle_norm,
}
