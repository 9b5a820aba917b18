"""Finds what the function mode did not see: autograd nodes on the way that no handled call made.

Autograd numbers its nodes in each thread; a handled call notes which numbers it gave out. A node between target and
source with another number came from TorchScript, compiled code, another thread or a foreign autograd function.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence, Set

from torch import Tensor
from torch._C._autograd import _get_sequence_nr as sequence_number
from torch.autograd.graph import GradientEdge, Node

from lrp.engine.calls import OpCall, edge_of
from lrp.errors import UncoveredError, UnseenError
from lrp.ops.table import is_registered_node
from lrp.rules.base import WEIGHTED

__all__ = ["Intervals", "is_residual", "last_calls", "nodes_on_the_way", "reaches", "sequence_number", "verify"]


class Intervals:
    """Half-open intervals of autograd sequence numbers, with the op call that gave them out."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._rows: list[tuple[int, OpCall | None]] = []
        self._by_node: dict[Node, OpCall | None] = {}

    def add(self, start: int, call: OpCall | None) -> None:
        """Note that all numbers given out since `start` are the call's; inner calls keep their own."""
        end = sequence_number()
        if end == start:
            return
        at = bisect_right(self._starts, start - 1)
        inner = list(zip(self._starts[at:], self._rows[at:], strict=True))
        del self._starts[at:], self._rows[at:]
        for inner_start, (inner_end, inner_call) in inner:
            self._append(start, inner_start, call)
            self._append(inner_start, inner_end, inner_call)
            start = inner_end
        self._append(start, end, call)

    def _append(self, start: int, end: int, call: OpCall | None) -> None:
        if end > start:
            self._starts.append(start)
            self._rows.append((end, call))

    def note_undifferentiable(self, output: Tensor, call: OpCall) -> None:
        """Remember a call that torch cannot differentiate: the node behind its output has no number."""
        node = output.grad_fn
        if node is not None and node.name().endswith("NotImplemented"):  # one kind raises, one hands back nothing
            call.covered, call.note = False, call.note or "torch has no derivative of it"
            self.note(node, call)

    def note(self, node: Node, call: OpCall | None) -> None:
        """Remember whose a node is that no handled call made."""
        self._by_node[node] = call

    def find(self, node: Node) -> tuple[bool, OpCall | None]:
        """Whether a node was made by a handled call, and by which."""
        if node in self._by_node:
            return True, self._by_node[node]
        number = node._sequence_nr()
        at = bisect_right(self._starts, number) - 1
        if at < 0 or number >= self._rows[at][0]:
            return False, None
        return True, self._rows[at][1]


def nodes_on_the_way(targets: Iterable[Node], leaves: Iterable[Tensor]) -> list[tuple[Node, list[Node]]]:
    """The autograd nodes from which a leaf can be reached, each with those of its successors that reach one too."""
    ends = {edge_of(leaf).node for leaf in leaves}
    reaching: dict[Node, bool] = {}
    order: list[tuple[Node, list[Node]]] = []
    stack: list[tuple[Node, list[Node] | None]] = [(node, None) for node in targets]
    while stack:
        node, below = stack.pop()
        if below is not None:  # all of these are known by now
            reaching[node] = node in ends or any(reaching[n] for n in below)
            order.append((node, below))
        elif node not in reaching:
            reaching[node] = False
            below = [n for n, _ in node.next_functions if n is not None]
            stack.append((node, below))
            stack += [(n, None) for n in below if n not in reaching]
    return [(node, [n for n in below if reaching[n]]) for node, below in order if reaching[node] and node not in ends]


def last_calls(target: GradientEdge, intervals: Intervals) -> set[str]:
    """The names of the linear and convolution calls that lead to the target, and to no other such call."""

    def call_of(node: Node) -> OpCall | None:
        _, call = intervals.find(node)
        return call if call is not None and call.family in WEIGHTED else None

    def names(nodes: Iterable[Node]) -> set[str]:
        return {call.name for node in nodes if (call := call_of(node)) is not None}

    every = _behind([target.node])
    inputs = [
        below
        for node in every
        if (call := call_of(node)) is not None
        for below, _ in node.next_functions
        if below is not None and call_of(below) is not call
    ]
    return names(every) - names(_behind(inputs))


def _behind(starts: Iterable[Node]) -> set[Node]:
    """The autograd nodes that these lead to, and these themselves."""
    found: set[Node] = set()
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += [below for below, _ in node.next_functions if below is not None]
    return found


def reaches(tensor: Tensor, leaves: Sequence[Tensor]) -> bool:
    """Whether the graph behind a tensor leads to one of the leaves."""
    node = tensor.grad_fn
    return node is not None and bool(nodes_on_the_way([node], leaves))


def is_residual(summands: Sequence[Tensor]) -> bool:
    """Whether one of two summands was made of the other."""
    if len(summands) != 2:
        return False
    one, other = (edge_of(tensor).node for tensor in summands)
    return one is not other and (_leads_to(one, other) or _leads_to(other, one))


def _leads_to(start: Node, end: Node) -> bool:
    """Whether the graph behind a node leads to another; what is older than that one need not be looked at."""
    oldest, found, stack = end._sequence_nr(), set(), [start]
    while stack:
        node = stack.pop()
        if node is end:
            return True
        if node not in found and node._sequence_nr() > oldest:
            found.add(node)
            stack += [below for below, _ in node.next_functions if below is not None]
    return False


def verify(
    target: GradientEdge,
    leaves: Sequence[Tensor],
    intervals: Intervals,
    strangers: Set[Node],
    beyond: Set[str],
    *,
    relevance_form: bool = False,
) -> list[OpCall]:
    """The op calls on the way from target to sources, in order of execution.

    Args:
        target: where relevance starts.
        leaves: the sources.
        intervals: which autograd nodes were seen.
        strangers: nodes of data tensors that no handled call returned; their numbers may be another thread's.
        beyond: names of nodes (without `Backward0`) that need not have been seen.
        relevance_form: relevance is carried, for which the gradient of a registered autograd function is no rule.

    Raises:
        UnseenError: part of the way was not seen.
        UncoveredError: op calls without a rule lie on the way.
    """
    on_the_way: dict[int, OpCall] = {}
    unseen: list[str] = []
    registered: list[str] = []
    for node, below in nodes_on_the_way([target.node], leaves):
        seen, call = intervals.find(node)
        if node in strangers:
            seen, call = False, None
        if call is not None:
            on_the_way[call.number] = call
        elif not seen and is_registered_node(node.name()):
            registered.append(node.name())
        elif not seen and node.name().split("Backward")[0] not in beyond:
            unseen.append(f"{node.name()}, which reads {', '.join(n.name() for n in below) or 'nothing'}")
    if unseen:
        raise _unseen(unseen)
    if registered and relevance_form:
        raise UnseenError(
            "the gradient of a registered autograd function hands on multipliers, and this composite needs relevance",
            where=f"autograd nodes {', '.join(sorted(set(registered)))}",
            seen="Flat, WSquare or Box on a hidden op call",
            cure="these rules at sources alone: (on.first & on.conv, rules.Flat())",
        )
    calls = [on_the_way[number] for number in sorted(on_the_way)]
    uncovered = [call for call in calls if not call.covered or _has_a_pole(call)]
    if uncovered:
        raise _uncovered(uncovered)
    return calls


def _has_a_pole(call: OpCall) -> bool:
    if call.has_value_at_zero is None or call.has_value_at_zero():
        return False
    call.note = "phi(0) is not finite; (on.op(...), rules.Pass()) lets relevance pass unchanged"
    return True


def _unseen(names: list[str]) -> UnseenError:
    shown = names[:8] + ([f"and {len(names) - 8} more"] if len(names) > 8 else [])
    return UnseenError(
        "part of the forward pass was not seen, so its rules are not in place",
        where="autograd nodes " + "; ".join(shown),
        seen="TorchScript, a compiled module, another thread, or a torch.autograd.Function of the model's own",
        cure="use the original Python module (model.module of nn.DataParallel, on GPUs); or, where the node is linear "
        'in its data, so that its gradient is its rule, lrp.register("NodeName", rules.Zero()); where it is an '
        "activation and a module of its own, rules.Gate()",
    )


def _uncovered(calls: list[OpCall]) -> UncoveredError:
    width = max(len(call.operation) for call in calls)
    rows = "\n".join(f"    {call.operation:{width}}  {call.path or '(model)'}  {call.note}".rstrip() for call in calls)
    return UncoveredError(
        f"{len(calls)} op call{'s' if len(calls) > 1 else ''} on the way from target to source "
        f"ha{'ve' if len(calls) > 1 else 's'} no rule:\n{rows}",
        seen=", ".join(sorted({call.operation for call in calls})),
        cure="lrp.register(function, rules.Zero()) where it is linear in its data, rules.Gate() where it is an "
        "activation; or explain up to a layer above it",
    )
