"""One forward pass under the function mode: every torch call is seen, and gets its rule."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Literal

import torch
import torch.nn as nn
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lrp.composite import Composite
from lrp.engine import handlers
from lrp.engine.calls import Entry, OpCall, Probe, edge_of, never
from lrp.engine.differences import reference_of
from lrp.engine.ids import Ids, on_a_copy
from lrp.engine.inplace import after_write, apart, before_write, refuse_unseen_write, written_by
from lrp.engine.islands import Point
from lrp.engine.modules import Frame, ModulePaths
from lrp.engine.nodes import Arriving, Constants, Identity, Scale
from lrp.engine.outcome import TorchCall
from lrp.engine.relevance_form import enter, leave
from lrp.engine.structure import is_continuous, map_tensors, tensors_in
from lrp.engine.values import Detached, Held, Shelf, Tracker, Value, as_constant, mixed, storage_of
from lrp.engine.verify import Intervals, is_residual, last_calls, reaches, sequence_number
from lrp.errors import CompositeError, InputError, LRPError
from lrp.ops.activations import is_rectifier
from lrp.ops.metadata import LIKE_ANOTHER, METADATA
from lrp.ops.op import Op
from lrp.ops.refused import REFUSED
from lrp.ops.table import lookup, usual
from lrp.rules.base import WEIGHTED, Native
from lrp.rules.linear import ArrivingRule, InputRule, Zero
from lrp.rules.passing import PassDetached, Stop
from lrp.rules.product import Uniform

__all__ = ["Books", "Run"]

Books = Literal["sinks", "calls", False]

_TO_PYTHON = frozenset(
    getattr(torch.Tensor, name)
    for name in ("item", "tolist", "numpy", "__array__", "__float__", "__int__", "__complex__", "__index__")
)
_data: Any = torch.Tensor.data
_DETACHING = {torch.Tensor.detach, torch.detach, torch.Tensor.detach_, torch.detach_copy}
_CUTS = frozenset({*_DETACHING, _data.__get__, _data.__set__}) | _TO_PYTHON
"""Calls whose result no longer knows where it came from."""


class Run(TorchFunctionMode):
    """Sees the forward pass of `with run:` and keeps its records.

    Args:
        model: whose module paths are followed, or None.
        composite: which rule meets which op call.
        books: the level of the ledger.
        relevance_form: carry relevance, not multipliers; a run that turns out to need it says so afterwards
            (`needs_relevance_form`).
        with_reference: sources come with a reference, and relevance is that of the difference to it.
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
    ) -> None:
        super().__init__()
        if composite.needs_plan and composite.last is None:
            raise CompositeError(
                "which calls are last is known only after a forward pass",
                where="on.last",
                cure="lrp.explain, which plans one; or name the last layer by its path",
            )
        self.composite, self.books = composite, books
        self.with_reference = with_reference
        self.relevance_form, self.needs_relevance_form = relevance_form, relevance_form
        self._keeps = bool(books) and not with_reference  # in differences, what constants keep cancels
        self._choosing = composite
        self.modules = ModulePaths(model, on_enter, on_exit)
        self.calls: list[OpCall] = []
        self.entries: list[Entry] = []
        self.references: Mapping[int, Tensor] = {}
        self.sources: list[Probe] = []
        # what the user wants to see, with its point in an island and, for a view, the memory it lies in
        self.watched: list[tuple[Probe, Point | None, int | None]] = []
        self.leaves: list[Tensor] = []
        self.matched: set[int | None] = set()
        self.escapes: list[Detached] = []
        self.intervals = Intervals()
        self.strangers: set[Any] = set()
        self.failed: tuple[Exception, str, list[tuple[int, ...]]] | None = None
        self.tracker, self.shelf, self.ids = Tracker(), Shelf(), Ids()
        self._attending = False
        self._uses: Counter[tuple[str, str]] = Counter()
        self._passes_detached = any(isinstance(rule, PassDetached) for _, rule in composite.entries)
        self._wants_slots = any(isinstance(rule, InputRule) for _, rule in composite.entries)

    # --- entering and leaving -----------------------------------------------------------------------------------------

    def __enter__(self) -> Run:
        self._stack = ExitStack()
        self._stack.enter_context(torch.inference_mode(False))
        self._stack.enter_context(torch.enable_grad())
        self._stack.enter_context(torch.autograd.graph.saved_tensors_hooks(self.shelf.hold, lambda held: held.value))
        self._stack.enter_context(self.modules)
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._stack.close()

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

    # --- sources, constants, slots ------------------------------------------------------------------------------------

    def source(self, tensor: Tensor, *, reference: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """A copy of the tensor that carries data; relevance is measured at it.

        Args:
            tensor: an input, or what integers of an input looked up.
            reference: its counterpart, where differences to a reference are explained.
            positions: those of the integers (see `engine.ids`).
        """
        if self.with_reference and reference is None:
            raise InputError(
                "what integers look up has no reference",
                where="reference",
                seen="integers as a source",
                cure="the embedded tokens as the input (inputs_embeds=...), or no reference",
            )
        start = sequence_number()
        with torch._C.DisableTorchFunction(), torch.enable_grad():
            leaf = tensor.detach().clone().requires_grad_()
            data: Tensor = Identity.apply(leaf, False)
            slot = torch.zeros((), dtype=leaf.dtype, device=leaf.device).expand_as(leaf).requires_grad_()
            reference = None if reference is None else reference.clone()
            probe = Probe(edge_of(leaf), self._held(leaf, reference), positions=positions)
            has_slot = self._wants_slots and tensor.is_floating_point()
            probe.slot = edge_of(slot) if has_slot else None
            self.sources.append(probe)
            self.leaves += [leaf, slot]
            self.tracker.put(data, Value(slot=slot if has_slot else None, reference=reference))
        self.intervals.add(start, None)
        return data

    def offset(self, call: OpCall, constant: Tensor) -> Tensor:
        """An alias of an additive constant; its value times its gradient is what it keeps."""
        known = self.tracker.get(constant)
        kind, where = ("detached", known.path) if isinstance(known, Detached) else ("constant", call.path)
        constant = as_constant(constant)
        if not self._keeps or not is_continuous(constant):
            return constant
        leaf = constant.detach().requires_grad_()
        self.entries.append(Entry(call, kind, leaf, self.shelf.hold(constant), where))
        return leaf

    def slots(self, call: OpCall, kinds: tuple[str, ...], like: Tensor) -> tuple[Tensor | None, ...]:
        """A scalar for each kind of row, whose gradient is what the call kept."""
        if not self._keeps:
            return (None,) * len(kinds)
        dtype = like.dtype.to_real()
        leaves = [torch.zeros((), dtype=dtype, device=like.device, requires_grad=True) for _ in kinds]
        self.entries += [Entry(call, kind, leaf, None, call.path) for kind, leaf in zip(kinds, leaves, strict=True)]
        return tuple(leaves)

    # --- what is known of tensors -------------------------------------------------------------------------------------

    def value(self, tensor: Tensor) -> Value | None:
        """The facts about a tensor that carries data, or None for a constant."""
        known = self.tracker.get(tensor)
        if isinstance(known, Value):
            return known
        if not tensor.requires_grad or tensor.is_leaf:
            return None
        # not met before: a view of a data tensor that was written to, or made by something the mode did not see
        base = tensor._base
        whole = None if base is None else self.tracker.get(base)
        if isinstance(whole, Value) or reaches(tensor, self.leaves):
            value = replace(mixed([whole]) if isinstance(whole, Value) else Value(), linear_above=True)
            self.tracker.put(tensor, value)
            if base is None and tensor.grad_fn is not None:
                self.strangers.add(tensor.grad_fn)
            return value
        return None

    def put(self, tensor: Tensor, value: Value) -> None:
        """Note facts about a tensor that carries data."""
        self.tracker.put(tensor, value)

    def note_constant(self, tensor: Tensor, *, like: Tensor) -> None:
        """A tensor without a graph has lost its way to a source where another one has."""
        known = self.tracker.get(like)
        if isinstance(known, Detached):
            self.tracker.put(tensor, known)

    def known(self, tensor: Tensor) -> Value | Detached | None:
        """What the tracker knows of a tensor, without looking for more."""
        return self.tracker.get(tensor)

    def note_lost(self, tensor: Tensor, moved: Tensor) -> None:
        """What becomes of data that left the graph has left it too."""
        lost = self.tracker.get(tensor)
        if isinstance(lost, Detached):
            self.tracker.put(moved, lost)

    def copied(self, tensor: Tensor) -> Tensor:
        """A copy in the graph, which keeps the value as it is now."""
        copy: Tensor = tensor.clone()
        value = self.value(tensor)
        if value is not None:
            reference = None if value.reference is None else value.reference.clone()
            self.tracker.put(copy, replace(value, foldable=None, reference=reference))
        self.ids.note_copy(tensor, copy)
        return copy

    def measure(self, tensor: Tensor, *, inside: bool = False) -> Probe:
        """A place to measure the relevance of a tensor that carries data.

        Args:
            tensor: the tensor.
            inside: in relevance form, it is within a call that carries multipliers.
        """
        value = self.known(tensor)
        slot = edge_of(value.slot) if isinstance(value, Value) and value.slot is not None else None
        reference = reference_of(self, tensor) if self.with_reference else None
        return Probe(edge_of(tensor), self._held(tensor, reference, inside), slot)

    def _held(self, tensor: Tensor, reference: Tensor | None, inside: bool = False) -> Held | None:
        """What a multiplier is to be taken times; nothing where what arrives is relevance."""
        if reference is not None:
            return Held(tensor.detach() - reference)
        return None if self.relevance_form and not inside else self.shelf.hold(tensor)

    def probe(self, tensor: Tensor) -> Probe:
        """The same for a tensor the user asked for: behind a folded call it means the folded output."""
        probe, value = self.measure(tensor), self.known(tensor)
        if isinstance(value, Value) and value.foldable is not None:
            probe.also = value.foldable.outputs
        point = value.point if isinstance(value, Value) else None
        self.watched.append((probe, point, None if tensor._base is None else storage_of(tensor)))
        return probe

    def note_overwritten(self, written: Tensor) -> None:
        """From now on the graph leads past probes at views of the memory that is written to."""
        for probe, _, storage in self.watched:
            if storage is not None and storage == storage_of(written):
                probe.passed_by = True

    def note_joined(self, steps: Set[int]) -> None:
        """The graph leads past probes at points that became steps of one activation."""
        for probe, point, _ in self.watched:
            if point is not None and id(point) in steps:
                probe.passed_by = True

    # --- services for handlers ----------------------------------------------------------------------------------------

    def tap(self, call: OpCall, tensor: Tensor, in_place: bool = False, *, inside: bool = False) -> Tensor:
        """The operand as this call is to read it.

        At ledger level "calls" an alias of its own, so that what this call hands on is measured. In relevance form with
        a way in, unless the operand is `inside` one, or the call hands on relevance by itself.
        """
        tensor = self._measured(call, tensor, in_place, inside)
        if not self.relevance_form or inside:
            return tensor
        entered = enter(call, tensor, in_place)
        if entered is not tensor:
            self.tracker.put(entered, replace(self.value(tensor) or Value(), foldable=None))
        return entered

    def _measured(self, call: OpCall, tensor: Tensor, in_place: bool, inside: bool) -> Tensor:
        if self.books != "calls":
            return tensor
        if in_place:
            whole = self._whole(tensor, tensor)
            known = self.tracker.get(whole)
            if whole is not tensor and isinstance(known, Value) and known.slot is not None:
                known.slot = Identity.apply(known.slot, False)
                call.handed.append(Probe(edge_of(known.slot), None))
            probe = self.measure(Identity.apply(whole, True))
            if probe.held is not None and not self.with_reference:
                probe.held = self.shelf.hold(whole.detach().clone())
            probe.slot = None
            call.handed.append(probe)
            return tensor
        tapped: Tensor = Identity.apply(tensor, False)
        known = self.tracker.get(tensor)
        self.tracker.put(tapped, replace(known if isinstance(known, Value) else Value(), slot=None, foldable=None))
        call.handed.append(self.measure(tapped, inside=inside and call.bracketed))
        return tapped

    @staticmethod
    def _whole(tensor: Tensor, written: Tensor | None) -> Tensor:
        """A write through a view is measured at the whole tensor, where autograd keeps its history."""
        return tensor if tensor is not written or tensor._base is None else tensor._base

    def tap_slot(self, call: TorchCall, slot: Tensor) -> Tensor:
        """The same for what input rules deliver: the slot as an alias of its own."""
        if self.books != "calls" or call.op.view:
            return slot
        tapped: Tensor = Identity.apply(slot, False)
        call.record.handed.append(Probe(edge_of(tapped), None))
        return tapped

    def arriving(
        self, call: OpCall, z: Tensor, rule: ArrivingRule, units: int | None = None, in_place: bool = False
    ) -> Tensor:
        """Put an `ArrivingRule` behind a native operation, whose units lie along an axis of z, or have none."""
        call.gradient = False
        return Arriving.apply(z, rule, units, in_place, *self.slots(call, rule.kinds, z))

    def scale(self, call: OpCall, tensor: Tensor, share: float, in_place: bool = False) -> Tensor:
        """Multiply the multiplier that arrives at a tensor by a share."""
        if math.isclose(share, 1.0):
            return tensor
        call.gradient = False
        return Scale.apply(tensor, share, in_place)

    def constants(self, call: OpCall, tensor: Tensor, constant: Tensor, kind: str, in_place: bool = False) -> Tensor:
        """Book what constants inside a tensor keep."""
        if not self._keeps:
            return tensor
        (slot,) = self.slots(call, (kind,), tensor)
        return Constants.apply(tensor, constant, in_place, slot)

    # --- the mode -----------------------------------------------------------------------------------------------------

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
            cut = func in _CUTS or not torch.is_grad_enabled()
            passed = self._past_a_cut(func, args, kwargs, data) if data and cut and self._passes_detached else None
            if passed is not None:
                return passed
            if cut or not (data or self.ids.come_from_inputs(func, args, kwargs)):
                return self._off_the_graph(func, args, kwargs, tensors, data, written)
            op = lookup(func) or Op(getattr(func, "__name__", str(func)), "")
            self._note_readers(op, data, args, kwargs)
            record = self._record(op, func, data, handlers.family_of(op, data, tensors, args, kwargs))
            try:
                return self._on_the_graph(TorchCall(record, op, func, args, kwargs, tensors, data, written))
            finally:
                self.intervals.add(start, record)
        except LRPError:
            raise
        except Exception as error:
            if self.failed is None or self.failed[0] is not error:
                where = record.name if record is not None else self.modules.path
                self.failed = (error, where, [tuple(tensor.shape) for tensor in tensors])
            raise

    def _past_a_cut(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], data: list[Tensor]) -> Any:
        """The result of a call that would cut the graph, where `PassDetached` says so; else None."""
        name = getattr(func, "__name__", str(func))
        call = OpCall(len(self.calls), self.modules.path, name, "detached", func, self.modules.types, False, 0)
        call.rule, number = self.composite.choose(call)
        if number is None or func in _TO_PYTHON:
            return None
        self.matched.add(number)
        call.entry = self.composite.label(number)
        start = sequence_number()
        with torch.inference_mode(False), torch.enable_grad():
            if func not in _CUTS:
                return self.call(func, args, kwargs)
            passed: Tensor = Identity.apply(data[0], False)
        self.tracker.put(passed, replace(self.value(data[0]) or Value(), foldable=None, readers=None))
        call.shape = tuple(passed.shape)
        self.calls.append(call)
        self.intervals.add(start, call)
        return passed

    def _record(self, op: Op, func: Any, data: list[Tensor], family: str) -> OpCall:
        """A new record of an op call, with its rule."""
        path = self.modules.path
        use = self._uses[path, op.name]
        self._uses[path, op.name] += 1
        first = family in WEIGHTED and not any((self.value(tensor) or Value()).linear_above for tensor in data)
        call = OpCall(len(self.calls), path, op.name, family, func, self.modules.types, first, use)
        gated = any((self.value(tensor) or Value()).gate for tensor in data)
        weighs = family == "product" and op.family in ("matmul", "linear") and gated
        call.attention = family == "attention" or self._attending or weighs
        call.last = self.composite.last is not None and call.name in self.composite.last
        if op.rule is not None:
            call.rule, call.entry = op.rule, "(registered)"
        call.note = REFUSED.get(op.name, "") if not op.family else ""
        if family == "sum" and usual(op.name) == "add":
            call.residual = partial(is_residual, data)
        self.choose(call)
        call.residual = never
        real = isinstance(call.rule, (Native, Uniform, Stop)) or not any(tensor.is_complex() for tensor in data)
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
                if record.family != "written out" and not call.op.each:  # its parts have told, or it is a constant
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
        if carrying:
            record.shape = tuple(carrying[0].shape)
            if self.books == "calls" and (record.handed or not call.op.view):
                record.arrived += [self.measure(self._whole(output, written)) for output in carrying]
        elif self.calls[-1] is record:
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

    def _off_the_graph(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tensors: list[Tensor],
        data: list[Tensor],
        written: Tensor | None,
    ) -> Any:
        """Carry out a call that relevance does not flow through, and remember what it cuts off."""
        if written is not None and func is not torch.Tensor.detach_:
            refuse_unseen_write(self, func, written)
        lost = next((known for t in tensors if isinstance(known := self.tracker.get(t), Detached)), None)
        if func in _TO_PYTHON and (data or lost is not None):
            self.escapes.append(Detached(self.modules.path, f".{func.__name__}()"))
            args = map_tensors(as_constant, args)
        result = func(*args, **kwargs)
        if data:
            how = f".{func.__name__}()" if func in _CUTS else "torch.no_grad()"
            lost = Detached(self.modules.path, ".data" if func.__name__ == "__get__" else how)
        if lost is not None:
            outputs = tensors_in(result)
            if written is not None:
                outputs += [written] if written._base is None else [written, written._base]
            for output in outputs:
                self.tracker.put(output, lost)
        elif self.ids.count:
            positions = self.ids.looked_up(func, args, kwargs, result)
            if positions is not None:
                return self.source(result, positions=positions)
            return self.ids.follow(func, args, kwargs, result, written)
        return result

    # --- what came of it ----------------------------------------------------------------------------------------------

    @property
    def met(self) -> set[str]:
        """The families of operations that were met."""
        return {call.family for call in self.calls} | {"attention" for call in self.calls if call.attention}

    def last_calls(self, target: Tensor) -> set[str]:
        """The names of the linear and convolution calls that lead to the target, and to no other such call."""
        return last_calls(edge_of(target), self.intervals)

    def detached_from(self, structure: Any) -> Detached | None:
        """Where a tensor of a structure lost its way back to a source, if it did."""
        return next((k for t in tensors_in(structure) if isinstance(k := self.tracker.get(t), Detached)), None)

    def logits_of(self, structure: Any) -> tuple[Any, str]:
        """The structure with what went into a final sigmoid or softmax in the place of what came out, and its name."""
        names: list[str] = []

        def before(tensor: Tensor) -> Tensor:
            value = self.tracker.get(tensor)
            if isinstance(value, Value) and value.logit is not None:
                names.append(value.logit_of)
                logit: Tensor = value.logit
                return logit
            return tensor

        return map_tensors(before, structure), names[0] if names else ""
