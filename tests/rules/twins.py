"""Every rule of linear operations a second time, in the papers' relevance form and in plain loops.

Nothing of `lrp` is used here. An operation is a dense matrix, found by sending unit vectors through it; relevance of
an output unit is shared out among its inputs one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    """The relevance of each input, and what biases and stabilisers kept."""

    relevance: Tensor
    bias: float
    stabiliser: float


def matrix(linear: Function, like: Tensor) -> Matrix:
    """The matrix of a linear function of tensors shaped like `like`: row j holds the weights of output j."""
    columns = []
    for i in range(like.numel()):
        unit = torch.zeros(like.numel(), dtype=like.dtype)
        unit[i] = 1
        columns.append(linear(unit.view(like.shape)).flatten())
    return torch.stack(columns, 1).tolist()


def share(rule: str, epsilon: float, op: Dense, x: Tensor, m: Tensor) -> Shared:
    """Share out the relevance `R_j = z_j m_j` of all outputs among the inputs `x`."""
    contributions = {"Zero": _signed, "Epsilon": _signed, "ZPlus": _positive, "Flat": _flat}[rule]
    values, multipliers = x.flatten().tolist(), m.flatten().tolist()
    relevance, kept_by_bias, kept_by_stabiliser = [0.0] * len(values), 0.0, 0.0
    for weights, bias, connected, multiplier in zip(op.weight, op.bias, op.connected, multipliers, strict=True):
        z = bias
        for value, weight in zip(values, weights, strict=True):
            z += value * weight
        arrived = z * multiplier
        parts, bias_part = contributions(values, weights, bias, connected)
        denominator = sum(parts) + bias_part
        stabiliser = epsilon if denominator >= 0 else -epsilon
        if denominator + stabiliser == 0:  # nothing contributes, and there is no epsilon: nobody gets it
            kept_by_stabiliser += arrived
            continue
        per_unit = arrived / (denominator + stabiliser)
        for i, part in enumerate(parts):
            relevance[i] += part * per_unit
        kept_by_bias += bias_part * per_unit
        kept_by_stabiliser += stabiliser * per_unit
    return Shared(torch.tensor(relevance, dtype=x.dtype).view(x.shape), kept_by_bias, kept_by_stabiliser)


def _signed(x: list[float], w: list[float], b: float, connected: list[float]) -> tuple[list[float], float]:
    """Bach et al. 2015, equations 56 and 58: `x_i w_ij`, and the bias, over their sum."""
    return [xi * wi for xi, wi in zip(x, w, strict=True)], b


def _positive(x: list[float], w: list[float], b: float, connected: list[float]) -> tuple[list[float], float]:
    """Bach et al. 2015, equation 60 with alpha 1: positive `x_i w_ij` alone, over their sum."""
    return [max(xi * wi, 0.0) for xi, wi in zip(x, w, strict=True)], max(b, 0.0)


def _flat(x: list[float], w: list[float], b: float, connected: list[float]) -> tuple[list[float], float]:
    """Bach et al. 2015, section 2.3: one for each input that is joined to the unit, whatever x and w; no bias."""
    return connected, 0.0
