"""What handlers share: reading and replacing the operands of a torch call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from lrp.engine.calls import OpCall
from lrp.engine.structure import is_continuous, map_tensors, tensors_in
from lrp.engine.values import Value, as_constant
from lrp.errors import CompositeError
from lrp.ops.op import Op

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = [
    "Outcome",
    "TorchCall",
    "data_elsewhere",
    "not_linear",
    "reduction",
    "refuse_written_constant",
    "uncovered",
]


class Outcome(NamedTuple):
    """The result of a call, and facts about its outputs where they are not the ordinary ones."""

    result: Any
    value: Value | None = None


@dataclass(slots=True)
class _Place:
    """Where an operand of a call stood."""

    number: int


@dataclass(slots=True)
class TorchCall:
    """One torch call in the middle of being carried out.

    Args:
        record: its record.
        op: its line of the table.
        function, args, kwargs: as torch was called.
        operands: its tensor operands.
        data: those of them that carry data.
        written: the tensor it writes into, or None.
    """

    record: OpCall
    op: Op
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    operands: Sequence[Tensor]
    data: Sequence[Tensor]
    written: Tensor | None

    def is_data(self, operand: object) -> bool:
        """Whether an operand carries data."""
        return any(operand is tensor for tensor in self.data)

    @property
    def constants(self) -> bool:
        """Whether floating constants take part."""
        return any(is_continuous(tensor) and not self.is_data(tensor) for tensor in self.operands)

    @property
    def steered(self) -> bool:
        """Whether the constants that take part scale or steer it, so that none is added to the data."""
        added = [tensor for place in self.op.places for tensor in tensors_in(self.get(*place))]
        return self.op.each or (bool(self.op.places) and all(self.is_data(tensor) for tensor in added))

    @property
    def keeps_nonnegative(self) -> bool:
        """Whether data that is nowhere negative stays so, by the structure of the call."""
        added = [self.get(*place) for place in self.op.numbers]
        negative = any(isinstance(number, (int, float)) and number < 0 for number in added)
        return self.op.monotone and not self.constants and not negative and "alpha" not in self.kwargs

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by position or by keyword."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def replace(self, replacements: Sequence[tuple[int, str, Any]]) -> TorchCall:
        """The same call with some arguments replaced, by position or by keyword."""
        args, kwargs = _replaced(self.args, self.kwargs, replacements)
        return TorchCall(*(self.record, self.op, self.function, args, kwargs, self.operands, self.data, self.written))

    def as_function(self, *operands: Tensor) -> Callable[..., Any]:
        """The torch function of these operands alone; the others are constants.

        It holds neither the record nor the result, so that a node which keeps it is not part of a reference cycle.
        """
        places = {id(operand): _Place(number) for number, operand in enumerate(operands)}
        function = self.function
        args, kwargs = map_tensors(lambda t: places.get(id(t)) or as_constant(t), (list(self.args), self.kwargs))

        def call(*values: Any) -> Any:
            given, named = map_tensors(lambda place: values[place.number], (args, kwargs), leaf=_Place)
            return function(*given, **named)

        return call

    def run(self, change: Callable[[Tensor], Any] = lambda tensor: tensor) -> Any:
        """Call torch with every tensor operand passed through `change`."""
        return self.function(*map_tensors(change, self.args), **map_tensors(change, self.kwargs))


def _replaced(
    args: tuple[Any, ...], kwargs: dict[str, Any], replacements: Sequence[tuple[int, str, Any]]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    positional, named = list(args), dict(kwargs)
    for position, name, operand in replacements:
        if position < len(positional):
            positional[position] = operand
        else:
            named[name] = operand
    return tuple(positional), named


def uncovered(run: Run, call: TorchCall) -> Outcome:
    """Run a call natively: where the user registered it that is its rule, else it is refused if it lies on the way."""
    call.record.covered = call.record.family == "registered"

    def operand(tensor: Tensor) -> Tensor:
        if not call.is_data(tensor):
            return tensor if tensor is call.written else as_constant(tensor)
        return run.tap(call.record, tensor, in_place=tensor is call.written) if call.record.covered else tensor

    return Outcome(call.run(operand))


def refuse_written_constant(call: TorchCall) -> None:
    """A call whose result is to count as a constant, but is written into data."""
    if call.written is not None:
        raise CompositeError(
            "what is written into data cannot count as a constant",
            where=call.record.name,
            seen=f"rules.{call.record.rule}",
            cure="the rule for a call that comes later, whose result is a tensor of its own",
        )


def data_elsewhere(call: TorchCall) -> str:
    """A note where data stands in an argument in which the operation is not linear; else nothing."""
    if not call.op.places:
        return ""
    positions = {position for position, _ in call.op.places}
    names = {name for _, name in call.op.places}
    others = [(f"argument {i}", arg) for i, arg in enumerate(call.args) if i not in positions]
    others += [(f"{name}=", arg) for name, arg in call.kwargs.items() if name not in names]
    for where, arg in others:
        if any(call.is_data(tensor) for tensor in tensors_in(arg)):
            return f"data in {where}"
    return ""


def reduction(call: TorchCall) -> str:
    """How a call puts several elements together, where an argument says it; else nothing."""
    position = _REDUCTIONS.get(call.op.name)
    return "" if position is None else str(call.get(position, "reduce"))


def not_linear(call: TorchCall) -> str:
    """A note where a call that moves or adds up elements is not linear in its data; else nothing."""
    if call.kwargs.get("initial") is not None:
        return "initial="
    if reduction(call) not in ("", "sum", "mean"):
        return f"reduce={reduction(call)!r}"
    return data_elsewhere(call)


_REDUCTIONS = {"scatter_reduce": 4, "index_reduce": 4, "segment_reduce": 1}
