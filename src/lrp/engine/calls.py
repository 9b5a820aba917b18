"""Records of one forward pass: op calls, where relevance is measured, and what is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from lrp.rules.base import Rule
from lrp.rules.linear import LinearOp

if TYPE_CHECKING:
    from lrp.engine.values import Held

__all__ = ["POSITION", "Entry", "Foldable", "OpCall", "Probe", "edge_of", "never"]


@dataclass(slots=True)
class Probe:
    """A place in the graph where relevance is measured.

    Args:
        edge: where the multiplier arrives.
        held: the value there; relevance is value times multiplier. None: what arrives is relevance (at a slot, and in
            relevance form).
        slot: where input rules deliver relevance beside it.
        also: the outputs of batch norms that the call which made this value was folded into.
        positions: for what integers of the inputs looked up, their positions (see `engine.ids`), to be broadcast.
        passed_by: relevance goes another way around it, so that what is measured here would be a part.
    """

    edge: GradientEdge
    held: Held | None
    slot: GradientEdge | None = None
    also: list[Probe] = field(default_factory=list)
    positions: Tensor | None = None
    passed_by: bool = False


POSITION = "position"
"""The kind of an `Entry` that is no row of the ledger."""


def never() -> bool:
    """What a call answers to a question that is not open any more."""
    return False


@dataclass(slots=True)
class OpCall:
    """One use of one torch operation in one forward pass.

    Args:
        number: its place in the order of execution, from 0.
        path: the module it ran in.
        operation: the torch function's name.
        family: the family of operations it belongs to, `""` where it is in no table.
        function: the torch function.
        module_types: the types of the modules it ran in, outermost first.
        first: it is linear or a convolution, and no other such call lies between a source and it.
        last: it is one, and leads to no other such call on the way to the target; known where the run was planned.
        use: how many-th call of this operation in this module path, from 0.
        nth: the same in this one call of the module.
        scan: that module is a selective scan.
        attention: it is attention, or a part of it that was written out for its rules, or it weighs values by what
            came out of a softmax or sigmoid, as a matrix product.
        shape, dtype: those of its first tensor result.
        rule: the rule it got.
        entry: the composite's entry that chose the rule.
        gradient: whether what it does is the native gradient.
        note: what else there is to say.
        covered: whether the table knows it.
        bracketed: in relevance form, it carries multipliers between a way in and a way out.
        has_value_at_zero: asks, where it must be asked, whether its activation is finite at 0.
        residual: asks, while its rule is chosen, whether it adds to a tensor what was made of it.
        arrived, handed: what level "calls" of the ledger measures.
    """

    number: int
    path: str
    operation: str
    family: str
    function: Any
    module_types: tuple[type, ...]
    first: bool
    use: int
    nth: int = 0
    scan: bool = False
    attention: bool = False
    shape: tuple[int, ...] = ()
    dtype: torch.dtype | None = None
    rule: Rule | None = None
    entry: str = ""
    gradient: bool = True
    note: str = ""
    covered: bool = True
    last: bool = False
    bracketed: bool = False
    has_value_at_zero: Callable[[], bool] | None = None
    residual: Callable[[], bool] = never
    arrived: list[Probe] = field(default_factory=list)
    handed: list[Probe] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The call in words: `layer4.1.conv2: conv2d #1`."""
        count = f" #{self.use}" if self.use else ""
        return f"{self.path or '(model)'}: {self.operation}{count}"


@dataclass(slots=True)
class Entry:
    """A ledger row in the making: the gradient of `leaf`, times `held` where there is one, is the amount kept.

    Of kind `POSITION` it is no row, but relevance of a positional embedding, whose name is `where`.
    """

    call: OpCall
    kind: str
    leaf: Tensor
    held: Held | None
    where: str


@dataclass(slots=True)
class Foldable:
    """A linear call with a rule other than Zero, which a batch norm that follows stands for too.

    Args:
        call: the call's record.
        x: its data operand, as it was.
        op: the linear operation.
        scaled: the weight with each output channel scaled.
        plain: its output with nothing but the native graph behind it, for rules on the arriving multiplier.
        outputs: the outputs of batch norms that it was folded into.
    """

    call: OpCall
    x: Tensor
    op: LinearOp
    scaled: Callable[[Tensor, Tensor], Tensor]
    plain: Tensor | None = None
    outputs: list[Probe] = field(default_factory=list)


def edge_of(tensor: Tensor) -> GradientEdge:
    """The place in the graph where the tensor's multiplier arrives."""
    return get_gradient_edge(tensor)
