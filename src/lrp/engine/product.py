"""Products of data factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from lrp.engine.homogeneous import handle_homogeneous
from lrp.engine.islands import known_point, replayed, step
from lrp.engine.outcome import Outcome, TorchCall
from lrp.engine.power import handle_power
from lrp.engine.relevance_form import scaled
from lrp.engine.values import Value, as_constant
from lrp.rules.product import ProductRule

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_product"]


def handle_product(run: Run, call: TorchCall) -> Outcome:
    """A product of data factors: those that do not count as constants share what arrives."""
    record = call.record
    if call.op.family == "power":
        return handle_power(run, call)
    if call.op.family == "homogeneous":
        return handle_homogeneous(run, call)
    if call.op.family == "product" and len(call.data) == 2:
        outcome = _within_an_island(run, call)
        if outcome is not None:
            return outcome
    values = [run.value(tensor) or Value() for tensor in call.data]
    live = [index for index, value in enumerate(values) if not value.denominator]
    if live and len(live) < len(values):
        record.note = "denominators of data count as constants"
    else:
        live = list(range(len(values)))
    if isinstance(record.rule, ProductRule):
        live, note = record.rule.signals([values[index].gate for index in live], live)
        record.note = record.note or note
    return _share(run, call, live)


def _within_an_island(run: Run, call: TorchCall) -> Outcome | None:
    """A product of two functions of one tensor: an affine factor carries all, and the other is its gate.

    Where both are 0 at 0 each hands all it gets to the tensor, so that nothing need be done.
    """
    points = [known_point(run, tensor) for tensor in call.data]
    first, second = points
    if first is None or second is None or (first.root or first) is not (second.root or second):
        return None
    if not (first.shifted or second.shifted) or (first.affine and second.affine):
        return None
    if first.affine == second.affine:
        return replayed(run, call)
    call.record.note = "one factor is the gate of the other"
    return _share(run, call, [0 if first.affine else 1])


def _share(run: Run, call: TorchCall, live: Sequence[int]) -> Outcome:
    """Each live factor gets its share, by the number of factors it is made of; the others count as constants.

    Args:
        run: the forward pass.
        call: the product.
        live: positions among the call's data operands.
    """
    record = call.record
    values = [run.value(tensor) or Value() for tensor in call.data]
    if run.relevance_form and len(live) == 1 and call.op.family == "product":
        x = call.data[live[0]]
        if call.written is None or call.written is x:
            return Outcome(scaled(run, call, x), Value(factors=values[live[0]].factors, point=step(run, call)))
    counts = {id(call.data[index]): values[index].factors for index in live}
    total = sum(values[index].factors for index in live)
    if len(live) < len(values) or total > 1:
        record.gradient = False
    point = step(run, call) if call.op.family == "product" and len(values) == 2 else None

    def operand(tensor: Tensor) -> Tensor:
        in_place = tensor is call.written
        if call.is_data(tensor) and id(tensor) in counts:
            return run.scale(record, run.tap(record, tensor, in_place), counts[id(tensor)], in_place)
        # a constant that is written into still has a graph, on which nothing may flow
        return run.scale(record, tensor, 0, in_place=True) if in_place else as_constant(tensor)

    result = run.scale(record, call.run(operand), 1 / total, in_place=call.written is not None)
    signed = call.constants or call.op.name in ("cross", "linalg_cross")
    value = Value(factors=total, point=point)
    value.nonnegative = not signed and all(value.nonnegative for value in values)
    value.gate = any(value.gate for value in values) and all(value.gate or value.denominator for value in values)
    value.denominator = all(value.denominator for value in values)
    return Outcome(result, value)
