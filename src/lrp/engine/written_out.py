"""Operations that are carried out as smaller ones, each with a rule of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lrp.engine.nodes import Valued
from lrp.engine.outcome import Outcome, TorchCall
from lrp.engine.structure import map_tensors, tensors_in
from lrp.engine.values import Value, as_constant
from lrp.ops.decompositions import DECOMPOSITIONS

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_written_out"]


def handle_written_out(run: Run, call: TorchCall) -> Outcome:
    """The smaller operations give the graph, the fused one the value: it rounds once where they round several times."""
    with run.seeing():
        parts = DECOMPOSITIONS[call.op.name](*call.args, **call.kwargs)
    call.record.note = "written out"
    fused = iter(tensors_in(call.run(as_constant)))

    def valued(part: Tensor) -> Tensor:
        value = next(fused)
        known = run.value(part)
        if known is None:
            return value
        result: Tensor = Valued.apply(part, value)
        run.put(result, known)
        return result

    result = map_tensors(valued, parts)
    carrying = [value for tensor in tensors_in(result) if (value := run.value(tensor)) is not None]
    return Outcome(result, carrying[0] if len(carrying) == 1 else Value())
