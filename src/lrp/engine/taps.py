"""Where relevance enters, is measured, kept and shared in one forward pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from lrp.engine.calls import POSITION, Entry, OpCall, Probe, edge_of
from lrp.engine.differences import reference_of
from lrp.engine.facts import Facts
from lrp.engine.islands import Point
from lrp.engine.modules import ModulePaths
from lrp.engine.nodes import Arriving, Constants, Identity, Scale
from lrp.engine.outcome import TorchCall
from lrp.engine.positions import Positions, Vectors
from lrp.engine.relevance_form import enter
from lrp.engine.structure import is_continuous
from lrp.engine.values import Detached, Held, Value, as_constant, storage_of
from lrp.engine.verify import sequence_number
from lrp.errors import InputError
from lrp.rules.linear import ArrivingRule

__all__ = ["Books", "Taps"]

Books = Literal["sinks", "calls", False]


class Taps(Facts):
    """The aliases of tensors at which the backward pass measures relevance, and what op calls keep.

    Args:
        modules: where in the model we are.
        books: the level of the ledger.
        relevance_form: carry relevance, not multipliers.
        with_reference: sources come with a reference, and relevance is that of the difference to it.
        wants_slots: some rule hands relevance to the sources past their multipliers.
        positions: positional embeddings are sources.
    """

    def __init__(
        self,
        modules: ModulePaths,
        books: Books,
        *,
        relevance_form: bool,
        with_reference: bool,
        wants_slots: bool,
        positions: bool,
    ) -> None:
        super().__init__(modules)
        self.positions = Positions(modules) if positions else None
        self.books, self.with_reference = books, with_reference
        self.relevance_form, self.needs_relevance_form = relevance_form, relevance_form
        self._keeps = bool(books) and not with_reference  # in differences, what constants keep cancels
        self._wants_slots = wants_slots
        self.entries: list[Entry] = []
        self.references: Mapping[int, Tensor] = {}
        self.sources: list[Probe] = []
        # what the user wants to see, with its point in an island and, for a view, the memory it lies in
        self.watched: list[tuple[Probe, Point | None, int | None]] = []

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
        """An alias of an additive constant: its value times its gradient is kept, where it was made."""
        known = self.tracker.get(constant)
        kind, where = "constant", self.modules.makers.get(constant) or call.path
        if isinstance(known, Detached):
            kind, where = "detached", known.path
        constant = as_constant(constant)
        if not self._keeps or not is_continuous(constant):
            return constant
        leaf = constant.detach().requires_grad_()
        self.entries.append(Entry(call, kind, leaf, self.shelf.hold(constant), where))
        return leaf

    def position(self, call: OpCall, constant: Tensor, vectors: Vectors) -> Tensor:
        """An alias of positional vectors, one for each sample and position: value times gradient is their relevance."""
        leaf = as_constant(constant).expand(vectors.shape)
        leaf = (leaf.transpose(0, 1) if vectors.sequence_first else leaf).detach().requires_grad_()
        self.entries.append(Entry(call, POSITION, leaf, self.shelf.hold(leaf), vectors.name))
        return leaf.transpose(0, 1) if vectors.sequence_first else leaf

    def slots(self, call: OpCall, kinds: tuple[str, ...], like: Tensor) -> tuple[Tensor | None, ...]:
        """A scalar for each kind of row, whose gradient is what the call kept."""
        if not self._keeps:
            return (None,) * len(kinds)
        dtype = like.dtype.to_real()
        leaves = [torch.zeros((), dtype=dtype, device=like.device, requires_grad=True) for _ in kinds]
        self.entries += [Entry(call, kind, leaf, None, call.path) for kind, leaf in zip(kinds, leaves, strict=True)]
        return tuple(leaves)

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
            whole = self.whole(tensor, tensor)
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
    def whole(tensor: Tensor, written: Tensor | None) -> Tensor:
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
