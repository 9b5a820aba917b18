"""Torch's own sample inputs for its operators, and what lrp makes of each of them."""

from __future__ import annotations

import sys
import types
import unittest
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import lrp
from lrp.engine.structure import map_tensors, tensors_in
from lrp.errors import DetachedError, InputError, LRPError, ModelError, TrainingModeError, UncoveredError

BALANCED, REFUSED, NOTHING = "balanced", "refused", "nothing to explain"
TOLERANCE = 1e-10


def operators() -> list[Any]:
    """Torch's list of operators with sample inputs.

    The module that holds it imports `expecttest` for torch's own tests; nothing of that is used here.
    """
    if "expecttest" not in sys.modules:
        stand_in = types.ModuleType("expecttest")
        stand_in.__dict__.update(TestCase=unittest.TestCase, assert_expected_inline=None)
        sys.modules["expecttest"] = stand_in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    return list(op_db)


def samples(operator: Any, limit: int | None) -> Iterator[Any]:
    """Some of an operator's sample inputs, in float64 or, where it knows only those, complex128."""
    known = operator.supported_dtypes("cpu")
    dtype = next((dtype for dtype in (torch.float64, torch.complex128) if dtype in known), None)
    if dtype is None:
        return
    torch.manual_seed(0)
    found = list(operator.sample_inputs("cpu", dtype, requires_grad=False))
    step = 1 if limit is None else max(1, len(found) // limit)
    yield from found[::step][:limit]


def is_data(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


class Call:
    """One operator on one sample, with all its float operands as sources, or the first alone."""

    def __init__(self, operator: Any, sample: Any, first_alone: bool) -> None:
        self.operator, self.arguments = operator, (sample.input, sample.args, sample.kwargs)
        found = [t for t in tensors_in(self.arguments) if is_data(t) and t.layout is torch.strided]
        self.sources = {id(tensor) for tensor in (found[:1] if first_alone else found) if tensor.numel()}

    def __call__(self, source: Callable[[Tensor], Tensor]) -> list[Tensor]:
        def operand(tensor: Tensor) -> Tensor:
            copy = tensor.detach().clone()
            return source(copy) if id(tensor) in self.sources else copy

        torch.manual_seed(0)
        given, args, kwargs = map_tensors(operand, self.arguments)
        return [output for output in tensors_in(self.operator(given, *args, **kwargs)) if is_data(output)]

    def plain(self) -> list[Tensor] | None:
        """The outputs without lrp, or None where torch has no gradient there."""
        try:
            outputs = self(lambda tensor: tensor.requires_grad_().clone())
            torch.autograd.grad(_total(outputs), [t for t in outputs if t.requires_grad], allow_unused=True)
        except (RuntimeError, TypeError, ValueError, AssertionError, IndexError):
            return None
        if any(tensor.layout is not torch.strided for tensor in outputs):
            return None
        return outputs if any(tensor.requires_grad and tensor.numel() for tensor in outputs) else None


def differentiable(operator: Any) -> bool:
    """Whether torch has a gradient for some of an operator's samples."""
    return any(
        Call(operator, sample, first_alone).plain() is not None
        for sample in samples(operator, 4)
        for first_alone in (False, True)
    )


def by_name(operator: Any, sample: Any) -> Callable[..., Any] | None:
    """The operator with all arguments by name, where torch's list of signatures has one that takes this sample so."""
    given = (sample.input, *sample.args)
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{getattr(operator.op, '__name__', '')}"):
        names = ["input" if a.name == "self" else a.name for a in schema.arguments if not a.kwarg_only][: len(given)]

        def named(*args: Any, names: list[str] = names, **options: Any) -> Any:
            return operator.op(**dict(zip(names, args, strict=True)), **options)

        try:
            named(*given, **sample.kwargs)
        except (TypeError, ValueError, RuntimeError):
            continue
        return named
    return None


def outcome(operator: Any, sample: Any, first_alone: bool) -> str:
    """What lrp makes of one sample.

    Balanced: the forward pass is bit-equal, and no op call loses relevance. Refused: by an error of its own. Nothing
    to explain: torch itself has no gradient there, or nothing of the output depends on the sources. Anything else is a
    fault, and is described.
    """
    call = Call(operator, sample, first_alone)
    plain = call.plain()
    if plain is None:
        return NOTHING
    try:
        with lrp.record(ledger="calls") as tape:
            ours = call(tape.source)
            total = _total([output for output in ours if output.requires_grad])
        if not all(_same(one, other) for one, other in zip(plain, ours, strict=True)):
            return "the forward pass was changed"
        books = tape.relevance(total).ledger
    except (UncoveredError, TrainingModeError, InputError, ModelError):
        return REFUSED
    except DetachedError:
        return NOTHING
    except (LRPError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    floats = [tensor for tensor in (*ours, *tensors_in(call.arguments)) if is_data(tensor)]
    return _judged(books, max(map(_rounding, floats))) if torch.isfinite(total) else NOTHING


def _judged(books: Any, rounding: float) -> str:
    scale = max(float(books.scale), 1e-3)
    lost = {call: float(amount.abs().max()) for call, amount in (books.lost or {}).items()}
    lost["residual"] = float(books.residual.abs())
    wrong = {call: amount for call, amount in lost.items() if not amount <= max(TOLERANCE, 20 * rounding) * scale}
    return f"the books do not balance: {wrong} of {scale:.2g}" if wrong else BALANCED


def _real(tensor: Tensor) -> Tensor:
    """A complex tensor as pairs of real numbers."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def _total(outputs: list[Tensor]) -> Tensor:
    """One number that reads every output with a weight of its own."""
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros((), dtype=torch.float64)
    for output in map(_real, outputs):
        total = total + (output * torch.randn(output.shape, generator=generator, dtype=torch.float64)).sum()
    return total


def _same(one: Tensor, other: Tensor) -> bool:
    """Bit-equal; NaN, where both have it, aside."""
    return torch.equal(_real(one.detach()).nan_to_num(), _real(other.detach()).nan_to_num())


def _rounding(output: Tensor) -> float:
    """The rounding of a tensor's type, where it is coarser than that of float64."""
    return float(torch.finfo(output.dtype).eps) if output.dtype not in (torch.float64, torch.complex128) else 0.0
