"""Rules for activations.

Beside the formulas: `x` input, `z` output, `m` the multiplier that arrives at `z`, `phi` the activation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from lrp.rules.base import Kept, Rule

__all__ = ["Activation", "Gate", "Pass", "PointwiseRule"]


class Activation(Protocol):
    """One call of an activation `phi` as a rule sees it."""

    def gate(self, x: Tensor) -> Tensor:
        """`(phi(x) - phi(0)) / x`, with its limit at 0."""

    def offset(self, x: Tensor) -> Tensor:
        """`phi(0)`; `phi(x)` where x is infinite, which hands nothing on."""


class PointwiseRule(Rule):
    """A rule that multiplies the arriving multiplier by a factor per element."""

    families: ClassVar[frozenset[str]] = frozenset({"activation"})
    kinds: ClassVar[tuple[str, ...]] = ("shift",)

    needs_output: ClassVar[bool] = False
    """Whether it reads `z`; what is not read is not saved."""

    def factor(self, activation: Activation, x: Tensor, z: Tensor) -> Tensor:
        """What the multiplier is multiplied by."""
        raise NotImplementedError

    def kept(self, activation: Activation, x: Tensor, z: Tensor, m: Tensor) -> Kept:
        """What the op call keeps."""
        raise NotImplementedError

    def hand_on(
        self, activation: Activation | None, x: Tensor, z: Tensor, relevance_out: Tensor
    ) -> tuple[Tensor, Kept]:
        """The rule in relevance form: the relevance of `x`, and what the op call keeps."""
        raise NotImplementedError


@dataclass(frozen=True)
class Gate(PointwiseRule):
    """An activation is a gate on its input: `m_x = m (phi(x) - phi(0)) / x`, the derivative where `x = 0`.

    The gates are written analytically (`sigmoid(x)` for SiLU), never as `phi(x) / (x + 1e-10)`.
    The offset keeps `m phi(0)`: for a sigmoid the half that does not come from the input. For ReLU the gate is the
    gradient.

    Source: Achtibat et al. 2024 (AttnLRP), section 3.3 (there for activations with `phi(0) = 0`).

    >>> print(Gate())
    Gate()
    """

    def factor(self, activation: Activation, x: Tensor, z: Tensor) -> Tensor:
        return activation.gate(x)

    def kept(self, activation: Activation, x: Tensor, z: Tensor, m: Tensor) -> Kept:
        return {"shift": lambda: m * activation.offset(x)}

    def hand_on(
        self, activation: Activation | None, x: Tensor, z: Tensor, relevance_out: Tensor
    ) -> tuple[Tensor, Kept]:
        assert activation is not None
        offset = activation.offset(x)
        change = torch.where(x.isfinite(), activation.gate(x) * x, 0)  # phi(x) - phi(0)
        # with no offset all of it is handed on, also by a unit that is zero; else by z itself: where a sigmoid is
        # nearly 0, the sum of change and offset is rounding alone
        whole = (offset == 0) | (z == 0)
        share = torch.where(whole, torch.ones_like(x), change / z)
        kept = torch.where(whole, torch.zeros_like(x), offset / z)
        return relevance_out * share, {"shift": lambda: relevance_out * kept}


@dataclass(frozen=True)
class Pass(PointwiseRule):
    """Relevance passes unchanged, `R_x = R_z`: zennit's rule for activations and for batch norm on its own.

    In multipliers `m_x = m z / x`. Where `x = 0` nothing can be handed on: the op call keeps `m z` as *shift*. Behind a
    ReLU a batch norm meets many zeros, so with this rule on one the whole run carries relevance instead of multipliers,
    and nothing is kept.

    Source: Anders et al. 2021 (zennit), rule `Pass`.

    >>> print(Pass())
    Pass()
    """

    families: ClassVar[frozenset[str]] = frozenset({"activation", "norm"})
    needs_output: ClassVar[bool] = True

    def factor(self, activation: Activation, x: Tensor, z: Tensor) -> Tensor:
        return torch.where(x == 0, 0, z / x)

    def kept(self, activation: Activation, x: Tensor, z: Tensor, m: Tensor) -> Kept:
        return {"shift": lambda: torch.where(x == 0, m * z, torch.zeros_like(m))}

    def hand_on(
        self, activation: Activation | None, x: Tensor, z: Tensor, relevance_out: Tensor
    ) -> tuple[Tensor, Kept]:
        return relevance_out, {"shift": lambda: torch.zeros_like(relevance_out)}
