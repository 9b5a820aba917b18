"""A rule for sums of two data tensors, such as residual additions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lrp.rules.base import Rule, check_number

__all__ = ["ResidualGamma"]


@dataclass(frozen=True)
class ResidualGamma(Rule):
    """LRP-gamma for a sum of two tensors: what has the sign of the sum counts `1 + gamma` times.

    For `z = a + b`, with `W(u) = 1 + gamma` where `u z > 0`, else 1: `m_a = m z W(a) / (W(a) a + W(b) b)`, and
    `m_a = m_b = m` where `z = 0`. Nothing is kept. Where a and b nearly cancel, LRP-0 hands on much more than arrived,
    with both signs; here no share exceeds `1 + 1/gamma` of it.
    In `a - b` and `a + alpha b` it is `-b` and `alpha b` that take part. With gamma 0 it is LRP-0.

    Args:
        gamma: at least 0; without unit.

    Raises:
        CompositeError: gamma is negative or not finite.

    Source: ResLRP, 2026 (there without the factor `z`, so that it would not conserve).

    >>> import torch, lrp
    >>> a, b = torch.tensor([3.0]), torch.tensor([-1.0])
    >>> entries = [(lrp.on.sum, ResidualGamma(1))]
    >>> r = lrp.explain(torch.add, (a, b), target=lambda z: z, composite=lrp.Composite(entries))
    >>> [round(float(each), 4) for each in r.input]  # 2 goes as 2 3 and -1, which add up to 5
    [2.4, -0.4]
    """

    gamma: float = 1.0

    families: ClassVar[frozenset[str]] = frozenset({"sum"})

    def __post_init__(self) -> None:
        check_number("ResidualGamma", "gamma", self.gamma, "1")

    def factors(self, z: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """`m_a / m` and `m_b / m` for the summands a and b of z.

        The denominator `W(a) a + W(b) b` is `z` and gamma times the summands of z's sign, so it has z's sign and at
        least its size: it vanishes where z does, and nowhere else.
        """
        with_a, with_b = a * z > 0, b * z > 0
        aligned = torch.where(with_a, a.abs(), 0) + torch.where(with_b, b.abs(), 0)
        size = z.abs()
        alone = torch.where(z == 0, 1, size / (size + self.gamma * aligned))
        raised = alone * (1 + self.gamma)
        return torch.where(with_a, raised, alone), torch.where(with_b, raised, alone)
