"""Operations that run natively: with constants as constants, and what constants keep in the books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrp.engine.outcome import TorchCall
from lrp.engine.relevance_form import filled
from lrp.engine.structure import tensors_in
from lrp.engine.values import Detached, as_constant

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["carry_out"]


def carry_out(run: Run, call: TorchCall, *, adds: bool = True) -> Any:
    """Run a call natively.

    Args:
        run: the forward pass.
        call: the call.
        adds: whether constants among its operands are added to the data (and keep relevance), or scale it.
    """
    record, written = call.record, call.written
    into_constant = written is not None and not call.is_data(written)
    added = (
        {id(tensor) for place in call.op.places for tensor in tensors_in(call.get(*place))} if call.op.places else None
    )

    def operand(tensor: Tensor) -> Tensor:
        if call.is_data(tensor):
            return tensor if call.op.view else run.tap(record, tensor, in_place=tensor is written)
        if tensor is written:
            return tensor
        if not adds or (added is not None and id(tensor) not in added):
            return as_constant(tensor)
        vectors = run.positions and run.positions.vectors(run, call, tensor)
        return run.position(record, tensor, vectors) if vectors else run.offset(record, tensor)

    if not adds or not run.books:
        return call.run(operand)
    if run.relevance_form and record.family == "reshape":
        return _filling(run, call)
    if into_constant:
        _open(run, call)
    result = _numbers_as_tensors(run, call).run(operand)
    number = None if call.op.number is None else call.get(*call.op.number)
    if isinstance(number, (int, float, complex)) and number != 0:
        result = run.constants(record, result, _without_data(call), "constant", in_place=written is not None)
    return result


def _filling(run: Run, call: TorchCall) -> Any:
    """In relevance form: the elements that a call put in itself keep what arrives at them."""
    lost = any(isinstance(run.known(tensor), Detached) for tensor in call.operands)
    mask = filled(call) if call.op.fills else None

    def operand(tensor: Tensor) -> Tensor:
        if not call.is_data(tensor):
            return tensor if tensor is call.written else as_constant(tensor)
        return tensor if call.op.view else run.tap(call.record, tensor, in_place=tensor is call.written)

    result = call.run(operand)
    if mask is None:
        return result
    kind = "detached" if lost else "constant"
    if call.written is None:
        return run.constants(call.record, result, mask, kind)
    run.constants(call.record, call.written, mask, kind, in_place=True)
    return result


def _open(run: Run, call: TorchCall) -> None:
    """Before data is written into a constant: from now on what is left of it keeps its share."""
    written = call.written
    assert written is not None
    base = written if written._base is None or run.value(written._base) is not None else written._base
    lost = any(isinstance(run.known(tensor), Detached) for tensor in (base, *call.operands))
    value = base.detach().clone()
    run.constants(call.record, base, value, "detached" if lost else "constant", in_place=True)
    _ = written.grad_fn  # until asked, a view does not know that its base has changed, and counts as a leaf


def _without_data(call: TorchCall) -> Any:
    """The same call with zeros for the data, without a graph."""
    with torch.no_grad():
        return call.run(lambda tensor: torch.zeros_like(tensor) if call.is_data(tensor) else as_constant(tensor))


def _numbers_as_tensors(run: Run, call: TorchCall) -> TorchCall:
    """The call with Python numbers that are added turned into tensors, bit-equal, so that what they keep is booked."""
    like = max(call.data, key=lambda tensor: tensor.dim())
    replaced = []
    for position, name in call.op.scalars:
        number = call.get(position, name)
        if isinstance(number, (int, float, complex)) and number != 0:
            # a 0-dim float64 tensor takes part in type promotion as a Python number does, but not beside 0-dim data
            dtype, device = (torch.float64, "cpu") if like.dim() else (like.dtype, like.device)
            dtype = dtype.to_complex() if isinstance(number, complex) else dtype
            exact = number if isinstance(number, complex) else float(number)
            tensor = torch.tensor(exact, dtype=dtype, device=device)
            replaced.append((position, name, run.offset(call.record, tensor)))
    return call.replace(replaced)
