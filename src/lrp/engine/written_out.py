"""Operations that are carried out as smaller ones, each with a rule of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lrp.engine.differences import on_reference, reference_of
from lrp.engine.nodes import Valued
from lrp.engine.outcome import Outcome, TorchCall
from lrp.engine.structure import map_tensors, tensors_in
from lrp.engine.values import Value, as_constant
from lrp.ops.attention import ATTENTION, COMPOUND
from lrp.ops.decompositions import ADDITIONS, DECOMPOSITIONS

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_written_out", "with_fused_values"]


_WRITTEN_OUT = {**DECOMPOSITIONS, **ADDITIONS, **ATTENTION, **COMPOUND}


def handle_written_out(run: Run, call: TorchCall) -> Outcome:
    """The smaller operations give the graph, the fused one the value.

    Compound functions of torch are many operations there too, and keep the value of these.
    """
    written = call.written
    call.record.note = "written out"

    def parts() -> Any:
        before = written if written is None else run.copied(written)
        args, kwargs = map_tensors(lambda t: before if t is written else t, (list(call.args), call.kwargs))
        return _WRITTEN_OUT[call.op.name](*args, **kwargs)

    if call.op.name in COMPOUND:
        with run.seeing():
            return Outcome(parts())
    return with_fused_values(run, call, parts)


def with_fused_values(run: Run, call: TorchCall, written_out: Callable[[], Any]) -> Outcome:
    """What a call is written out as, with the values of the call itself: it rounds once where they round several times.

    Args:
        run: the forward pass.
        call: the call.
        written_out: gives the call's results by smaller ones.
    """
    written = call.written
    with run.seeing():
        parts = written_out()

    def operand(tensor: Tensor) -> Tensor:
        return tensor.detach().clone() if tensor is written else as_constant(tensor)

    fused = iter(tensors_in(call.run(operand)))
    references = [t.clone() for t in on_reference(run, call)] if run.with_reference else []

    def valued(part: Tensor) -> Tensor:
        value, known = next(fused), run.value(part)
        if known is None:
            run.note_constant(value, like=part)
            return value
        result: Tensor = Valued.apply(part, value)
        run.put(result, known)
        return result

    result = map_tensors(valued, parts)
    if written is not None:
        with run.seeing():
            written.copy_(result)
        if references:
            reference_of(run, written).copy_(references[0])
        return Outcome(written, run.value(written))
    carrying = [value for tensor in tensors_in(result) if (value := run.value(tensor)) is not None]
    value = carrying[0] if len(carrying) == 1 else Value()
    return Outcome(result, replace(value, reference=references) if references else value)
