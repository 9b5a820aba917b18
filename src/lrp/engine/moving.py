"""Operations that move elements about, pick them, or add them up: native, with rows for the constants among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrp.engine.differences import handle_with_reference
from lrp.engine.islands import step
from lrp.engine.native import carry_out
from lrp.engine.outcome import Outcome, TorchCall, data_elsewhere, not_linear, reduction, uncovered
from lrp.engine.segments import slot_through
from lrp.engine.structure import tensors_in
from lrp.engine.sums import residual_sum
from lrp.engine.values import Detached, Value, mixed
from lrp.ops.moving import DROPOUTS
from lrp.ops.table import usual
from lrp.rules.linear import ArrivingRule
from lrp.rules.sums import ResidualGamma

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["PAIRWISE", "handle_put", "handle_reshape", "handle_select", "handle_sum"]

PAIRWISE = frozenset({"max", "min", "maximum", "minimum"})
"""Operations that can pick between two operands."""

_POINTWISE = frozenset(
    {"where", "clone", "contiguous", "to", "float", "double", "half", "bfloat16", "type", "type_as"}
    | {"positive", "cpu", "cuda", *DROPOUTS}
)
"""Operations that move elements about without moving them."""


def handle_reshape(run: Run, call: TorchCall) -> Outcome:
    """Operations that move elements about, perhaps among constants."""
    value = mixed(run.value(tensor) or Value() for tensor in call.data)
    value.slot = slot_through(run, call)
    if call.op.name in _POINTWISE and (call.op.name != "where" or _chooses_by_data(run, call)):
        value.point = step(run, call, affine=call.op.name != "where", shifts=call.op.name == "where")
    first = run.value(call.data[0]) or Value()
    if len(call.data) == 1 and first.logit is not None and call.written is None and not call.op.fills:
        logit = first.logit
        value.logit, value.logit_of = call.run(lambda t: logit if call.is_data(t) else t), first.logit_of
        for moved in tensors_in(value.logit):
            run.put(moved, Value(linear_above=True))
    result = carry_out(run, call, adds=not call.op.each)
    if call.op.each:
        for operand, moved in zip(call.operands, tensors_in(result), strict=True):
            run.note_lost(operand, moved)
    return Outcome(result, value)


def _chooses_by_data(run: Run, call: TorchCall) -> bool:
    """Whether a `where` asks the data itself; by a given mask it overwrites elements, and is part of no activation."""
    condition = run.known(call.get(0, "condition"))
    return isinstance(condition, Detached) and condition.point is not None


def handle_sum(run: Run, call: TorchCall) -> Outcome:
    """What is linear in its data without weights of the model: native, perhaps with a rule on what arrives."""
    if reduction(call) in ("amax", "amin", "max", "min") and call.kwargs.get("initial") is None:
        return handle_select(run, call)
    note = not_linear(call)
    if note:
        return _refused(run, call, note)
    parts = mixed(run.value(tensor) or Value() for tensor in call.data)
    value = Value(exponential=parts.exponential)
    if not call.constants or call.steered:
        value.factors = parts.factors
    if isinstance(call.record.rule, ResidualGamma):
        return Outcome(residual_sum(run, call, call.record.rule), value)
    if call.record.family == "sum":
        value.point = step(run, call, affine=True)
    result = carry_out(run, call)
    if isinstance(call.record.rule, ArrivingRule):
        result = run.arriving(call.record, result, call.record.rule, in_place=call.written is not None)
    elif _takes_off_its_log_sum(run, call):
        value.logit_of = "log_softmax"
    return Outcome(result, value)


def _takes_off_its_log_sum(run: Run, call: TorchCall) -> bool:
    """Whether it is `x - logsumexp(x)`, a log-softmax written by hand."""
    if usual(call.op.name) != "sub" or len(call.data) != 2 or len(call.args) != 2 or call.kwargs:
        return False
    x, total = call.args
    value = run.value(total)
    return value is not None and value.log_sum_of is not None and value.log_sum_of() is x


def handle_select(run: Run, call: TorchCall) -> Outcome:
    """What picks elements by their values: the native gradient says which."""
    elsewhere = data_elsewhere(call)
    if elsewhere:
        return _refused(run, call, elsewhere)
    if call.op.name.startswith("fractional") and call.get(5, "_random_samples") is None:
        return _refused(run, call, "its windows are drawn at random, unless _random_samples= says which")
    value = mixed(run.value(tensor) or Value() for tensor in call.data)
    value.point = step(run, call) if call.op.name in PAIRWISE and len(call.data) == 2 else None
    return Outcome(carry_out(run, call), value)


def handle_put(run: Run, call: TorchCall) -> Outcome:
    """Values put at indices.

    Where an index occurs twice torch's gradient counts both values, though one of them is overwritten. So the call is
    written out as a choice between what was there and the value that stayed, found by putting numbered values once.
    """
    assert call.op.values is not None
    if call.get(3, "accumulate") is True:
        return _as(run, call, "reduce", handle_sum)
    if "reduce" in call.kwargs:
        call.record.note = f"reduce={call.kwargs['reduce']!r}"
        return handle_with_reference(run, call) if run.with_reference else uncovered(run, call)
    values = call.get(*call.op.values)
    is_number = call.op.number is not None and not isinstance(values, Tensor)
    empty = isinstance(values, Tensor) and not values.numel()
    if is_number or empty or not _by_index(call):
        return _as(run, call, "reshape", handle_reshape)
    stayed = _stayed(call, values)
    call.record.note = "written out"
    with run.seeing():
        if isinstance(values, Tensor) and values.dim():
            values = values.reshape(-1)[stayed.clamp(min=0)]
        before = 0.0 if call.op.values == _UNPOOLED else call.get(0, "input")
        result = torch.where(stayed < 0, before, values)
        if call.written is not None:
            result = call.written.copy_(result)
    return Outcome(result, run.value(result))


def _as(run: Run, call: TorchCall, family: str, handler: Callable[[Run, TorchCall], Outcome]) -> Outcome:
    call.record.family = family
    return handle_with_reference(run, call) if run.with_reference else handler(run, call)


_UNPOOLED = (0, "input")


def _by_index(call: TorchCall) -> bool:
    """Whether places are given as integers, of which two can be equal; those of a mask cannot."""
    keys = call.args[1] if len(call.args) > 1 else None
    listed = isinstance(keys, list) or (isinstance(keys, tuple) and any(isinstance(key, list) for key in keys))
    return listed or any(t.dtype in (torch.int64, torch.int32) for t in call.operands)


def _stayed(call: TorchCall, values: Any) -> Tensor:
    """For each element of the result the number of the value that was put there, -1 where none was."""
    with torch.no_grad():
        x = call.get(0, "input")
        device = x.device
        count = values.numel() if isinstance(values, Tensor) else 1
        numbers = torch.arange(1, count + 1, dtype=torch.float64, device=device)
        numbers = numbers.view(values.shape) if isinstance(values, Tensor) else numbers.squeeze()
        assert call.op.values is not None
        if call.op.values == _UNPOOLED:
            result = call.replace([(*_UNPOOLED, numbers)]).run()
        else:
            into = torch.zeros(x.shape, dtype=torch.float64, device=device)
            result = call.replace([(0, "input", into), (*call.op.values, numbers)]).run()
            result = into if result is None else result
    return result.long() - 1


def _refused(run: Run, call: TorchCall, note: str) -> Outcome:
    call.record.note = note
    return uncovered(run, call)
