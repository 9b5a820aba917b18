"""Powers: `x^n` is a product of n factors, every other power an activation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lrp.engine.islands import known_point, replayed, step
from lrp.engine.outcome import Outcome, TorchCall
from lrp.engine.values import Value, as_constant

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["exponent_of", "family_of_power", "handle_power"]


def exponent_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The exponent of `pow`, `**`, `float_power` or `square`."""
    if name == "square":
        return 2
    if name == "__rpow__":
        return args[0]
    return args[1] if len(args) > 1 else kwargs.get("exponent")


def family_of_power(name: str, data: Sequence[Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """A whole number of factors makes a product; else it is an activation of what carries data."""
    if len(data) > 1:
        return ""
    exponent = exponent_of(name, args, kwargs)
    return "product" if _degree(exponent) >= 1 else "activation"


def _degree(exponent: Any) -> int:
    if isinstance(exponent, (int, float)) and float(exponent).is_integer():
        return int(exponent)
    return 0


def handle_power(run: Run, call: TorchCall) -> Outcome:
    """`x^n` is homogeneous of degree n: the native gradient times 1/n."""
    record, x = call.record, call.data[0]
    point = known_point(run, x)
    degree = _degree(exponent_of(call.op.name, call.args, call.kwargs))
    if point is not None and point.shifted and not point.affine and degree > 1:
        outcome = replayed(run, call)
        if outcome is not None:
            return outcome
    before = run.value(x) or Value()
    total, in_place = degree * before.factors, call.written is not None
    after = step(run, call, affine=degree == 1)
    record.gradient = record.gradient and degree == 1
    data = run.scale(record, run.tap(record, x, in_place), before.factors, in_place)
    result = run.scale(record, call.run(lambda t: data if t is x else as_constant(t)), 1 / total, in_place)
    return Outcome(result, Value(factors=total, nonnegative=before.nonnegative or degree % 2 == 0, point=after))
