"""Reference outputs: `f(x) - y_ref` is explained, and `y_ref` leaves the bias of the last linear call.

The explained output must be an output of a linear layer or convolution, moved and selected but not computed with. A
first forward pass finds the call and the place; in a second one `y_ref` is taken off the call's bias and output there,
so every rule sees `b - y_ref` and `z - y_ref` without knowing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from lrp.engine.calls import OpCall, edge_of
from lrp.engine.structure import describe
from lrp.errors import TargetError
from lrp.rules.base import Kept
from lrp.rules.linear import LinearOp, LinearRule

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["Referenced", "per_sample", "references"]

_MOVING = frozenset({"reshape", "select", "dropout"})


@dataclass(frozen=True)
class Referenced(LinearRule):
    """A rule under which a call keeps something by its bias, `b - y_ref`; the two get their shares as in a sum.

    Args:
        rule: the rule.
        reference: `y_ref` where it is explained, 0 elsewhere, shaped like the call's output.
    """

    rule: LinearRule
    reference: Tensor

    def __post_init__(self) -> None:
        extra = ("reference",) if "bias" in self.rule.kinds else ()
        object.__setattr__(self, "kinds", (*self.rule.kinds, *extra))

    def propagate(self, op: LinearOp, x: Tensor, z: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        m_x, kept = self.rule.propagate(op, x, z, relevance_out)
        bias = op.bias
        assert bias is not None

        def multiplier() -> Tensor:
            return torch.where(bias == 0, 0, kept["bias"]() / bias)

        shares = {
            "bias": lambda: multiplier() * (bias + self.reference),
            "reference": lambda: -multiplier() * self.reference,
        }
        return m_x, {**kept, **(shares if "bias" in kept else {})}

    def __str__(self) -> str:
        return str(self.rule)


def per_sample(given: float | Tensor, like: Tensor) -> Tensor:
    """A reference output as one number per sample, shaped `like` the explained output, `(N,)`.

    Raises:
        TargetError: it is no finite number, and no tensor of them.
    """
    value: Any = given
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        value = torch.as_tensor(given, dtype=like.dtype)
    fits = isinstance(value, Tensor) and value.is_floating_point() and value.shape in ((), like.shape)
    if not fits or not bool(torch.isfinite(value).all()):
        raise TargetError(
            "a reference output is a finite number, or a floating tensor with one for each sample",
            where="reference_output",
            seen=describe(given) if isinstance(given, Tensor) else repr(given),
            cure=f"a tensor of shape {tuple(like.shape)}",
        )
    reference: Tensor = value.detach().to(like).expand_as(like)
    return reference


def references(run: Run, parts: Sequence[Tensor], value: Tensor) -> dict[int, Tensor]:
    """The reference output where it is explained, 0 elsewhere, by the number of the linear call.

    Args:
        run: a finished forward pass.
        parts: the explained output of each target, `(N,)` each.
        value: the reference output, `(N,)`.

    Raises:
        TargetError: an explained output is not an output of a linear call, one for each sample.
    """
    found: dict[int, Tensor] = {}
    for part in parts:
        calls = _linear_calls(run, part)
        edges = [edge for _, edge in calls]
        chosen: Sequence[Tensor] = ()
        placed: Sequence[Tensor] = ()
        if edges:
            chosen = torch.autograd.grad(part, edges, torch.ones_like(part), retain_graph=True)
            placed = torch.autograd.grad(part, edges, value, retain_graph=True)
        once = all(bool(((here == 0) | (here == 1)).all()) for here in chosen)
        if not once or sum(int(here.sum()) for here in chosen) != len(part):
            raise _refused("what is explained is not one output of a linear layer for each sample")
        for (call, _), here, amount in zip(calls, chosen, placed, strict=True):
            before = found.get(call.number, torch.zeros_like(amount))
            found[call.number] = torch.where(here == 1, amount, before).detach()
    return found


def _linear_calls(run: Run, explained: Tensor) -> list[tuple[OpCall, GradientEdge]]:
    """The linear calls that an explained output was selected from, with the places of their outputs."""
    found: list[tuple[OpCall, GradientEdge]] = []
    met: set[tuple[Node, int]] = set()  # holds the nodes: the id of one that is freed is another's soon
    stack = [edge_of(explained)]
    while stack:
        edge = stack.pop()
        place = (edge.node, edge.output_nr)
        if place in met:
            continue
        met.add(place)
        _, call = run.intervals.find(edge.node)
        if call is not None and call.family in ("linear", "conv"):
            found.append((call, edge))
        elif call is None or call.family in _MOVING:
            stack += [GradientEdge(node, number) for node, number in edge.node.next_functions if node is not None]
        else:
            raise _refused(f"the explained output is computed by {call.name}")
    return found


def _refused(seen: str) -> TargetError:
    return TargetError(
        "a reference output leaves the bias of the last linear call, and there is none whose output is explained",
        where="reference_output",
        seen=seen,
        cure="a target that picks one output of a linear layer or convolution (a class, a token); without "
        "through_output and without operations behind the layer",
    )
