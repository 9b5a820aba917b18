"""Activations, GLU and softmax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrp.engine.islands import has_finite_offset, known_point, replayed, step
from lrp.engine.nodes import Pointwise, SoftmaxNode
from lrp.engine.outcome import Outcome, TorchCall, uncovered
from lrp.engine.power import exponent_of
from lrp.engine.softmax import exponential_of, note_if_missed, weigh
from lrp.engine.values import Value, as_constant
from lrp.errors import TrainingModeError
from lrp.ops import powers
from lrp.ops.activations import GATES, GATING, HOMOGENEOUS, NONNEGATIVE, SHIFTED, bounds
from lrp.ops.gates import numeric_gate
from lrp.rules.pointwise import Pass, PointwiseRule
from lrp.rules.softmax import Constant, SoftmaxRule

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_activation", "handle_softmax", "is_elementwise"]

_ALIASES = {"max": "maximum", "min": "minimum"}
_EITHER = frozenset({"power", "division", "logsumexp"})
"""Families in which the data is either operand."""


def _usual(call: TorchCall) -> str:
    return _ALIASES.get(call.op.name, call.op.name)


def is_elementwise(call: TorchCall) -> bool:
    """Whether a call of an activation is a function of its one data tensor, element by element.

    Raises:
        TrainingModeError: it draws at random.
    """
    name = _usual(call)
    if name == "rrelu" and call.get(3, "training", False):
        raise TrainingModeError(
            "rrelu draws its slopes at random", where=call.record.name, seen="training=True", cure="model.eval()"
        )
    either = name in ("maximum", "minimum") or call.op.family in _EITHER
    return len(call.data) == 1 and (either or call.data[0] is call.get(0, "input"))


@dataclass(frozen=True)
class ActivationCall:
    """One call of an activation: the torch function with its other arguments bound, and its gate."""

    function: Callable[[Tensor], Tensor]
    gate_function: Callable[[Tensor], Tensor] | None

    def gate(self, x: Tensor) -> Tensor:
        return numeric_gate(self.function, x) if self.gate_function is None else self.gate_function(x)

    def offset(self, x: Tensor) -> Tensor:
        return self.function(x.masked_fill(x.isfinite(), 0))


def handle_activation(run: Run, call: TorchCall) -> Outcome:
    """An elementwise function of one data tensor."""
    record, name = call.record, _usual(call)
    x = call.data[0]
    if not is_elementwise(call) or not isinstance(record.rule, PointwiseRule):  # complex data has no such rule
        return uncovered(run, call)
    divides, gate = _divides(call), name in GATING or _is_base_to_the(call)
    if divides:
        note_if_missed(run, call, x)
    above = known_point(run, x)
    moved = above is not None and above.affine and name in ("exp", "exp2")  # it may be the exponential of a softmax
    if above is not None and above.shifted and not moved:
        outcome = replayed(run, call, gate=gate, divides=divides)
        if outcome is not None:
            return outcome
    in_place = call.written is not None
    logit = (run.copied(x) if in_place else x) if name == "sigmoid" else None
    held = bounds(name, call.args, call.kwargs)
    moves_zero = name in SHIFTED or name not in GATES.keys() | HOMOGENEOUS
    shifts = moves_zero if held is None else not held[0] <= 0 <= held[1]
    nonnegative = name in NONNEGATIVE if held is None else min(held) >= 0
    value = Value(nonnegative=nonnegative, gate=gate, denominator=divides)
    value.logit, value.logit_of = logit, name if logit is not None else ""
    value.point = step(run, call, shifts=shifts)
    before = run.value(x) or Value()
    value.exponential = before.exponential if held is not None else None  # a sum of it, kept above 0
    data = run.tap(record, x, in_place)
    if (
        name in HOMOGENEOUS and not (in_place and name in GATES) and not run.relevance_form
    ):  # torch refuses a negative slope in place
        return Outcome(call.run(lambda tensor: data if tensor is x else as_constant(tensor)), value)
    rule = record.rule
    assert isinstance(rule, PointwiseRule)
    record.gradient = False
    if name in ("exp", "exp2"):
        value.exponential = exponential_of(run, call, rule)
        rule = value.exponential.rule
    activation = ActivationCall(_phi(call, x), _gate(call, name, x))
    if name not in GATES and not isinstance(rule, Pass):
        record.has_value_at_zero = has_finite_offset(activation.function, x)
    slots = run.slots(record, rule.kinds, x) if shifts else (None,) * len(rule.kinds)

    def compute() -> Tensor:
        return call.run(lambda tensor: as_constant(data if tensor is x else tensor))

    z = Pointwise.apply(data, compute, rule, activation, in_place, run.relevance_form, *slots)
    if value.exponential is not None and before.logit_of == "log_softmax":
        value.gate = True
        weigh(run, value.exponential)
    return Outcome(z, value)


def _divides(call: TorchCall) -> bool:
    """Whether what its result multiplies is divided by data."""
    if call.op.family == "power":
        exponent = exponent_of(call.op.name, call.args, call.kwargs)
        return isinstance(exponent, (int, float)) and exponent < 0
    return call.op.family == "division" or call.op.name in ("rsqrt", "reciprocal")


def _is_base_to_the(call: TorchCall) -> bool:
    """Whether it is a constant to the power of the data, which is an exponential."""
    return call.op.family == "power" and call.data[0] is exponent_of(call.op.name, call.args, call.kwargs)


def _phi(call: TorchCall, x: Tensor) -> Callable[[Tensor], Tensor]:
    """The function of `x` alone; it holds neither `x` nor the call."""
    function = call.function
    args = [None if a is x else as_constant(a) if isinstance(a, Tensor) else a for a in call.args]
    kwargs = {k: as_constant(a) if isinstance(a, Tensor) else a for k, a in call.kwargs.items() if a is not x}
    position = next((i for i, a in enumerate(call.args) if a is x), None)
    keyword = next((k for k, a in call.kwargs.items() if a is x), "")

    def phi(point: Tensor) -> Tensor:
        if position is None:
            result: Tensor = function(*args, **{keyword: point}, **kwargs)
        else:
            result = function(*args[:position], point, *args[position + 1 :], **kwargs)
        return result

    return phi


def _gate(call: TorchCall, name: str, x: Tensor) -> Callable[[Tensor], Tensor] | None:
    """The gate written analytically, or None."""
    if call.op.family == "power":
        exponent = exponent_of(name, call.args, call.kwargs)
        return partial(powers.power, exponent=exponent) if isinstance(exponent, (int, float)) else None
    if name not in GATES:
        return None
    args = [as_constant(a) if isinstance(a, Tensor) else a for a in call.args if a is not x]
    kwargs = {k: as_constant(a) if isinstance(a, Tensor) else a for k, a in call.kwargs.items() if a is not x}
    if name in ("maximum", "minimum"):  # of two operands in either order, by position or by keyword
        args, kwargs = [*args, *kwargs.values()], {}
    return lambda point: GATES[name](point, *args, **kwargs)


def handle_softmax(run: Run, call: TorchCall) -> Outcome:
    """Softmax, log-softmax and softmin."""
    x, name, record = call.data[0], call.op.name, call.record
    if name == "log_softmax" and isinstance(record.rule, Constant):
        record.note = "log_softmax is no weight that could count as a constant: rules.Taylor()"
        return uncovered(run, call)
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
    assert isinstance(record.rule, SoftmaxRule)
    log, slots = name == "log_softmax", run.slots(record, record.rule.kinds, x)
    z = SoftmaxNode.apply(data, compute, record.rule, dim, log, *slots)
    return Outcome(z, Value(nonnegative=not log, gate=not log, logit=x, logit_of=name))
