"""Pointwise islands: tensors that are, element by element, functions of one tensor, their root.

An activation written by hand (`x * sigmoid(x)`, `log(1 + exp(x))`, a GELU of pow, add, tanh and mul) gets the numbers
of its fused twin: sums, scales and activations are wired as ever, and where that would not give
`m (phi(x) - phi(0)) / x` of the whole, the calls up to there are replayed as one activation of the root.
An island ends at every call that is not pointwise. It holds its root's tensor and no other.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrp.engine.outcome import Outcome, TorchCall
from lrp.engine.pointwise_nodes import Replayed
from lrp.engine.values import Detached, Held, Value, as_constant
from lrp.ops.gates import numeric_gate
from lrp.rules.pointwise import Gate, Pass, PointwiseRule

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["Point", "Replay", "has_finite_offset", "is_gate", "known_point", "replayed", "step"]


@dataclass(slots=True, eq=False, weakref_slot=True)
class Point:
    """A tensor as a function of its root.

    Args:
        root: the root's point; None for that point itself.
        tensor: the root's tensor; None for all others.
        affine: it is `a root + b`.
        shifted: it may differ from 0 where the root is 0.
        function, args, kwargs: the call that made it, with points in the place of its data.
        writes: the call writes into its first operand.
    """

    root: Point | None = None
    tensor: Tensor | None = None
    affine: bool = True
    shifted: bool = False
    function: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    writes: bool = False

    def operands(self) -> Iterator[Point]:
        """The points that it was made of."""
        for operand in (*self.args, *(self.kwargs or {}).values()):
            if isinstance(operand, Point):
                yield operand


def known_point(run: Run, tensor: Tensor) -> Point | None:
    """The tensor's point, if it is part of an island."""
    value = run.value(tensor)
    if value is None:
        return None
    return value.root() if value.point is None and value.root is not None else value.point


def _point_of(run: Run, tensor: Tensor) -> Point:
    point = known_point(run, tensor)
    if point is None:
        point, value = Point(tensor=tensor), run.value(tensor)
        assert value is not None
        value.root = weakref.ref(point)  # a strong one would keep every tensor alive
    return point


def step(run: Run, call: TorchCall, *, affine: bool = False, shifts: bool = False) -> Point | None:
    """The point of a pointwise call's result; None where its operands are no functions of one tensor.

    Args:
        run: the forward pass.
        call: the call.
        affine: whether it is affine in all its data.
        shifts: whether it can make something of zeros.
    """
    data, shape = call.data, call.data[0].shape
    points = [known_point(run, tensor) for tensor in data]
    first = data[0]
    if any(tensor is not first for tensor in data):
        if any(point is None for point in points) or len({id(point.root or point) for point in points if point}) > 1:
            return None
    elif points[0] is None:
        if call.written is None:
            points = [_point_of(run, first)] * len(data)
        elif shifts and call.written is first:
            points = [Point(tensor=run.copied(first))] * len(data)  # what it was is about to go
        else:
            return None  # nothing would be different: what keeps 0 at 0 is one activation with the next, or two
    known = {id(tensor): point for tensor, point in zip(data, points, strict=True) if point is not None}
    root = next(iter(known.values())).root or next(iter(known.values()))

    def operand(argument: Any) -> Any:
        if not isinstance(argument, Tensor):
            return argument
        if id(argument) in known:
            return known[id(argument)]
        lost = run.known(argument)
        if isinstance(lost, Detached):
            return lost.point if lost.point is not None and lost.point.root is root else _Unknown
        if not _broadcasts(argument.shape, shape):
            return _Unknown
        return run.shelf.hold(as_constant(argument))

    args = tuple([operand(argument) for argument in call.args])
    kwargs = {name: operand(argument) for name, argument in call.kwargs.items()} if call.kwargs else None
    if _Unknown in args or (kwargs and _Unknown in kwargs.values()):
        return None
    point = Point(root, function=call.function, args=args, kwargs=kwargs, writes=call.written is not None)
    point.affine = affine and all(each.affine for each in known.values())
    point.shifted = shifts or any(each.shifted for each in known.values())
    if point.shifted and not point.affine:
        at_zero = _values_at(point, (0.0,))
        point.shifted = not bool(torch.isclose(at_zero, torch.zeros_like(at_zero), rtol=0, atol=_ROUNDING).all())
    return point


def _broadcasts(shape: Sequence[int], into: Sequence[int]) -> bool:
    """Whether an operand leaves a result in the shape that the data has."""
    pairs = zip(reversed(shape), reversed(into), strict=False)
    return len(shape) <= len(into) and all(size in (1, whole) for size, whole in pairs)


class _Unknown:
    """In the place of an operand that is no function of the root."""


@dataclass(frozen=True)
class _At:
    """In the place of an operand: the result of an earlier step of a replay."""

    index: int


@dataclass(frozen=True)
class Replay:
    """The calls from a root to a point as one activation `phi` of the root; it holds constants alone."""

    steps: tuple[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], bool], ...]

    def __call__(self, x: Tensor) -> Tensor:
        """`phi(x)`."""
        results = [x]

        def value(operand: Any) -> Any:
            if isinstance(operand, _At):
                return results[operand.index]
            return operand.value if isinstance(operand, Held) else operand

        for function, args, kwargs, writes in self.steps:
            arguments = [value(argument) for argument in args]
            options = {name: value(argument) for name, argument in kwargs.items()}
            if writes and arguments:
                arguments[0] = arguments[0].clone()
            elif writes:
                options["input"] = options["input"].clone()
            results.append(function(*arguments, **options))
        return results[-1]

    def shapes(self) -> list[torch.Size]:
        """The shapes of the constants."""
        operands = [operand for _, args, kwargs, _ in self.steps for operand in (*args, *kwargs.values())]
        return [operand.value.shape for operand in operands if isinstance(operand, Held)]

    def gate(self, x: Tensor) -> Tensor:
        return numeric_gate(self, x)

    def offset(self, x: Tensor) -> Tensor:
        return self(x.masked_fill(x.isfinite(), 0))


def _replay(point: Point) -> Replay:
    index = {id(point.root): 0}
    steps: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], bool]] = []
    stack = [point]

    def place(operand: Any) -> Any:
        return _At(index[id(operand)]) if isinstance(operand, Point) else operand

    while stack:
        top = stack[-1]
        pending = [operand for operand in top.operands() if id(operand) not in index]
        if pending and id(top) not in index:
            stack += pending
            continue
        stack.pop()
        if id(top) not in index:
            assert top.function is not None
            kwargs = {name: place(operand) for name, operand in (top.kwargs or {}).items()}
            steps.append((top.function, tuple(map(place, top.args)), kwargs, top.writes))
            index[id(top)] = len(steps)
    return Replay(tuple(steps))


def _between(point: Point) -> set[int]:
    """The steps from the root to a point, without either, by identity."""
    steps: set[int] = set()
    stack = list(point.operands())
    while stack:
        top = stack.pop()
        if top.root is not None and id(top) not in steps:
            steps.add(id(top))
            stack += top.operands()
    return steps


def replayed(run: Run, call: TorchCall, *, gate: bool = False, divides: bool = False) -> Outcome | None:
    """The call's result as one activation of its root; None where it is not a function of one tensor.

    Args:
        run: the forward pass.
        call: the call.
        gate: whether its result gates what it multiplies, whatever the calls before it were.
        divides: whether what its result multiplies is divided by data.
    """
    point = step(run, call, shifts=True)
    if point is None or point.root is None:
        return None
    record = call.record
    if record.family != "activation":
        record.family = "activation"
        run.choose(record)
    rule = record.rule if isinstance(record.rule, PointwiseRule) else Gate()
    record.rule, record.gradient = rule, False
    record.note = record.note or "one activation with the calls before it"
    assert point.root.tensor is not None
    replay, x = _replay(point), point.root.tensor
    if run.watched:
        run.note_joined(_between(point))
    if not isinstance(rule, Pass):
        record.has_value_at_zero = has_finite_offset(replay, x)
    data = run.tap(record, x)

    written = call.written
    view = written if written is not None and written._base is not None else None

    def compute() -> Any:
        return call.run(lambda t: t.detach().clone() if t is view else as_constant(t))

    slots = run.slots(record, rule.kinds, x)
    z = Replayed.apply(data, compute, rule, replay, None if view is not None else written, run.relevance_form, *slots)
    if view is not None:  # a node can write into a view that it reads, but not into another
        run.put(z, Value())
        with run.seeing():
            z = view.copy_(z)
    gate = gate or is_gate(point, whole=divides)
    return Outcome(z, Value(point=point, gate=gate, denominator=divides and not gate))


def is_gate(point: Point | None, *, whole: bool = False) -> bool:
    """Whether a point is a gate of its root, as sigmoids are: it rises or falls and stays between 0 and 1.

    It is asked of a few fixed numbers, never of the data.

    Args:
        point: the point.
        whole: it comes next to 0 and to 1 too, which tells a sigmoid from a denominator such as `1 / (1 + relu(x))`.
    """
    if point is None or point.root is None or point.root.tensor is None or point.affine or not point.shifted:
        return False
    end = 10.0 if point.root.tensor.dtype == torch.float16 else 80.0  # e^x stays finite
    z = _values_at(point, (-end, -9.0, -3.0, -1.0, -0.25, 0.25, 1.0, 3.0, 9.0, end))
    if not z.is_floating_point():
        return False
    steps, low, high = z.diff(dim=0), torch.minimum(z[0], z[-1]), torch.maximum(z[0], z[-1])
    monotone = (steps >= 0).all(0) | (steps <= 0).all(0)
    reaches = (low < 1e-3) & (high > 1 - 1e-3) if whole else monotone
    return bool((monotone & reaches & (low > -1e-3) & (high < 1 + 1e-3)).all())


_ROUNDING = 1e-6
"""What an activation written by hand may be away from 0 where its fused twin is 0."""


def _values_at(point: Point, probes: tuple[float, ...]) -> Tensor:
    """What a point is where its root is one of some numbers everywhere, stacked; constants may tell elements apart."""
    assert point.root is not None
    assert point.root.tensor is not None
    x, replay = point.root.tensor, _replay(point)
    with torch.no_grad():
        numbers = torch.tensor(probes, dtype=x.dtype, device=x.device)
        shape = torch.broadcast_shapes((1,) * x.dim(), *replay.shapes())
        return replay(numbers.view(-1, *(1,) * x.dim()).expand(-1, *shape))


def has_finite_offset(phi: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], bool]:
    """Asks whether `phi(0)` is finite; it is asked only where the call lies on the way, and holds no activation."""
    shape, dtype, device = x.shape, x.dtype, x.device

    def ask() -> bool:
        with torch.no_grad():
            return bool(phi(torch.zeros(shape, dtype=dtype, device=device)).isfinite().all())

    return ask
