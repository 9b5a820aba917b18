"""Rules for operations that are linear in the data: linear layers, convolutions, pooling, sums, batch norm.

Beside the formulas: `x` input, `w` weight, `b` bias, `z` output, `m` the multiplier that arrives at `z`
(so that `R(z) = z m`), `+`/`-` positive and negative part, `st(z) = z + epsilon sign(z)` with `sign(0) = +1`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lrp.rules.base import LINEAR, WEIGHTED, Kept, Native, Rule, check_epsilon, stabiliser

__all__ = ["ArrivingRule", "Epsilon", "InputRule", "LinearOp", "LinearRule", "Zero"]


@dataclass(frozen=True)
class LinearOp:
    """One linear op call as a rule sees it: `z = apply(x, weight) + bias`.

    Args:
        apply: the operation without its bias, as a function of the data and the weight.
        weight: its weight.
        bias: its bias, shaped to broadcast against the output, or None.
        nonnegative: whether `x >= 0` holds by the structure of the model (after a ReLU, for example).
        rectified: whether ReLUs alone read the output, so that no relevance arrives where `z < 0`.
        features: the axis of the data along which its features lie, from the end: -1 for linear layers.
        units: the same of the output; None where it is one unit, without an axis of its own.
        transpose: what a multiplier `q` at the output gives to `x`, as a function of (q, x, weight), of which it reads
            the shape of `x` alone; None where it costs as much as `apply` and its gradient.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    weight: Tensor
    bias: Tensor | None
    nonnegative: bool = False
    rectified: bool = False
    features: int = -1
    units: int | None = -1
    transpose: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None

    def partial(self, *terms: tuple[Tensor, Tensor]) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
        """The sum of `apply(x, w)` over the terms, and its transpose: what a multiplier gives to each term's `x`."""
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            inputs = [x if x.requires_grad else x.detach().requires_grad_() for x, _ in terms]
            outputs = [self.apply(x, w) for x, (_, w) in zip(inputs, terms, strict=True)]

        def transpose(q: Tensor) -> tuple[Tensor, ...]:
            return torch.autograd.grad(outputs, inputs, [q] * len(outputs), create_graph=again)

        total = outputs[0] if again else outputs[0].detach()
        for output in outputs[1:]:
            total = total + output
        return total, transpose

    def transposed(self, q: Tensor, x: Tensor) -> Tensor:
        """What a multiplier at the output gives to `x`: `w^T q`."""
        if self.transpose is not None:
            return self.transpose(q, x, self.weight)
        return self.partial((x, self.weight))[1](q)[0]


class ArrivingRule(Rule):
    """A rule that rescales the multiplier arriving at the output and leaves the operation native."""

    def arriving(self, z: Tensor, m: Tensor, units: int | None) -> tuple[Tensor, Kept]:
        """The rescaled multiplier, and what the op call keeps; `units` is the axis of z along which its units lie."""
        raise NotImplementedError


class LinearRule(Rule):
    """A rule that rewrites how a linear operation hands on the relevance that arrives."""

    def propagate(self, op: LinearOp, x: Tensor, z: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        """The multiplier of `x`, and what the op call keeps, of the relevance `m z` that arrived."""
        raise NotImplementedError


class InputRule(Rule):
    """A rule that gives relevance to inputs that are zero, so it yields the relevance of `x`, not its multiplier."""

    def distribute(self, op: LinearOp, x: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        """The relevance of `x`, and what the op call keeps."""
        raise NotImplementedError


@dataclass(frozen=True)
class Zero(Native):
    """LRP-0, also called LRP-Z: each input gets its share of the output, `R_x = x w^T (R_z / z)`.

    In multipliers `m_x = w^T m`, the native gradient. The bias keeps `b m`.

    Source: Bach et al. 2015, equation 58 without stabiliser; Montavon et al. 2019, section 10.2.1.

    >>> print(Zero())
    Zero()
    """

    families: ClassVar[frozenset[str]] = LINEAR | {"reshape", "select", "division"}


@dataclass(frozen=True)
class Epsilon(ArrivingRule):
    """LRP-epsilon: as LRP-0 with a stabilised denominator, `R_x = x w^T (R_z / st(z))`.

    In multipliers `q = m z / st(z)` and `m_x = w^T q`. The bias keeps `b q`, the stabiliser `epsilon sign(z) q`.
    On a sum of tensors or a pooling it is zennit's `Norm`.

    Args:
        epsilon: in units of the output `z`, at least 0.
        relative: epsilon is a share of the root mean square of `z` over its units (the last axis of linear layers, the
            channels of convolutions and batch norm) at each position of each sample, so that it means the same where
            activations are small and where they are large. A sum or a pooling has no units: there is no such rule.

    Source: Bach et al. 2015, equation 58; Montavon et al. 2019, section 10.2.1; the relative one after its tutorial
    (there over a whole layer).

    >>> print(Epsilon(1e-6))
    Epsilon(epsilon=1e-06)
    >>> print(Epsilon(0.25, relative=True))
    Epsilon(epsilon=0.25, relative=True)
    """

    epsilon: float = 1e-6
    relative: bool = False

    families: ClassVar[frozenset[str]] = LINEAR
    kinds: ClassVar[tuple[str, ...]] = ("stabiliser",)

    def __post_init__(self) -> None:
        check_epsilon("Epsilon", self.epsilon)

    def fits(self, family: str) -> bool:
        return family in (WEIGHTED | {"norm"} if self.relative else self.families)

    def arriving(self, z: Tensor, m: Tensor, units: int | None) -> tuple[Tensor, Kept]:
        if self.epsilon == 0:
            return m, {"stabiliser": lambda: torch.zeros_like(m)}
        size = z.abs()
        if not self.relative:
            q = m * (size / (size + self.epsilon))  # z / st(z) with both divided by sign(z)
            return q, {"stabiliser": lambda: q * stabiliser(z, self.epsilon)}
        spread = size if units is None else size.square().mean(units, keepdim=True).sqrt()
        total = size + self.epsilon * spread
        q_relative = m * torch.where(total == 0, 0, size / total)
        return q_relative, {"stabiliser": lambda: q_relative * stabiliser(z, self.epsilon) * spread}
