"""Source segments: what lies between a source and its first linear call, as input rules see it.

An input rule hands relevance itself, not a multiplier, to a source. It does so through a *slot*: a tensor of zeros
beside the data, whose gradient is the relevance delivered. In a source segment every call that moves elements about is
done to the slot as well; constant shifts and scales leave the slot as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrp.engine.calls import OpCall
from lrp.engine.outcome import TorchCall
from lrp.engine.structure import is_continuous

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["slot_of_base", "slot_through", "strided_like"]


def slot_through(run: Run, call: TorchCall) -> Any:
    """The slot behind a call that moves elements about: the same call on the slots; None outside a source segment.

    Elements that the call put in itself take their share too, as a row of the ledger: `(1 - call(ones)) * leaf`.
    """
    values = [run.value(tensor) for tensor in call.data]
    slots = {id(t): v.slot for t, v in zip(call.data, values, strict=True) if v is not None and v.slot is not None}
    if len(slots) < len({id(tensor) for tensor in call.data}):
        return None
    plain = call.replace([(*place, 0.0) for place in call.op.numbers if isinstance(call.get(*place), (int, float))])

    def on(change: Callable[[Tensor], Tensor]) -> Any:
        into: list[Tensor] = []

        def operand(tensor: Tensor) -> Tensor:
            changed = tensor
            if call.is_data(tensor):
                changed = change(slots[id(tensor)])
            elif is_continuous(tensor):
                changed = torch.zeros_like(tensor)
            if tensor is call.written:
                changed = changed.clone()
                into.append(changed)
            return changed

        result = plain.run(operand)
        return into[0] if into else result

    slots = {key: run.tap_slot(call, slot) for key, slot in slots.items()}
    through = on(lambda slot: slot)
    if not call.op.fills or not run.books:
        return through
    with torch.no_grad():
        missing = 1 - on(torch.ones_like)
    (leaf,) = run.slots(call.record, ("constant",), through)
    return through + missing * leaf


def slot_of_base(run: Run, record: OpCall, base: Tensor, before: Tensor | None, view: Tensor, slot: Tensor) -> Any:
    """The slot of a tensor after a view of it was written to; `before` is its slot till then, None for a constant."""
    if not base.is_contiguous():
        return None
    if before is None:
        (leaf,) = run.slots(record, ("constant",), slot)
        before = torch.zeros((), dtype=slot.dtype, device=slot.device) if leaf is None else leaf
    whole = before.expand(base.shape).clone(memory_format=torch.contiguous_format)
    strided_like(whole, base, view).copy_(slot)
    return whole


def strided_like(whole: Tensor, base: Tensor, view: Tensor) -> Tensor:
    """What `view` is of `base`, of another tensor with the shape and strides of `base`."""
    return whole.as_strided(view.shape, view.stride(), view.storage_offset() - base.storage_offset())
