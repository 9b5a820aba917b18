"""Rules for products of data factors: gates, attention weights times values, elementwise products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lrp.errors import CompositeError
from lrp.rules.base import Rule

__all__ = ["ProductRule", "SignalTakesAll", "Uniform"]


class ProductRule(Rule):
    """Says which factors of a product share its relevance; the others count as constants."""

    families: ClassVar[frozenset[str]] = frozenset({"product"})

    def signals(self, gates: Sequence[bool], factors: Sequence[int]) -> tuple[list[int], str]:
        """The factors that share, out of `factors`, and what the plan says of it.

        Args:
            gates: whether each factor is a gate, known by the structure of the model.
            factors: the factors' positions.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Uniform(ProductRule):
    """A product of n data factors gives each factor 1/n of its relevance, so `a * b` gives half to each.

    In multipliers `m_a = m b / n`. Chains count factors, so that `(a * b) * c` and `a * (b * c)` give one map.

    Source: Achtibat et al. 2024 (AttnLRP), equation 13 and appendix A.3.

    >>> print(Uniform())
    Uniform()
    """

    def signals(self, gates: Sequence[bool], factors: Sequence[int]) -> tuple[list[int], str]:
        return list(factors), ""


@dataclass(frozen=True)
class SignalTakesAll(ProductRule):
    """A product of a gate and a signal gives all its relevance to the signal: the gate counts as a constant.

    In multipliers `m_signal = m gate`. Gates are known by the structure of the model: what comes out of a sigmoid,
    hardsigmoid, softmax or exponential, also as `1 - gate`, scaled by constants, moved or cut; softmax weights times
    values too. An exponential is one wherever it is a factor (the gates of xLSTM, the decays of RWKV, the scale of a
    flow): `x exp(s)` is `x / exp(-s)`, whose denominator counts as a constant under every rule.
    Where no factor is a gate, or every one is, it is `Uniform`, and the plan says so.

    Args:
        signal: the number of the data operand that takes all, from 0, whatever the operands are; None goes by
            structure.

    Raises:
        CompositeError: a product has no such operand.

    Source: Arras et al. 2017 (LSTM: LRP-all); Ali et al. 2022 (attention weights as constants). For exponentials ours.

    >>> print(SignalTakesAll())
    SignalTakesAll()
    >>> print(SignalTakesAll(signal=1))
    SignalTakesAll(signal=1)
    """

    signal: int | None = None

    def __str__(self) -> str:
        return f"SignalTakesAll({'' if self.signal is None else f'signal={self.signal}'})"

    def signals(self, gates: Sequence[bool], factors: Sequence[int]) -> tuple[list[int], str]:
        if self.signal is not None:
            if self.signal not in factors:
                raise CompositeError(
                    "a product has no such operand",
                    where=f"rules.{self}",
                    seen=f"data operands {', '.join(map(str, factors))}",
                    cure="rules.SignalTakesAll() goes by structure",
                )
            return [self.signal], f"operand {self.signal} takes all"
        signals = [factor for gate, factor in zip(gates, factors, strict=True) if not gate]
        if len(signals) in (0, len(factors)):
            return list(factors), f"{'every' if not signals else 'no'} factor is a gate, so Uniform"
        return signals, "gates count as constants"
