"""The gates of powers that are no product of factors."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["power"]


def power(input: Tensor, exponent: float) -> Tensor:
    """`x^p / x`; 0 where `x = 0`, as `x^p` is 0 there too and nothing is handed on."""
    if exponent == 0:
        return torch.zeros_like(input)
    return (input ** (exponent - 1)).masked_fill(input == 0, 0.0)
