"""Rules for the first layer, which give relevance to inputs that are zero.

Beside the formulas: `x` input, `w` weight, `z` output, `R` the relevance that arrives at `z`, `+`/`-` positive and
negative part, `st(z) = z + epsilon sign(z)` with `sign(0) = +1`, `op(x, w)` the operation without its bias. Biases take
no part, and built-in zero padding counts for nothing: a padded position is no input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from lrp.errors import CompositeError
from lrp.rules.base import WEIGHTED, Kept, check_epsilon, share, sign
from lrp.rules.linear import InputRule, LinearOp

__all__ = ["Box", "Flat", "WSquare"]

Bound = float | Sequence[Any] | Tensor


@dataclass(frozen=True)
class Flat(InputRule):
    """Flat: every input of an output unit gets the same share of its relevance, whatever the weights.

    `R_x = op^T(R_z / st(op(1, 1)))` with all weights and inputs 1, so that padding counts for nothing.
    It gives relevance to inputs that are zero; so it is a rule for the first layer, at a source.

    Args:
        epsilon: in units of the number of inputs of an output unit, at least 0.

    Source: Bach et al. 2015, section 2.3 ("flat weights"); Lapuschkin et al. 2019.

    >>> print(Flat())
    Flat(epsilon=1e-06)
    """

    epsilon: float = 1e-6

    families: ClassVar[frozenset[str]] = WEIGHTED
    kinds: ClassVar[tuple[str, ...]] = ("stabiliser",)

    def __post_init__(self) -> None:
        check_epsilon("Flat", self.epsilon)

    def distribute(self, op: LinearOp, x: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        return _by_weights(op, x, torch.ones_like(op.weight), relevance_out, self.epsilon)


@dataclass(frozen=True)
class WSquare(InputRule):
    """LRP-w²: inputs get shares by their squared weights, whatever their values: `R_x = w²^T (R_z / st(op(1, w²)))`.

    It gives relevance to inputs that are zero; so it is a rule for the first layer, at a source, where inputs can have
    any value.

    Args:
        epsilon: in units of a squared weight, at least 0.

    Source: Montavon et al. 2017, section 4.1 (there without bias, as here).

    >>> print(WSquare())
    WSquare(epsilon=1e-06)
    """

    epsilon: float = 1e-6

    families: ClassVar[frozenset[str]] = WEIGHTED
    kinds: ClassVar[tuple[str, ...]] = ("stabiliser",)

    def __post_init__(self) -> None:
        check_epsilon("WSquare", self.epsilon)

    def distribute(self, op: LinearOp, x: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        return _by_weights(op, x, op.weight.square(), relevance_out, self.epsilon)


def _by_weights(op: LinearOp, x: Tensor, w: Tensor, relevance_out: Tensor, epsilon: float) -> tuple[Tensor, Kept]:
    """Shares in proportion to weights of at least 0, which the inputs' values play no part in."""
    total, transpose = op.partial((torch.ones_like(x), w))
    total = total + epsilon
    q = share(relevance_out, total, epsilon)
    return transpose(q)[0], {
        "stabiliser": lambda: q * epsilon if epsilon else torch.where(total == 0, relevance_out, 0)
    }


@dataclass(frozen=True)
class Box(InputRule):
    """LRP-z^B: the rule for inputs that lie in a box, such as pixels: shares by how far each input is from its bound.

    `R_x = (x w - low w+ - high w-) R_z / st(sum of these)`: an input at the bound that suits its weight least gets
    nothing. It gives relevance to inputs that are zero; so it is a rule for the first layer, at a source.

    `low` and `high` are the smallest and largest values that an input of this layer can have: for normalised images
    `(0 - mean) / std` and `(1 - mean) / std`. Inputs outside of them get negative shares, which still add up.

    Args:
        low, high: a number; or one number per feature, as a sequence or tensor `(C,)`, along the channel axis of
            convolutions and the last axis of linear layers; or a tensor that broadcasts against the input. They are
            kept as numbers and nested tuples.
        epsilon: in units of the output `z`, at least 0.

    Raises:
        CompositeError: a `low` is above its `high`, a bound is not finite, or does not fit the input.

    Source: Montavon et al. 2017, section 4.2.

    >>> print(Box(0, 1))
    Box(low=0, high=1, epsilon=1e-06)
    >>> print(Box(torch.tensor([-2.0, -1.5]), [2.0, 2.5]))
    Box(low=(-2, -1.5), high=(2, 2.5), epsilon=1e-06)
    """

    low: Bound
    high: Bound
    epsilon: float = 1e-6

    families: ClassVar[frozenset[str]] = WEIGHTED
    kinds: ClassVar[tuple[str, ...]] = ("stabiliser",)

    def __post_init__(self) -> None:
        check_epsilon("Box", self.epsilon)
        try:
            low, high = (torch.as_tensor(bound, dtype=torch.float64) for bound in (self.low, self.high))
            ordered = bool((low <= high).all())
            seen = f"low={self.low!r}, high={self.high!r}"
        except (TypeError, ValueError, RuntimeError) as error:
            ordered, seen = False, str(error)
        if not (ordered and low.isfinite().all() and high.isfinite().all()):
            raise CompositeError(
                "low and high must be finite numbers, each low at most its high",
                where="rules.Box",
                seen=seen,
                cure="rules.Box(0, 1), or a number for each channel: rules.Box((-2.1, -2.0, -1.8), (2.2, 2.4, 2.6))",
            )
        object.__setattr__(self, "low", _frozen(low.tolist()))
        object.__setattr__(self, "high", _frozen(high.tolist()))

    def distribute(self, op: LinearOp, x: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        above, below = x - self._bound("low", op, x), x - self._bound("high", op, x)
        total, transpose = op.partial((above, op.weight.clamp(min=0)), (below, op.weight.clamp(max=0)))
        stabiliser = sign(total).mul_(self.epsilon)
        q = share(relevance_out, total + stabiliser, self.epsilon)
        m_above, m_below = transpose(q)
        return above * m_above + below * m_below, {
            "stabiliser": lambda: q * stabiliser if self.epsilon else torch.where(total == 0, relevance_out, 0)
        }

    def _bound(self, name: str, op: LinearOp, x: Tensor) -> Tensor:
        """A bound as a tensor that broadcasts against the input."""
        bound = torch.tensor(getattr(self, name), dtype=x.dtype, device=x.device)
        if bound.dim() == 1:
            bound = bound.view(-1, *[1] * (-1 - op.features))
        try:
            fits = torch.broadcast_shapes(bound.shape, x.shape) == x.shape
        except RuntimeError:
            fits = False
        if not fits:
            raise CompositeError(
                f"{name} does not fit the input",
                where="rules.Box",
                seen=f"{name} of shape {tuple(bound.shape)}, input {tuple(x.shape)}",
                cure="a number, one number per channel, or a tensor that broadcasts against the input",
            )
        return bound


def _frozen(numbers: Any) -> Any:
    return tuple(map(_frozen, numbers)) if isinstance(numbers, list) else float(numbers)
