"""Models written in ordinary PyTorch that LRP tools built on module hooks explain wrongly without a word.

Each comes with the LRP-0 map it should have, from a closed form written out by hand or from the same model written
with every part its own module. Weights are small whole numbers and there are no biases, so that the maps can be
checked on paper and every right map sums to the explained output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class BlindSpot:
    """A model with one output, an input of one sample, and the true relevance of that input."""

    name: str
    why: str
    build: Callable[[], nn.Module]
    x: Tensor
    truth: Callable[[], Tensor]


def _tensor(*rows: list[float] | float) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    layer.weight = nn.Parameter(weight.clone())
    return layer


def through_linear(x: Tensor, weight: Tensor, relevance: Tensor) -> Tensor:
    """LRP-0 through `x @ weight.T`, written out: `R_i = sum_j x_i w_ji / z_j R_j`."""
    parts = x[:, None, :] * weight[None]
    return (parts / parts.sum(-1, keepdim=True) * relevance[:, :, None]).sum(1)


A = _tensor([2, -1, 1], [1, 1, -2], [-1, 3, 1])
HEAD = _tensor([1, 2, -1])
X = _tensor([1, 2, 3])
X_GELU = X / 4  # where GELU is far from ReLU


class ResidualAddition(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = _linear(A), _linear(HEAD)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.fc(x))


def residual_truth() -> Tensor:
    branch = X @ A.T
    total = X + branch
    relevance = through_linear(total, HEAD, total @ HEAD.T)
    # each summand gets its share of the sum, with its sign
    return relevance * X / total + through_linear(X, A, relevance * branch / total)


class FunctionalGELU(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = _linear(A), _linear(HEAD)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.gelu(self.fc(x)))


def gelu_truth() -> Tensor:
    z = X_GELU @ A.T
    hidden = z * (1 + torch.erf(z / 2**0.5)) / 2
    # an activation hands its relevance on, unit by unit
    return through_linear(X_GELU, A, through_linear(hidden, HEAD, hidden @ HEAD.T))


class FunctionalLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.head = nn.Parameter(A.clone()), _linear(HEAD)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(F.linear(x, self.weight)))


def linear_truth() -> Tensor:
    hidden = torch.relu(X @ A.T)
    return through_linear(X, A, through_linear(hidden, HEAD, hidden @ HEAD.T))


class LinearTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = _linear(A), _linear(HEAD)
        self.act1, self.act2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act2(self.fc(self.act1(self.fc(x)))))


def linear_twice_truth() -> Tensor:
    first = torch.relu(X @ A.T)
    second = torch.relu(first @ A.T)
    relevance = through_linear(second, HEAD, second @ HEAD.T)
    return through_linear(X, A, through_linear(first, A, relevance))


BLIND_SPOTS: dict[str, BlindSpot] = {
    spot.name: spot
    for spot in (
        BlindSpot("residual", "x + self.fc(x)", ResidualAddition, X, residual_truth),
        BlindSpot("gelu", "F.gelu", FunctionalGELU, X_GELU, gelu_truth),
        BlindSpot("linear", "F.linear", FunctionalLinear, X, linear_truth),
        BlindSpot("twice", "one Linear used twice", LinearTwice, X, linear_twice_truth),
    )
}
