"""What the engine knows of the tensors of one forward pass: which carry data, and facts that rules use."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lrp.engine.calls import Foldable
    from lrp.engine.islands import Point
    from lrp.engine.softmax import Exponential

__all__ = ["ByIdentity", "Detached", "Held", "Readers", "Shelf", "Tracker", "Value", "mixed"]

T = TypeVar("T")


@dataclass(slots=True)
class Readers:
    """Counts who reads a tensor: ReLUs, which hand nothing on where it is negative, and others."""

    rectifiers: int = 0
    others: int = 0

    def note(self, rectifier: bool) -> None:
        if rectifier:
            self.rectifiers += 1
        else:
            self.others += 1

    @property
    def rectified(self) -> bool:
        return self.rectifiers > 0 and self.others == 0


@dataclass(slots=True)
class Value:
    """Facts about a tensor that carries data, that is, relevance can flow through it to a source.

    Args:
        linear_above: a linear or convolution call lies between a source and this tensor.
        nonnegative: `x >= 0` holds by the structure of the model.
        factors: how many data factors its pure product has.
        gate: it came out of a sigmoid, softmax or exponential, perhaps as `1 - gate`, scaled, moved or cut.
        denominator: it came out of `rsqrt`, `1 / x` or a negative power; what it multiplies is divided by data.
        exponential: what it was made of by adding up, moving and scaling, where that is an exponential.
        raised: its exponential, where that was taken.
        point: what it is in a pointwise island; the island's first tensor has a `root` in its place.
        foldable: the linear call that made it, for a batch norm that may follow.
        log_sum_of: the tensor whose logsumexp it is, perhaps moved.
        logit: what went into the final sigmoid or softmax, where it came out of one.
        logit_of: name of that function.
        slot: in a source segment, the tensor through which input rules hand relevance to the source.
        reference: with a reference input, the counterpart of the tensor.
        readers: who reads it, where a rule of the call that made it wants to know.

    A call with several outputs gives `logit`, `slot` and `reference` as tuples, one for each.
    """

    linear_above: bool = False
    nonnegative: bool = False
    factors: int = 1
    gate: bool = False
    denominator: bool = False
    exponential: Exponential | None = None
    raised: Exponential | None = None
    point: Point | None = None
    root: weakref.ref[Point] | None = None
    foldable: Foldable | None = None
    log_sum_of: weakref.ref[Tensor] | None = None
    logit: Any = None
    logit_of: str = ""
    slot: Any = None
    reference: Any = None
    readers: Readers | None = None

    def at(self, index: int) -> Value:
        """The facts about one output of a call that has several."""
        names = [name for name in ("slot", "logit", "reference") if isinstance(getattr(self, name), (tuple, list))]
        if not names:
            return replace(self) if index else self
        return replace(self, **{name: getattr(self, name)[index] for name in names})


def mixed(values: Iterable[Value]) -> Value:
    """What holds of a tensor with elements of several: what they agree on. Constants among them do not count."""
    known = list(values)
    factors = {value.factors for value in known}
    exponentials = {value.exponential for value in known}
    return Value(
        factors=factors.pop() if len(factors) == 1 else 1,
        gate=all(value.gate for value in known),
        denominator=all(value.denominator for value in known),
        exponential=exponentials.pop() if len(exponentials) == 1 else None,
        log_sum_of=known[0].log_sum_of if len(known) == 1 else None,
    )


@dataclass(slots=True)
class Detached:
    """A tensor computed from a source that has lost its way back, by `how` in the module `path`.

    Comparisons in a pointwise island have a `point` still.
    """

    path: str
    how: str
    point: Point | None = None


class ByIdentity(Generic[T]):
    """What is known of tensors, by identity; a tensor that dies is forgotten."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Tensor], T]] = {}

    def get(self, tensor: Tensor) -> T | None:
        known = self._known.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def put(self, tensor: Tensor, value: T) -> None:
        key, known = id(tensor), self._known
        known[key] = (weakref.ref(tensor, lambda _: known.pop(key, None)), value)


class Tracker(ByIdentity["Value | Detached"]):
    """Which tensors carry data, or lost it."""

    def sharing(self, tensor: Tensor) -> Iterator[tuple[Tensor, Value | Detached]]:
        """The other known tensors on the same storage."""
        storage = storage_of(tensor)
        for reference, value in list(self._known.values()):
            other = reference()
            if other is not None and other is not tensor and storage_of(other) == storage:
                yield other, value

    def values(self) -> Iterator[Value]:
        for _, value in list(self._known.values()):
            if isinstance(value, Value):
                yield value


@dataclass(slots=True, weakref_slot=True)
class Held:
    """A value as it was when it was put on the shelf."""

    value: Tensor


@dataclass
class Shelf:
    """Holds values by copy-on-write: one whose storage is about to be overwritten is copied first."""

    _by_storage: dict[int, list[weakref.ref[Held]]] = field(default_factory=dict)

    def hold(self, tensor: Tensor) -> Held:
        held = Held(tensor.detach())
        self._by_storage.setdefault(storage_of(tensor), []).append(weakref.ref(held))
        return held

    def before_write(self, tensor: Tensor) -> None:
        """Copy what is held of a tensor's storage."""
        for reference in self._by_storage.pop(storage_of(tensor), ()):
            held = reference()
            if held is not None:
                held.value = held.value.clone()


def storage_of(tensor: Tensor) -> int:
    """What identifies the memory of a tensor; views share it."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse and functional tensors have none
        return id(tensor)


def as_constant(tensor: Tensor) -> Tensor:
    """The tensor without its graph, usable in a backward pass."""
    if tensor.is_inference() and not torch.is_inference_mode_enabled():
        return tensor.detach().clone()
    return tensor.detach() if tensor.requires_grad else tensor
