"""Calls of operations that are linear in their data, each with a small signed input, a weight and perhaps a bias.

Inputs and weights hold exact zeros: a rule that divides by a weight or an input, or that counts nonzero weights, is
found out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from zlib import crc32

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.cases.networks import signed

Apply = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class LinearCall:
    """`apply(x, weight, bias)` is one op call; `apply(x, weight, None)` is the same without its bias."""

    name: str
    apply: Apply
    x: Tensor
    weight: Tensor
    bias: Tensor | None = None


def call(name: str, apply: Apply, x: tuple[int, ...], weight: tuple[int, ...], bias: int = 0) -> LinearCall:
    """A call on random numbers of these shapes, seeded by its name; without `bias` it has none."""
    seed = crc32(name.encode()) % 10_000
    b = signed(bias, seed=seed + 2) if bias else None
    return LinearCall(name, apply, signed(*x, seed=seed), signed(*weight, seed=seed + 1), b)


def _keywords(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(bias=bias, weight=weight, input=x)


def _conv_keywords(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.conv2d(x, weight=weight, stride=2, bias=bias, groups=2)


_LINEAR = (
    call("linear", F.linear, (3, 5), (4, 5), 4),
    call("linear-no-bias", F.linear, (3, 5), (4, 5)),
    call("linear-3d", F.linear, (2, 3, 5), (4, 5), 4),
    call("linear-vector", F.linear, (5,), (4, 5), 4),
    call("linear-keywords", _keywords, (3, 5), (4, 5), 4),
    call("linear-one-unit", F.linear, (3, 6), (1, 6), 1),
)
_MATMUL = (
    call("x@w", lambda x, w, _: x @ w, (3, 5), (5, 4)),
    call("w@x", lambda x, w, _: w @ x, (5, 3), (4, 5)),
    call("x@w-3d", lambda x, w, _: x @ w, (2, 3, 5), (5, 4)),
    call("w@x-3d", lambda x, w, _: torch.matmul(w, x), (2, 5, 3), (4, 5)),
    call("x@w-batched-weight", lambda x, w, _: x.matmul(w), (3, 5), (2, 5, 4)),
    call("w@x-batched-weight", lambda x, w, _: torch.matmul(w, other=x), (5, 3), (2, 4, 5)),
    call("mm-left", lambda x, w, _: torch.mm(x, w), (3, 5), (5, 4)),
    call("mm-right", lambda x, w, _: torch.mm(w, mat2=x), (5, 3), (4, 5)),
    call("bmm-left", lambda x, w, _: torch.bmm(x, w), (2, 3, 5), (2, 5, 4)),
    call("bmm-right", lambda x, w, _: w.bmm(x), (2, 5, 3), (2, 4, 5)),
    call("mv-left", lambda x, w, _: torch.mv(x, w), (4, 5), (5,)),
    call("mv-right", lambda x, w, _: torch.mv(w, vec=x), (5,), (4, 5)),
    call("dot", lambda x, w, _: torch.dot(w, x), (5,), (5,)),
    call("rmatmul", lambda x, w, _: x.__rmatmul__(w), (5, 3), (4, 5)),
)
_CONV = (
    call("conv1d", F.conv1d, (2, 3, 7), (4, 3, 3), 4),
    call("conv1d-strided-dilated", partial(F.conv1d, stride=2, padding=3, dilation=2), (2, 2, 8), (3, 2, 3), 3),
    call("conv1d-same", partial(F.conv1d, padding="same", dilation=2), (2, 2, 6), (3, 2, 3)),
    call("conv1d-depthwise", partial(F.conv1d, padding=1, groups=3), (2, 3, 6), (6, 1, 3), 6),
    call("conv1d-unbatched", partial(F.conv1d, padding=1), (2, 6), (3, 2, 3), 3),
    call("conv2d", F.conv2d, (2, 2, 4, 4), (3, 2, 2, 3), 3),
    call("conv2d-no-bias", partial(F.conv2d, padding=1), (2, 2, 4, 3), (3, 2, 3, 3)),
    call("conv2d-groups", partial(F.conv2d, stride=(2, 1), padding=(1, 2), groups=2), (2, 4, 4, 3), (4, 2, 3, 2), 4),
    call("conv2d-same-dilated", partial(F.conv2d, padding="same", dilation=(1, 2)), (2, 2, 4, 4), (2, 2, 3, 3), 2),
    call("conv2d-valid", partial(F.conv2d, padding="valid"), (2, 2, 4, 4), (2, 2, 3, 3), 2),
    call("conv2d-skips-pixels", partial(F.conv2d, stride=3), (2, 2, 5, 5), (3, 2, 2, 2), 3),
    call("conv2d-depthwise", partial(F.conv2d, padding=1, groups=3), (2, 3, 3, 4), (3, 1, 3, 3), 3),
    call("conv2d-keywords", _conv_keywords, (2, 4, 4, 4), (4, 2, 2, 2), 4),
    call("conv2d-unbatched", partial(F.conv2d, padding=1), (2, 4, 3), (3, 2, 3, 3), 3),
    call("conv3d", partial(F.conv3d, padding=1, stride=(1, 2, 2)), (2, 2, 2, 3, 3), (3, 2, 3, 2, 2), 3),
    call("conv3d-groups", partial(F.conv3d, groups=2, dilation=(1, 1, 2)), (2, 2, 2, 2, 4), (4, 1, 2, 1, 2)),
)

LINEAR_CALLS: dict[str, LinearCall] = {case.name: case for case in (*_LINEAR, *_MATMUL, *_CONV)}
