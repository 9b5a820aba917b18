"""Rules for linear layers and convolutions that treat positive and negative contributions differently.

Beside the formulas: `x` input, `w` weight, `b` bias, `z` output, `m` the multiplier that arrives at `z`
(so that `R(z) = z m`), `+`/`-` positive and negative part, `st(z) = z + epsilon sign(z)` with `sign(0) = +1`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lrp.errors import CompositeError
from lrp.rules.base import WEIGHTED, Kept, check_epsilon, check_number, share, sign
from lrp.rules.linear import LinearOp, LinearRule

__all__ = ["AlphaBeta", "Gamma", "ZPlus"]


@dataclass(frozen=True)
class ZPlus(LinearRule):
    """LRP-z+ (alpha 1, beta 0): relevance goes to the positive contributions alone.

    `z+ = x+ w+ + x- w- + b+`, `q = m z / st(z+)`; `m_x = w+^T q` where `x > 0` and `w-^T q` where `x < 0`.
    The bias keeps `b+ q`, the stabiliser `epsilon q`; where nothing contributes positively it keeps all.

    Args:
        epsilon: in units of the output `z`, at least 0.

    Source: Bach et al. 2015, equation 60 with alpha 1; Montavon et al. 2017, section 4.2 (there without bias).

    >>> print(ZPlus())
    ZPlus(epsilon=1e-06)
    """

    epsilon: float = 1e-6

    families: ClassVar[frozenset[str]] = WEIGHTED
    kinds: ClassVar[tuple[str, ...]] = ("bias", "stabiliser")

    def __post_init__(self) -> None:
        check_epsilon("ZPlus", self.epsilon)

    def propagate(self, op: LinearOp, x: Tensor, z: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        positive = _OneSign(op, x, relevance_out, self.epsilon, 1)
        return positive.m_x, {"bias": positive.bias, "stabiliser": positive.stabiliser}


@dataclass(frozen=True)
class AlphaBeta(LinearRule):
    """LRP-alpha-beta: alpha of the relevance to the positive contributions, -beta of it to the negative ones.

    `z+ = x+ w+ + x- w- + b+`, `z- = x+ w- + x- w+ + b-`, `q+ = alpha m z / st(z+)`, `q- = beta m z / st(z-)`;
    `m_x = w+^T q+ - w-^T q-` where `x > 0` and `w-^T q+ - w+^T q-` where `x < 0`.
    The bias keeps `b+ q+ - b- q-`, the stabiliser `epsilon (q+ + q-)`. Where nothing contributes negatively, alpha of
    the relevance is handed on: the row *one-sided* says -beta of it. Where nothing contributes positively, the
    stabiliser keeps the alpha of it.

    Args:
        alpha: at least 1.
        beta: `alpha - 1`.
        epsilon: in units of the output `z`, at least 0.

    Raises:
        CompositeError: `alpha - beta` is not 1, or a parameter is negative or not finite.

    Source: Bach et al. 2015, equation 60 (there `alpha + beta = 1`); Montavon et al. 2019, section 10.2.3.

    >>> print(AlphaBeta(2, 1))
    AlphaBeta(alpha=2, beta=1, epsilon=1e-06)
    """

    alpha: float = 2
    beta: float = 1
    epsilon: float = 1e-6

    families: ClassVar[frozenset[str]] = WEIGHTED
    kinds: ClassVar[tuple[str, ...]] = ("bias", "stabiliser", "one-sided")

    def __post_init__(self) -> None:
        check_epsilon("AlphaBeta", self.epsilon)
        check_number("AlphaBeta", "alpha", self.alpha, "2, beta=1")
        check_number("AlphaBeta", "beta", self.beta, "1, alpha=2")
        if not math.isclose(self.alpha - self.beta, 1, rel_tol=1e-12):
            raise CompositeError(
                "alpha - beta must be 1, or relevance is made or lost",
                where="rules.AlphaBeta",
                seen=f"alpha={self.alpha!r}, beta={self.beta!r}",
                cure="rules.AlphaBeta(2, 1)",
            )

    def propagate(self, op: LinearOp, x: Tensor, z: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        positive = _OneSign(op, x, self.alpha * relevance_out, self.epsilon, 1)
        if self.beta == 0:
            kept = {"bias": positive.bias, "stabiliser": positive.stabiliser}
            return positive.m_x, {**kept, "one-sided": lambda: torch.zeros_like(relevance_out)}
        negative = _OneSign(op, x, -self.beta * relevance_out, self.epsilon, -1)
        return positive.m_x + negative.m_x, {
            "bias": lambda: positive.bias() + negative.bias(),
            "stabiliser": lambda: positive.stabiliser() + negative.stabiliser() - negative.nowhere(),
            "one-sided": negative.nowhere,
        }


class _OneSign:
    """Relevance shared among the contributions of one sign: `R_x = x m_x`, `m_x = w'^T q`, `q = R / st(z')`.

    `z' = x+ w' + x- w'' + b'`, where `w'` and `b'` have that sign and `w''` the other.
    """

    def __init__(self, op: LinearOp, x: Tensor, relevance: Tensor, epsilon: float, sign: int) -> None:
        of_sign, of_other = (_positive, _negative) if sign > 0 else (_negative, _positive)
        if op.nonnegative:
            z, transpose = op.partial((x, of_sign(op.weight)))
        else:
            z, transpose = op.partial((_positive(x), of_sign(op.weight)), (_negative(x), of_other(op.weight)))
        self._relevance, self._stabiliser = relevance, sign * epsilon
        self._bias = of_sign(op.bias) if op.bias is not None else z.new_zeros(())
        total = z + (self._bias + self._stabiliser)
        # z' has the other sign by rounding alone
        self._total = total.clamp(min=epsilon) if sign > 0 else total.clamp(max=-epsilon)
        self._q = share(relevance, self._total, epsilon)
        parts = transpose(self._q)
        self.m_x = parts[0] if len(parts) == 1 else torch.where(x >= 0, parts[0], parts[1])

    def bias(self) -> Tensor:
        """What the bias keeps."""
        return self._q * self._bias

    def stabiliser(self) -> Tensor:
        """What the stabiliser keeps: everything where nothing contributes."""
        return self._q * self._stabiliser if self._stabiliser else self.nowhere()

    def nowhere(self) -> Tensor:
        """The relevance that arrived where nothing contributes."""
        return torch.where(self._total == self._stabiliser, self._relevance, 0)


def _positive(tensor: Tensor) -> Tensor:
    return tensor.clamp(min=0)


def _negative(tensor: Tensor) -> Tensor:
    return tensor.clamp(max=0)


@dataclass(frozen=True)
class Gamma(LinearRule):
    """LRP-gamma: contributions of the output's sign count `1 + gamma` times, so they outweigh the others.

    For `z > 0`: `u = w + gamma w+` meets `x > 0` and `v = w + gamma w-` meets `x < 0`; the denominator is
    `x+ u + x- v + b + gamma b+`. For `z < 0` u and v swap, and the bias is `b + gamma b-`.
    `q = m z / st(denominator)`; `m_x` uses for each x the weights that it met. The bias keeps its part of the
    denominator times `q`, the stabiliser `epsilon sign(z) q`.
    With gamma 0 it is `Epsilon`; the larger gamma, the nearer it comes to `ZPlus` where `z > 0`.

    Args:
        gamma: at least 0; without unit.
        epsilon: in units of the output `z`, at least 0.

    Raises:
        CompositeError: a parameter is negative or not finite.

    Source: Montavon et al. 2019, section 10.2.1; the mirrored terms, for inputs and outputs of any sign: Andeol et
    al. 2021.

    >>> print(Gamma(0.25))
    Gamma(gamma=0.25, epsilon=1e-06)
    """

    gamma: float = 0.25
    epsilon: float = 1e-6

    families: ClassVar[frozenset[str]] = WEIGHTED
    kinds: ClassVar[tuple[str, ...]] = ("bias", "stabiliser")

    def __post_init__(self) -> None:
        check_epsilon("Gamma", self.epsilon)
        check_number("Gamma", "gamma", self.gamma, "0.25")

    def propagate(self, op: LinearOp, x: Tensor, z: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        if op.nonnegative and op.rectified:
            return self._plain(op, x, z, relevance_out)
        # The weight that meets x under an output of sign s is (1 + g/2) w + g/2 s sign(x) |w|, so two transposes do for
        # all four cases; the denominator is s (|z| + g/2 (a + |z|)) with a = |x| |w| + |b|.
        half = self.gamma / 2
        magnitude, to_magnitude = op.partial((x if op.nonnegative else x.abs(), op.weight.abs()))
        b = op.bias if op.bias is not None else z.new_zeros(())
        size = z.abs() * (1 + half) + (magnitude + b.abs()) * half + self.epsilon
        q_size = share(relevance_out, size, self.epsilon)
        q = q_size * sign(z)
        m_x, m_size = op.transposed(q * (1 + half), x), to_magnitude(q_size * half)[0]
        m_x = m_x + (m_size if op.nonnegative else m_size * sign(x))
        return m_x, {
            "bias": lambda: q * (b * (1 + half)) + q_size * (b.abs() * half),
            "stabiliser": lambda: q_size * self.epsilon if self.epsilon else torch.where(size == 0, relevance_out, 0),
        }

    def _plain(self, op: LinearOp, x: Tensor, z: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        """Where `x >= 0`, and nothing arrives at `z < 0`: the weights `w + gamma w+` alone."""
        raised, transpose = op.partial((x, _raised(op.weight, self.gamma)))
        b = _raised(op.bias, self.gamma) if op.bias is not None else z.new_zeros(())
        # at least z, but for rounding
        total = torch.maximum(raised + b, z) + self.epsilon
        q = share(relevance_out, total, self.epsilon)
        return transpose(q)[0], {"bias": lambda: q * b, "stabiliser": lambda: q * self.epsilon}


def _raised(w: Tensor, gamma: float) -> Tensor:
    return w + gamma * w.clamp(min=0)
