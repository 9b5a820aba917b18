"""What is known of the tensors of one forward pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from lrp.engine.ids import Ids
from lrp.engine.modules import ModulePaths
from lrp.engine.structure import map_tensors, tensors_in
from lrp.engine.values import Detached, Shelf, Tracker, Value, mixed
from lrp.engine.verify import Intervals, reaches
from lrp.ops.table import IDENTITIES, is_gating_node

__all__ = ["Facts"]


class Facts:
    """Which tensors carry data, what holds of them, and where data was lost.

    Args:
        modules: where in the model we are.
    """

    def __init__(self, modules: ModulePaths) -> None:
        super().__init__()
        self.modules = modules
        self.tracker, self.shelf, self.ids = Tracker(), Shelf(), Ids()
        self.leaves: list[Tensor] = []
        self.intervals = Intervals()
        self.strangers: set[Any] = set()

    def value(self, tensor: Tensor) -> Value | None:
        """The facts about a tensor that carries data, or None for a constant."""
        known = self.tracker.get(tensor)
        if isinstance(known, Value):
            return known
        if not tensor.requires_grad or tensor.is_leaf:
            return None
        handed_on = self._handed_on(tensor)
        if handed_on is not None:
            return handed_on
        # not met before: a view of a data tensor that was written to, or made by something the mode did not see
        base = tensor._base
        whole = None if base is None else self.tracker.get(base)
        if isinstance(whole, Value) or reaches(tensor, self.leaves):
            value = replace(mixed([whole]) if isinstance(whole, Value) else Value(), linear_above=True)
            self.tracker.put(tensor, value)
            if base is None and tensor.grad_fn is not None:
                self.strangers.add(tensor.grad_fn)
                value.gate = is_gating_node(tensor.grad_fn.name())
            return value
        return None

    def _handed_on(self, tensor: Tensor) -> Value | None:
        """The facts about the tensor that an autograd function handed on as this one."""
        node = tensor.grad_fn
        if node is None or node.name() not in IDENTITIES:
            return None
        below = node.next_functions[tensor.output_nr]
        for given, value in self.tracker.sharing(tensor):
            if isinstance(value, Value) and (given.grad_fn, given.output_nr) == below:
                self.intervals.note(node, None)
                self.tracker.put(tensor, replace(value))
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
