"""A softmax written by hand, over an axis or over segments of one: an exponential divided by a sum of itself.

It gets the map of `torch.softmax`. What adds up the exponential, moves it about and scales it (or takes its largest, or
its norm) is native, so that the gradients of the division and of the exponential are all that is missing. Only the
division tells that it is a softmax, so the exponential asks for its rule as late as in the backward pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrp.engine.calls import OpCall, edge_of
from lrp.engine.nodes import Stopped
from lrp.engine.outcome import Outcome, TorchCall, refuse_written_constant
from lrp.engine.values import Value
from lrp.rules.base import Kept
from lrp.rules.passing import AsConstant, Stop
from lrp.rules.pointwise import Activation, PointwiseRule
from lrp.rules.softmax import Taylor

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = [
    "BY_HAND",
    "MISSED",
    "PART",
    "Exponential",
    "OfExponential",
    "exponential_of",
    "handle_softmax_by_hand",
    "note_if_missed",
    "weigh",
]


BY_HAND, PART = "a softmax written by hand", "part of a softmax written by hand"
MISSED = "divides by a sum of exponentials; as torch.softmax the weights would get their rule, here they are constants"
"""Notes of calls; the last is of what may be a softmax, spelled in a way that is not known."""


class OfExponential(PointwiseRule):
    """The rule of an exponential: the one it was given or, once it `weighs`, its gradient.

    Args:
        given: the rule.
        slope: the gradient over the exponential itself, 1 or, to the base of 2, the logarithm of 2.
    """

    def __init__(self, given: PointwiseRule, slope: float) -> None:
        self.given, self.slope, self.weighs = given, slope, False

    needs_output = True

    def factor(self, activation: Activation, x: Tensor, z: Tensor) -> Tensor:
        return self.slope * z if self.weighs else self.given.factor(activation, x, z)

    def kept(self, activation: Activation, x: Tensor, z: Tensor, m: Tensor) -> Kept:
        if not self.weighs:
            return self.given.kept(activation, x, z, m)
        return {"shift": lambda: _relevance(z, m) - _relevance(x, m * self.slope * z)}

    def hand_on(
        self, activation: Activation | None, x: Tensor, z: Tensor, relevance_out: Tensor
    ) -> tuple[Tensor, Kept]:
        if not self.weighs:
            return self.given.hand_on(activation, x, z, relevance_out)
        relevance_in = _relevance(x, self.slope * relevance_out)
        return relevance_in, {"shift": lambda: relevance_out - relevance_in}


@dataclass(slots=True, eq=False)
class Exponential:
    """An exponential of which other tensors are made by adding up, moving and scaling.

    Args:
        calls: its op calls; models take it once for each place they need it in.
        rule: their rule.
        before: the op call that made what it is the exponential of, if there was one.
    """

    calls: list[OpCall]
    rule: OfExponential
    before: OpCall | None


def exponential_of(run: Run, call: TorchCall, rule: PointwiseRule) -> Exponential:
    """What is to be known of a call of `exp` or `exp2`."""
    slope = math.log(2) if call.op.name == "exp2" else 1.0
    value = run.value(call.data[0]) or Value()
    raised = value.raised
    if raised is None or (raised.rule.given, raised.rule.slope) != (rule, slope):
        _, before = run.intervals.find(edge_of(call.data[0]).node)
        raised = value.raised = Exponential([], OfExponential(rule, slope), before)
    raised.calls.append(call.record)
    return raised


def handle_softmax_by_hand(run: Run, call: TorchCall, exponential: Exponential) -> Outcome:
    """The division, under the rule of a softmax.

    With Taylor it hands `m / D` to the exponential and `-m e / D^2` to its sums, which is nothing on the whole, and
    keeps `m e / D`; the exponential hands on what arrives there times itself.
    """
    record = call.record
    record.family = "softmax"
    run.choose(record)
    record.note, record.gradient = record.note or BY_HAND, False
    if isinstance(record.rule, Taylor):
        result = call.run(lambda tensor: run.tap(record, tensor, in_place=tensor is call.written))
        result = run.constants(record, result, result.detach(), "softmax", in_place=call.written is not None)
        weigh(run, exponential)
        return Outcome(result, Value(nonnegative=True, gate=True))
    if isinstance(record.rule, AsConstant):
        refuse_written_constant(call)
    with torch.no_grad():
        result = call.run()
    if not isinstance(record.rule, AsConstant):
        kind = "stopped" if isinstance(record.rule, Stop) else "gate"
        slots, data = run.slots(record, (kind,), result), [run.tap(record, t, inside=True) for t in call.data]
        result = Stopped.apply(result, call.written is not None, run.relevance_form, *slots, *data)
    return Outcome(result, Value(nonnegative=True, gate=True))


def note_if_missed(run: Run, call: TorchCall, denominator: Tensor) -> None:
    """Say of a call that divides by a sum of exponentials that it is not known as a softmax, where that has a rule."""
    exponential = (run.value(denominator) or Value()).exponential
    if exponential is None or not any(isinstance(rule, Taylor) for _, rule in run.composite.entries):
        return
    if math.prod(exponential.calls[0].shape) > denominator.numel():
        call.record.note = MISSED


def weigh(run: Run, exponential: Exponential) -> None:
    """The exponential is one of a softmax, which does not change where its scores are all shifted alike."""
    exponential.rule.weighs = True
    for call in exponential.calls:
        call.note = PART
    numbers = {call.number for call in exponential.calls}
    first = exponential.before or exponential.calls[0]
    for entry in reversed(run.entries):
        if entry.call.number < first.number:
            break
        if entry.call.number in numbers:
            entry.kind = "softmax"
        elif entry.call is exponential.before and entry.kind == "detached":
            entry.kind = "constant"  # the largest of the scores: what it gets adds up to nothing


def _relevance(t: Tensor, m: Tensor) -> Tensor:
    """`t m`, and 0 where the multiplier is 0, whatever the value."""
    return torch.where(m == 0, torch.zeros_like(m), t * m)
