"""Sums of two data tensors under a rule that treats them differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from lrp.engine.nodes import SumNode
from lrp.engine.outcome import TorchCall, uncovered
from lrp.engine.values import as_constant
from lrp.ops.table import usual
from lrp.rules.sums import ResidualGamma

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["residual_sum"]


def residual_sum(run: Run, call: TorchCall, rule: ResidualGamma) -> Any:
    """A sum of two data tensors under `ResidualGamma`."""
    a, b, alpha = call.get(0, "input"), call.get(1, "other"), call.get(2, "alpha", 1)
    coefficients = {"add": (1, alpha), "sub": (1, -alpha), "rsub": (-alpha, 1)}.get(usual(call.op.name))
    in_place = call.written is not None
    if coefficients is None or (in_place and call.written is not a):
        call.record.note = f"{type(rule).__name__} is for a + b and a - b"
        return uncovered(run, call).result
    call.record.gradient = False
    data = {id(a): run.tap(call.record, a, in_place), id(b): run.tap(call.record, b)}

    def compute() -> Tensor:
        return call.run(as_constant)

    return SumNode.apply(data[id(a)], data[id(b)], compute, rule, coefficients, in_place)
