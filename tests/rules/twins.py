"""Every rule of linear operations a second time, in the papers' relevance form and in plain loops.

Nothing of `lrp` is used here. An operation is a dense matrix, found by sending unit vectors through it; relevance of
an output unit is shared out among its inputs one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
Matrix = list[list[float]]


@dataclass(frozen=True)
class Dense:
    """`z_j = sum_i weight[j][i] x_i + bias[j]`; `connected[j][i]` is 1 where the operation joins i to j, else 0."""

    weight: Matrix
    bias: list[float]
    connected: Matrix


@dataclass(frozen=True)
class Shared:
    """The relevance of each input, and what was kept by kind of ledger row."""

    relevance: Tensor
    kept: dict[str, float]


def matrix(linear: Function, like: Tensor) -> Matrix:
    """The matrix of a linear function of tensors shaped like `like`: row j holds the weights of output j."""
    columns = []
    for i in range(like.numel()):
        unit = torch.zeros(like.numel(), dtype=like.dtype)
        unit[i] = 1
        columns.append(linear(unit.view(like.shape)).flatten())
    return torch.stack(columns, 1).tolist()


def joined(linear: Function, like: Tensor) -> Matrix:
    """1 where a linear function joins input i to output j, else 0."""
    return [[float(weight != 0) for weight in row] for row in matrix(linear, like)]


def share(rule: str, op: Dense, x: Tensor, m: Tensor, *, epsilon: Any = 0.0, **parameters: Any) -> Shared:
    """Share out the relevance `R_j = z_j m_j` of all outputs among the inputs `x`.

    `epsilon` is a number, or a list with one for each output.
    """
    epsilons = epsilon if isinstance(epsilon, list) else [epsilon] * len(op.bias)
    contributions = CONTRIBUTIONS[rule]
    values, multipliers = x.flatten().tolist(), m.flatten().tolist()
    relevance, kept = [0.0] * len(values), {"bias": 0.0, "stabiliser": 0.0, "one-sided": 0.0}
    units = zip(op.weight, op.bias, op.connected, multipliers, epsilons, strict=True)
    for weights, bias, connected, multiplier, epsilon in units:
        z = bias
        for value, weight in zip(values, weights, strict=True):
            z += value * weight
        if z == 0 and rule == "ResidualGamma":  # LRP-0 there
            relevance = [r + multiplier * x_i * w for r, x_i, w in zip(relevance, values, weights, strict=True)]
        for side in contributions(Unit(values, weights, bias, connected, z), **parameters):
            arrived = side.factor * z * multiplier
            denominator = sum(side.parts) + side.bias
            stabiliser = epsilon if denominator >= 0 else -epsilon
            kind = "one-sided" if side.factor < 0 and denominator == 0 else "stabiliser"
            if denominator + stabiliser == 0:  # nothing contributes, and there is no epsilon: nobody gets it
                kept[kind] += arrived
                continue
            per_unit = arrived / (denominator + stabiliser)
            for i, part in enumerate(side.parts):
                relevance[i] += part * per_unit
            kept["bias"] += side.bias * per_unit
            kept[kind] += stabiliser * per_unit
    return Shared(torch.tensor(relevance, dtype=x.dtype).view(x.shape), kept)


@dataclass(frozen=True)
class Unit:
    """One output: all inputs, its weights to them, its bias, whether they are joined to it, and its value."""

    x: list[float]
    w: list[float]
    b: float
    connected: list[float]
    z: float

    @property
    def products(self) -> list[float]:
        return [xi * wi for xi, wi in zip(self.x, self.w, strict=True)]


@dataclass(frozen=True)
class Side:
    """`factor` times the relevance of a unit is shared out in proportion to `parts` and `bias`."""

    parts: list[float]
    bias: float = 0.0
    factor: float = 1.0


def _signed(unit: Unit) -> list[Side]:
    """Bach et al. 2015, equations 56 and 58: `x_i w_ij`, and the bias, over their sum."""
    return [Side(unit.products, unit.b)]


def _positive(unit: Unit) -> list[Side]:
    """Bach et al. 2015, equation 60 with alpha 1: positive `x_i w_ij` alone, over their sum."""
    return [Side([max(part, 0.0) for part in unit.products], max(unit.b, 0.0))]


def _alpha_beta(unit: Unit, alpha: float, beta: float) -> list[Side]:
    """Bach et al. 2015, equation 60: positive and negative `x_i w_ij`, each over their own sum."""
    negative = Side([min(part, 0.0) for part in unit.products], min(unit.b, 0.0), -beta)
    return [Side([max(part, 0.0) for part in unit.products], max(unit.b, 0.0), alpha), negative]


def _gamma(unit: Unit, gamma: float) -> list[Side]:
    """Montavon et al. 2019, Andeol et al. 2021: `x_i w_ij`, those of the output's sign `1 + gamma` times."""

    def raised(part: float) -> float:
        return part * (1 + gamma) if part * unit.z > 0 else part

    return [Side([raised(part) for part in unit.products], raised(unit.b))]


def _flat(unit: Unit) -> list[Side]:
    """Bach et al. 2015, section 2.3: one for each input that is joined to the unit, whatever x and w; no bias."""
    return [Side(unit.connected)]


def _squared(unit: Unit) -> list[Side]:
    """Montavon et al. 2017, section 4.1: the squared weights; no bias."""
    return [Side([w * w for w in unit.w])]


def _box(unit: Unit, low: Any, high: Any) -> list[Side]:
    """Montavon et al. 2017, section 4.2: `x_i w_ij - low_i w_ij+ - high_i w_ij-`; no bias. A bound is a number, or a
    list with one for each input."""
    lows, highs = ([each] * len(unit.x) if isinstance(each, (int, float)) else each for each in (low, high))
    every = zip(unit.x, unit.w, lows, highs, strict=True)
    return [Side([x * w - below * max(w, 0.0) - above * min(w, 0.0) for x, w, below, above in every])]


CONTRIBUTIONS: dict[str, Callable[..., list[Side]]] = {
    "Zero": _signed,
    "Epsilon": _signed,
    "ZPlus": _positive,
    "AlphaBeta": _alpha_beta,
    "Gamma": _gamma,
    "ResidualGamma": _gamma,
    "Flat": _flat,
    "WSquare": _squared,
    "Box": _box,
}
