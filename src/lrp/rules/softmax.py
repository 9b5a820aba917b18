"""Rules for softmax, where it weighs values or stands on its own.

Beside the formulas: `x` input, `z` or `s` output, `m` the multiplier that arrives at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lrp.rules.base import Kept, Rule

__all__ = ["MASKED", "Constant", "SoftmaxRule", "Taylor"]


MASKED = -1e37
"""A score below this is a mask, which absorbs what it is added to in every type that can hold it."""


class SoftmaxRule(Rule):
    """Says what the scores that go into a softmax receive."""

    families: ClassVar[frozenset[str]] = frozenset({"softmax"})

    def softmax(self, x: Tensor, z: Tensor, m: Tensor, dim: int, log: bool) -> tuple[Tensor | None, Kept]:
        """The multiplier of `x` (None: nothing), and what the op call keeps."""
        raise NotImplementedError


@dataclass(frozen=True)
class Taylor(SoftmaxRule):
    """Softmax by its first-order Taylor expansion: `R_x = x (R_z - s sum R_z)`, the native vector-Jacobian product.

    In multipliers `m_x = s (m - sum s m)`. It does not conserve by design: `sum R_z - sum R_x` stays as *softmax*. For
    log-softmax `z = x - logsumexp(x)`: `m_x = m - p sum m`, and the entropy of `p` times `-sum m` stays.
    Masked scores (`-inf`, or next to the least number of their type) carry nothing.

    Source: Achtibat et al. 2024 (AttnLRP), proposition 3.1.

    >>> print(Taylor())
    Taylor()
    """

    kinds: ClassVar[tuple[str, ...]] = ("softmax",)

    def softmax(self, x: Tensor, z: Tensor, m: Tensor, dim: int, log: bool) -> tuple[Tensor | None, Kept]:
        x = x.to(z.dtype)
        if log:
            m_x = m - z.exp() * m.sum(dim, keepdim=True)
        else:
            m_x = z * (m - (z * m).sum(dim, keepdim=True))
            # beside others a masked entry has the multiplier 0; where all are masked they have equal weights
            m_x = torch.where(x <= MASKED, torch.zeros_like(m_x), m_x)
        return m_x, {"softmax": lambda: _relevance(z, m) - _relevance(x, m_x)}


@dataclass(frozen=True)
class Constant(SoftmaxRule):
    """What only weighs or scales counts as a constant.

    On softmax: the scores get nothing, `R_x = 0`, and what arrives at the weights stays as *gate*.
    With `SignalTakesAll` on the products that the weights are factors of nothing arrives here, and nothing is kept:
    that is CP-LRP. With `Uniform` it is the half that the weights received.
    Log-softmax is no weight, so it is refused by name where it lies on the way.

    On layer, group, instance and RMS norm, whose only rule it is: the denominator is a constant, the centring is live.
    With `z = (x - mean) s w + b`, `m_x = s (w m - mean(w m))`, and `m b` stays as *shift*.

    Source: Ali et al. 2022 (XAI for Transformers), sections 4.1 and 4.2.

    >>> print(Constant())
    Constant()
    """

    families: ClassVar[frozenset[str]] = frozenset({"softmax", "normaliser"})
    kinds: ClassVar[tuple[str, ...]] = ("gate",)

    def softmax(self, x: Tensor, z: Tensor, m: Tensor, dim: int, log: bool) -> tuple[Tensor | None, Kept]:
        return None, {"gate": lambda: _relevance(z, m)}


def _relevance(t: Tensor, m: Tensor) -> Tensor:
    """`t m`, and 0 where the multiplier is 0, whatever the value."""
    return torch.where(m == 0, torch.zeros_like(m), t * m)
