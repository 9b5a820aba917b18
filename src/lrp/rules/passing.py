"""Rules for where relevance ends before it reaches a source, and for where it would otherwise be cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lrp.rules.base import Rule

__all__ = ["PassDetached", "Stop"]


@dataclass(frozen=True)
class Stop(Rule):
    """Hands nothing on: `R_x = 0`, and the ledger row `stopped` keeps all that arrives.

    For any op call, also one without a rule of its own: a branch that is not to be explained, a routing decision, an
    operation that has no sensible rule.

    >>> import torch, lrp
    >>> x = torch.tensor([[1.0, 2.0]])
    >>> composite = lrp.Composite([(lrp.on.op(torch.tanh), Stop())])
    >>> r = lrp.explain(lambda x: 3 * x[:, 0] + torch.tanh(x[:, 1]), x, target=lambda y: y, composite=composite)
    >>> r.input.tolist()
    [[3.0, 0.0]]
    >>> [(row.kind, round(float(row.amount), 4)) for row in r.ledger.rows]
    [('stopped', 0.964)]
    """

    kinds: ClassVar[tuple[str, ...]] = ("stopped",)

    def fits(self, family: str) -> bool:
        return family != "detached"


@dataclass(frozen=True)
class PassDetached(Rule):
    """Straight through: what the model detaches counts as if it were not, so that relevance passes.

    For `.detach()` and `.data`, and for op calls under `torch.no_grad()` or `torch.inference_mode()`: these get the
    rules that they would get otherwise. It is the cure where the result says that relevance went to data that left the
    graph, and the model's own cut (a frozen trunk, a straight-through estimator) is no statement about relevance.

    >>> import torch, lrp
    >>> x = torch.tensor([[1.0, 2.0]])
    >>> composite = lrp.Composite([(lrp.on.op(torch.Tensor.detach), PassDetached())])
    >>> lrp.explain(lambda x: (3 * x).detach().sum(1), x, composite=composite).input.tolist()
    [[3.0, 6.0]]
    """

    families: ClassVar[frozenset[str]] = frozenset({"detached"})
