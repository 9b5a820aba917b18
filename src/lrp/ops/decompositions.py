"""Operations written out as smaller ones, each as the same function of its arguments.

They run under the function mode, so every smaller call gets its own rule; the value is that of the fused function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["DECOMPOSITIONS"]


def glu(input: Tensor, dim: int = -1) -> Tensor:
    signal, gate = torch.chunk(input, 2, dim)
    return signal * torch.sigmoid(gate)


DECOMPOSITIONS: dict[str, Callable[..., Any]] = {function.__name__: function for function in (glu,)}
"""Torch function name -> the same written out."""
