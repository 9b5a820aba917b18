"""Products of data factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lrp.engine.outcome import Outcome, TorchCall
from lrp.engine.values import Value, as_constant

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_product"]


def handle_product(run: Run, call: TorchCall) -> Outcome:
    """A product of data factors: the multiplier that arrives is shared by the number of factors each is made of."""
    record = call.record
    values = [run.value(tensor) or Value() for tensor in call.data]
    counts = {id(tensor): value.factors for tensor, value in zip(call.data, values, strict=True)}
    total = sum(value.factors for value in values)

    def operand(tensor: Tensor) -> Tensor:
        if not call.is_data(tensor):
            return as_constant(tensor)
        in_place = tensor is call.written
        return run.scale(record, run.tap(record, tensor, in_place), counts[id(tensor)], in_place)

    result = run.scale(record, call.run(operand), 1 / total, in_place=call.written is not None)
    signed = call.constants or call.op.name in ("cross", "linalg_cross")
    nonnegative = not signed and all(value.nonnegative for value in values)
    return Outcome(result, Value(factors=total, nonnegative=nonnegative))
