"""Registered autograd functions of other libraries: seen where the module that uses one hands out its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.autograd.graph import Node

from lrp.engine.calls import OpCall
from lrp.engine.modules import Frame
from lrp.engine.values import Value
from lrp.engine.verify import sequence_number
from lrp.ops.table import is_registered_node
from lrp.rules.linear import Zero

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["with_its_bias"]

_ABOVE = frozenset({"ToCopyBackward0", "ViewBackward0", "UnsafeViewBackward0"})
"""What may lie between such a function and the end of its module."""


def with_its_bias(run: Run, frame: Frame, output: Any) -> Tensor | None:
    """What a module hands out, where a registered autograd function made it; None for all else.

    The function's call is in the plan then, and the module's bias, which is added within, in the books.
    """
    node = output.grad_fn if isinstance(output, Tensor) else None
    while node is not None and node.name() in _ABOVE:
        node = node.next_functions[0][0]
    if node is None or not is_registered_node(node.name()) or run.relevance_form or run.with_reference:
        return None
    call = _call(run, frame, node, output)
    bias = getattr(frame.module, "bias", None)
    if not isinstance(bias, Tensor) or bias.shape != output.shape[-1:]:
        return None
    with run.looking():
        start = sequence_number()
        booked = run.constants(call, output, bias.detach().to(output.dtype), "bias")
        run.put(booked, run.value(output) or Value(linear_above=True))
        run.intervals.add(start, call)
    return booked


def _call(run: Run, frame: Frame, node: Node, output: Tensor) -> OpCall:
    types = run.modules.types
    call = OpCall(len(run.calls), frame.path, node.name(), "registered", type(node), types, False, frame.use)
    call.rule, call.entry, call.shape, call.dtype = Zero(), "(registered)", tuple(output.shape), output.dtype
    run.calls.append(call)
    run.intervals.note(node, call)
    run.strangers.discard(node)
    return call
