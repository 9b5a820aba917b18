"""One forward pass under the function mode: every torch call is seen, and gets its rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lrp.composite import Composite
from lrp.engine import handlers
from lrp.engine.calls import OpCall, edge_of, never
from lrp.engine.cuts import cuts, off_the_graph, past_a_cut
from lrp.engine.foreign import registered
from lrp.engine.ids import on_a_copy
from lrp.engine.inplace import after_write, apart, before_write, written_by
from lrp.engine.modules import Frame, ModulePaths
from lrp.engine.nodes import Identity
from lrp.engine.outcome import TorchCall
from lrp.engine.relevance_form import leave
from lrp.engine.structure import map_tensors, tensors_in
from lrp.engine.taps import Books, Taps
from lrp.engine.uncompiled import uncompiled
from lrp.engine.values import Detached, Value
from lrp.engine.verify import is_residual, last_calls, sequence_number
from lrp.errors import CompositeError, LRPError
from lrp.ops.activations import is_rectifier
from lrp.ops.metadata import LIKE_ANOTHER, METADATA
from lrp.ops.op import Op
from lrp.ops.refused import REFUSED
from lrp.ops.table import lookup, usual
from lrp.rules.base import WEIGHTED, Native
from lrp.rules.linear import InputRule, Zero
from lrp.rules.passing import AsConstant, PassDetached, Stop
from lrp.rules.product import Uniform

__all__ = ["Run"]

_SPARSE = "a sparse tensor of data has no rule: a dense one, or messages along the edges and index_add"


class Run(Taps, TorchFunctionMode):
    """Sees the forward pass of `with run:` and keeps its records.

    Args:
        model: whose module paths are followed, or None.
        composite: which rule meets which op call.
        books: the level of the ledger.
        relevance_form: carry relevance, not multipliers; a run that turns out to need it says so afterwards
            (`needs_relevance_form`).
        with_reference: sources come with a reference, and relevance is that of the difference to it.
        positions: positional embeddings are sources.
        on_enter, on_exit: called with each module's frame and its inputs, or outputs; what `on_exit` returns, if
            anything, stands in the place of the outputs.
    """

    def __init__(
        self,
        model: nn.Module | None,
        composite: Composite,
        books: Books = "sinks",
        on_enter: Callable[[Frame, Any], None] = lambda frame, args: None,
        on_exit: Callable[[Frame, Any], Any] = lambda frame, output: None,
        *,
        relevance_form: bool = False,
        with_reference: bool = False,
        positions: bool = False,
    ) -> None:
        super().__init__(
            ModulePaths(model, on_enter, partial(self._leaving, on_exit)),
            books,
            relevance_form=relevance_form,
            with_reference=with_reference,
            wants_slots=any(isinstance(rule, InputRule) for _, rule in composite.entries),
            positions=positions,
        )
        if composite.needs_plan and composite.last is None:
            raise CompositeError(
                "which calls are last is known only after a forward pass",
                where="on.last",
                cure="lrp.explain, which plans one; or name the last layer by its path",
            )
        self.composite = self._choosing = composite
        self.calls: list[OpCall] = []
        self.matched: set[int | None] = set()
        self.escapes: list[Detached] = []
        self.failed: tuple[Exception, str, list[tuple[int, ...]]] | None = None
        self._attending = False
        self._hold = self.shelf.hold
        self._uses: Counter[tuple[str, str]] = Counter()
        self._passes_detached = any(isinstance(rule, PassDetached) for _, rule in composite.entries)

    def __enter__(self) -> Run:
        self._stack = ExitStack()
        self._stack.enter_context(torch.inference_mode(False))
        self._stack.enter_context(torch.enable_grad())
        self._stack.enter_context(self._saving())
        self._stack.enter_context(uncompiled(self.modules.model))
        self._stack.enter_context(self.modules)
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._stack.close()

    def _leaving(self, on_exit: Callable[[Frame, Any], Any], frame: Frame, output: Any) -> Any:
        seen = registered(self, frame, output)
        given = on_exit(frame, output if seen is None else seen)
        return seen if given is None else given

    def _saving(self) -> torch.autograd.graph.saved_tensors_hooks:
        """What the backward pass needs is held by the run's own shelf."""
        return torch.autograd.graph.saved_tensors_hooks(self._hold, lambda held: held.value)

    @contextmanager
    def seeing(self) -> Iterator[None]:
        """See torch calls again while one is being handled, when the mode is off."""
        TorchFunctionMode.__enter__(self)
        try:
            yield
        finally:
            TorchFunctionMode.__exit__(self, None, None, None)

    @contextmanager
    def under(self, composite: Composite) -> Iterator[None]:
        """Let another composite choose the rules of the calls made within."""
        before, self._choosing = self._choosing, composite
        try:
            yield
        finally:
            self._choosing = before

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look at tensors where a module begins or ends; that may remake the graph of views, so note that it was us."""
        start = sequence_number()
        with torch._C.DisableTorchFunction():
            yield
        self.intervals.add(start, None)

    @contextmanager
    def attending(self) -> Iterator[None]:
        """The calls made within are parts of attention."""
        before, self._attending = self._attending, True
        try:
            yield
        finally:
            self._attending = before

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in METADATA:
            return func(*args, **kwargs)
        return self.call(func, args, kwargs)

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out one torch call under its rule."""
        start, record = sequence_number(), None
        tensors = tensors_in((args, kwargs))
        try:
            written = written_by(func, args, kwargs)
            if written is not None:
                before_write(self, written)
                args, kwargs = apart(self, args, kwargs, written)
                tensors = tensors_in((args, kwargs))
            if func in LIKE_ANOTHER:
                tensors = [tensor for tensor in tensors if tensor is args[0]]
            data = [tensor for tensor in tensors if self.value(tensor) is not None]
            args, kwargs = on_a_copy(func, args, kwargs, data)
            cut = cuts(func)
            passed = past_a_cut(self, func, args, kwargs, data) if data and cut and self._passes_detached else None
            if passed is not None:
                return passed
            if cut or not (data or self.ids.come_from_inputs(func, args, kwargs)):
                return off_the_graph(self, func, args, kwargs, tensors, data, written)
            op = lookup(func) or Op(getattr(func, "__name__", str(func)), "")
            self._note_readers(op, data, args, kwargs)
            record = self._record(op, func, data, handlers.family_of(op, data, tensors, args, kwargs))
            try:
                call = TorchCall(record, op, func, args, kwargs, tensors, data, written)
                hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
                if hooks is not None and hooks[0] is self._hold:
                    return self._on_the_graph(call)
                with self._saving():  # the model's own hooks recompute, as a checkpoint does, where nobody sees it
                    return self._on_the_graph(call)
            finally:
                self.intervals.add(start, record)
        except LRPError:
            raise
        except Exception as error:
            if self.failed is None or self.failed[0] is not error:
                where = record.name if record is not None else self.modules.path
                self.failed = (error, where, [tuple(tensor.shape) for tensor in tensors])
            raise

    def _record(self, op: Op, func: Any, data: list[Tensor], family: str) -> OpCall:
        """A new record of an op call, with its rule."""
        path = self.modules.path
        use = self._uses[path, op.name]
        self._uses[path, op.name] += 1
        first = family in WEIGHTED and not any((self.value(tensor) or Value()).linear_above for tensor in data)
        call = OpCall(len(self.calls), path, op.name, family, func, self.modules.types, first, use)
        call.nth, call.scan = self.modules.nth(op.name), self.modules.scans
        gated = any((self.value(tensor) or Value()).gate for tensor in data)
        weighs = family == "product" and op.family in ("matmul", "linear") and gated
        call.attention = family == "attention" or self._attending or weighs
        call.last = self.composite.last is not None and call.name in self.composite.last
        if op.rule is not None:
            call.rule, call.entry = op.rule, "(registered)"
        call.note = REFUSED.get(op.name, "") if not op.family else ""
        if not family and any(tensor.layout is not torch.strided for tensor in data):
            call.note = _SPARSE
        if family == "sum" and usual(op.name) == "add":
            call.residual = partial(is_residual, data)
        self.choose(call)
        call.residual = never
        real = isinstance(call.rule, (Native, Uniform, Stop, AsConstant)) or not any(
            tensor.is_complex() for tensor in data
        )
        if not real and op.family:
            call.rule, call.entry, call.note = Zero(), "(default)", "complex data"
        self.calls.append(call)
        return call

    def _note_readers(self, op: Op, data: Sequence[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Tell the calls that made the data, where they want to know, who reads it."""
        for tensor in data:
            value = self.value(tensor)
            if value is not None and value.readers is not None:
                value.readers.note(is_rectifier(op.name, args, kwargs))

    def choose(self, call: OpCall) -> None:
        """Choose the rule of a call; anew, where its family turned out to be another."""
        if call.entry != "(registered)":
            call.rule, number = self._choosing.choose(call)
            call.entry = self._choosing.label(number)
            self.matched.add(number)

    def _on_the_graph(self, call: TorchCall) -> Any:
        record, written = call.record, call.written
        above = record.family in ("linear", "conv") or any((self.value(t) or Value()).linear_above for t in call.data)
        nonnegative = call.keeps_nonnegative and all((self.value(t) or Value()).nonnegative for t in call.data)
        result, value = handlers.handle(self, call)
        if written is None and not call.op.view:
            result = map_tensors(lambda tensor: self._on_its_own(call, tensor), result)
        if record.bracketed:
            result = leave(self, record, result, written)
        outputs = tensors_in(result)
        if written is not None and not any(output is written for output in outputs):
            outputs.append(written)
        for index, output in enumerate(outputs):
            if output is not written and call.is_data(output):
                continue
            if not output.requires_grad:
                told = record.family == "written out" or call.op.each or isinstance(record.rule, AsConstant)
                if not told:  # its parts have, or it is a constant
                    self.tracker.put(output, Detached(record.path, record.operation, value.point if value else None))
                continue
            self.intervals.note_undifferentiable(output, record)
            if record.family == "written out" and value is None and isinstance(self.known(output), Value):
                continue
            facts = Value() if value is None else value.at(index)
            facts.linear_above = facts.linear_above or above
            facts.nonnegative = facts.nonnegative or nonnegative
            self.tracker.put(output, facts)
        if written is not None:
            after_write(self, record, written, above)
        carrying = [output for output in outputs if output.requires_grad]
        if outputs:
            record.shape, record.dtype = tuple((carrying or outputs)[0].shape), (carrying or outputs)[0].dtype
        if carrying:
            if self.books == "calls" and (record.handed or not call.op.view):
                record.arrived += [self.measure(self.whole(output, written)) for output in carrying]
        elif self.calls[-1] is record and not isinstance(record.rule, AsConstant):
            self.calls.pop()
        return result

    def _on_its_own(self, call: TorchCall, output: Tensor) -> Tensor:
        """The output, not as the view of something inside torch that some functions return.

        Writing into such a view would lead the graph past it, and past what is measured at it.
        """
        base = output._base
        if base is None or not output.requires_grad or self.tracker.get(base) is not None or call.is_data(output):
            return output
        alone: Tensor = Identity.apply(output, False)
        known = self.tracker.get(output)
        if known is not None:
            self.tracker.put(alone, known)
        return alone

    @property
    def met(self) -> set[str]:
        """The families of operations that were met."""
        more = {"attention": any(call.attention for call in self.calls), "scan": any(call.scan for call in self.calls)}
        return {call.family for call in self.calls} | {name for name, met in more.items() if met}

    def last_calls(self, target: Tensor) -> set[str]:
        """The names of the linear and convolution calls that lead to the target, and to no other such call."""
        return last_calls(edge_of(target), self.intervals)
