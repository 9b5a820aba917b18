"""Activations, GLU and softmax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrp.engine.nodes import Pointwise, SoftmaxNode
from lrp.engine.outcome import Outcome, TorchCall, uncovered
from lrp.engine.values import Value, as_constant
from lrp.errors import TrainingModeError
from lrp.ops.activations import GATES, HOMOGENEOUS, NONNEGATIVE, SHIFTED
from lrp.rules.pointwise import PointwiseRule

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_activation", "handle_softmax"]

_ALIASES = {"max": "maximum", "min": "minimum"}


@dataclass(frozen=True)
class ActivationCall:
    """One call of an activation: the torch function with its other arguments bound, and its gate."""

    function: Callable[..., Tensor]
    gate_function: Callable[..., Tensor] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def gate(self, x: Tensor) -> Tensor:
        if self.gate_function is not None:
            return self.gate_function(x, *self.args, **self.kwargs)
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            z = self.function(point.clone(), *self.args, **self.kwargs)
            (derivative,) = torch.autograd.grad(z.sum(), point)
        quotient = (z.detach() - self.offset(x)) / torch.where(x == 0, torch.ones_like(x), x)
        return torch.where(x == 0, derivative, quotient)

    def offset(self, x: Tensor) -> Tensor:
        return self.function(torch.zeros_like(x), *self.args, **self.kwargs)


def handle_activation(run: Run, call: TorchCall) -> Outcome:
    """An elementwise function of one data tensor."""
    record, rule, name = call.record, call.record.rule, _ALIASES.get(call.op.name, call.op.name)
    x = call.data[0]
    if name not in ("maximum", "minimum") and x is not call.get(0, "input"):
        return uncovered(run, call)
    if name == "rrelu" and call.get(3, "training", False):
        raise TrainingModeError(
            "rrelu draws its slopes at random", where=record.name, seen="training=True", cure="model.eval()"
        )
    in_place = call.written is not None
    logit = (run.copied(x) if in_place else x) if name == "sigmoid" else None
    value = Value(nonnegative=name in NONNEGATIVE, logit=logit, logit_of=name if logit is not None else "")
    data = run.tap(record, x, in_place)
    if (
        name in HOMOGENEOUS and not (in_place and name in GATES) and not run.relevance_form
    ):  # torch refuses a negative slope in place
        return Outcome(call.run(lambda tensor: data if tensor is x else as_constant(tensor)), value)
    assert isinstance(rule, PointwiseRule)
    record.gradient = False
    others = [as_constant(a) if isinstance(a, Tensor) else a for a in call.args if a is not x]
    kwargs = {k: as_constant(a) if isinstance(a, Tensor) else a for k, a in call.kwargs.items() if a is not x}
    if name in ("maximum", "minimum"):  # of two operands in either order, by position or by keyword
        others, kwargs = [*others, *kwargs.values()], {}
    activation = ActivationCall(call.function, GATES.get(name), tuple(others), kwargs)
    slots = run.slots(record, rule.kinds, x) if name in SHIFTED or name not in GATES else (None,) * len(rule.kinds)

    def compute() -> Tensor:
        return call.run(lambda tensor: as_constant(data if tensor is x else tensor))

    return Outcome(Pointwise.apply(data, compute, rule, activation, in_place, run.relevance_form, *slots), value)


def handle_softmax(run: Run, call: TorchCall) -> Outcome:
    """Softmax, log-softmax and softmin."""
    x, name, record = call.data[0], call.op.name, call.record
    dtype = call.kwargs.get("dtype")
    if dtype is not None and dtype != x.dtype:
        x = run.call(torch.Tensor.to, (x, dtype), {})
    if name == "softmin":
        x = run.call(torch.neg, (x,), {})
    data = run.tap(record, x)

    def compute() -> Tensor:
        return call.run(as_constant)

    dim = call.get(1, "dim")
    if dim is None:
        dim = 0 if x.dim() in (0, 1, 3) else 1
    z = SoftmaxNode.apply(data, compute, record.rule, dim, name == "log_softmax", *run.slots(record, ("softmax",), x))
    return Outcome(z, Value(nonnegative=name != "log_softmax", logit=x, logit_of=name))
