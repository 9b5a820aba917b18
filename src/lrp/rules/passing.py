"""Rules for what is taken for a constant, where relevance ends early, and where it would otherwise be cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lrp.rules.base import Rule

__all__ = ["AsConstant", "PassDetached", "Stop"]


@dataclass(frozen=True)
class AsConstant(Rule):
    """What comes out counts as a constant: what it multiplies takes all, and nothing behind it gets any relevance.

    For whatever weighs, steers or routes and is not to be explained itself: the router of a mixture of experts, weights
    made by another network, the data-dependent parameters of a state-space model. What it is added to leaves its share
    in the ledger row `constant`. `Stop` is for a branch of its own: a product still gives it its share, which stays.

    Args:
        outputs: of a call with several outputs (`split`, `chunk`, `unbind`), the numbers of those that count as
            constants, from 0; empty: all.

    Raises:
        CompositeError: a call has no such output, or overwrites data.

    Source: Jafari et al. 2024 (MambaLRP), section 4; Eberle et al. 2022 and Ali et al. 2022 detach in the same way.

    >>> import torch, lrp
    >>> x = torch.tensor([[3.0, 2.0]])
    >>> composite = lrp.Composite([(lrp.on.op(torch.exp), AsConstant())])
    >>> r = lrp.explain(lambda x: x[:, 0] * torch.exp(x[:, 1]), x, target=lambda y: y, composite=composite)
    >>> r.input
    tensor([[22.1672,  0.0000]])
    """

    outputs: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"AsConstant({f'outputs={self.outputs}' if self.outputs else ''})"

    def fits(self, family: str) -> bool:
        return family == "reshape" if self.outputs else family != "detached"


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
