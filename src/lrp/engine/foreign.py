"""Registered autograd functions of other libraries: seen where the module that uses one hands out its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import handle_torch_function

from lrp.engine.calls import OpCall
from lrp.engine.modules import Frame
from lrp.engine.structure import tensors_in
from lrp.engine.values import Value
from lrp.engine.verify import sequence_number
from lrp.ops import table
from lrp.rules.linear import Zero

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["registered"]

_ABOVE = frozenset({"ToCopyBackward0", "ViewBackward0", "UnsafeViewBackward0"})
"""What may lie between such a function and the end of its module."""


def registered(run: Run, frame: Frame, output: Any) -> Tensor | None:
    """What a module hands out, where a registered autograd function made it; None for all else."""
    if not isinstance(output, Tensor):
        return None
    with run.looking():
        node = output.grad_fn
    op = None if node is None else table.node(node.name())
    if node is not None and op is not None and op.family == "activation":
        return _called_again(run, node, frame)
    while node is not None and node.name() in _ABOVE:
        node = node.next_functions[0][0]
    if node is None or not table.is_registered_node(node.name()) or run.relevance_form or run.with_reference:
        return None
    return _with_its_bias(run, frame, node, output)


def _called_again(run: Run, node: Node, frame: Frame) -> Any:
    """An activation of the module's one input, called where it is seen: its gradient is no gate."""
    below = [n for n, _ in node.next_functions]
    with run.looking():
        inputs = [t for t in tensors_in(frame.args) if t.grad_fn is not None and below == [t.grad_fn]]
    function: Any = getattr(type(node), "_forward_cls", None)
    if len(inputs) != 1 or function is None:
        return None
    with run.modules.inside(frame.path):
        return handle_torch_function(function.apply, inputs, *inputs)


def _with_its_bias(run: Run, frame: Frame, node: Node, output: Tensor) -> Tensor | None:
    """A linear layer: its call is in the plan, and the module's bias, which is added within, in the books."""
    types = run.modules.types
    call = OpCall(len(run.calls), frame.path, node.name(), "registered", type(node), types, False, frame.use)
    call.rule, call.entry, call.shape, call.dtype = Zero(), "(registered)", tuple(output.shape), output.dtype
    run.calls.append(call)
    run.intervals.note(node, call)
    run.strangers.discard(node)
    bias = getattr(frame.module, "bias", None)
    if not isinstance(bias, Tensor) or bias.shape != output.shape[-1:]:
        return None
    with run.looking():
        start = sequence_number()
        booked = run.constants(call, output, bias.detach().to(output.dtype), "bias")
        run.put(booked, run.value(output) or Value(linear_above=True))
        run.intervals.add(start, call)
    return booked
