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


def _added(function: Callable[..., Tensor], **factors: float) -> Apply:
    """`beta * bias + alpha * (x @ weight)` as one call; without a bias it adds zeros, or what `beta=0` leaves out."""

    def apply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        unread = torch.full((1,) if function is not torch.addmv else (), torch.nan, dtype=x.dtype)
        beta = {"beta": 0.0} if bias is None else {}
        return function(unread if bias is None else bias, x, weight, **{**factors, **beta})

    return apply


def _addmm_right(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.addmm(torch.zeros(1, dtype=x.dtype) if bias is None else bias, weight, x, alpha=0.5)


def _without_bias(function: Callable[..., Tensor], *rest: object, **options: object) -> Apply:
    return lambda x, w, _: function(x, w, *rest, **options)


def _from_right(function: Callable[..., Tensor], *rest: object, **options: object) -> Apply:
    return lambda x, w, _: function(w, x, *rest, **options)


def _einsum(equation: str, *others: Tensor, at: int = 0) -> Apply:
    """An einsum of data, a weight and further constants; `at` is the data's place among the operands."""

    def apply(x: Tensor, weight: Tensor, _: Tensor | None) -> Tensor:
        operands = [weight, *others]
        operands.insert(at, x)
        return torch.einsum(equation, *operands)

    return apply


def _bilinear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.bilinear(x, _OTHER, weight, bias)


def _bilinear_right(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.bilinear(_OTHER, x, weight, bias)


def _data_for_weight(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The data stands where a layer has its weight."""
    return F.linear(weight, x, bias)


def _convolution(transposed: bool) -> Apply:
    def apply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.convolution(x, weight, bias, (2, 1), (1, 0), (1, 1), transposed, (int(transposed), 0), 2)

    return apply


def _tbc(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.conv_tbc(x, weight, torch.zeros(weight.shape[2], dtype=x.dtype) if bias is None else bias, 1)


_OTHER = signed(3, 4, seed=91) + 0.1
_TRANSPOSED = (
    call("conv_transpose1d", F.conv_transpose1d, (2, 3, 5), (3, 4, 3), 4),
    call("conv_transpose1d-strided", partial(F.conv_transpose1d, stride=3, dilation=2), (2, 2, 3), (2, 3, 3), 3),
    call("conv_transpose1d-unbatched", partial(F.conv_transpose1d, stride=2), (2, 4), (2, 3, 3), 3),
    call(
        "conv_transpose2d",
        partial(F.conv_transpose2d, stride=2, padding=1, output_padding=1),
        *((2, 2, 3, 3), (2, 3, 3, 2), 3),
    ),
    call("conv_transpose2d-no-bias", F.conv_transpose2d, (2, 3, 2, 3), (3, 2, 2, 2)),
    call(
        "conv_transpose2d-groups",
        partial(F.conv_transpose2d, stride=(2, 1), padding=(1, 0), groups=2),
        *((2, 4, 3, 2), (4, 3, 3, 2), 6),
    ),
    call(
        "conv_transpose2d-depthwise",
        partial(F.conv_transpose2d, groups=3, dilation=(2, 1)),
        *((2, 3, 2, 2), (3, 1, 2, 2), 3),
    ),
    call(
        "conv_transpose3d",
        partial(F.conv_transpose3d, stride=(1, 2, 2), padding=(0, 1, 1), output_padding=(0, 1, 0)),
        *((2, 2, 2, 2, 2), (2, 3, 2, 2, 3), 3),
    ),
    call("conv_transpose3d-groups", partial(F.conv_transpose3d, groups=2), (1, 4, 2, 1, 2), (4, 2, 1, 2, 2), 4),
    call("convolution", _convolution(False), (2, 4, 4, 3), (4, 2, 3, 2), 4),
    call("convolution-transposed", _convolution(True), (2, 4, 3, 2), (4, 3, 3, 2), 6),
    call("conv_tbc", _tbc, (5, 2, 3), (3, 3, 4), 4),
)
_ADDED = (
    call("addmm", _added(torch.addmm), (3, 5), (5, 4), 4),
    call("addmm-factors", _added(torch.addmm, beta=0.5, alpha=-2.0), (3, 5), (5, 4), 4),
    call("addmm-right", _addmm_right, (5, 4), (3, 5), 4),
    call("addmv", _added(torch.addmv, beta=-1.0, alpha=3.0), (4, 5), (5,), 4),
    call("addr", _added(torch.addr, beta=2.0), (3,), (4,), 4),
    call("addbmm", _added(torch.addbmm, alpha=0.5), (2, 3, 5), (2, 5, 4), 4),
    call("baddbmm", _added(torch.baddbmm, beta=2.0, alpha=-1.0), (2, 3, 5), (2, 5, 4), 4),
    call("method-addmm", _added(lambda b, x, w, **f: b.addmm(x, mat2=w, **f)), (3, 5), (5, 4), 4),
)
_PRODUCTS = (
    call("outer", _without_bias(torch.outer), (3,), (4,)),
    call("outer-right", _from_right(torch.outer), (3,), (4,)),
    call("ger", _without_bias(torch.ger), (3,), (4,)),
    call("inner", _without_bias(torch.inner), (2, 3), (4, 3)),
    call("inner-right", _from_right(torch.inner), (4, 3), (2, 3)),
    call("vdot", _from_right(torch.vdot), (8,), (8,)),
    call("kron", _without_bias(torch.kron), (2, 2), (2, 3)),
    call("kron-right", _from_right(torch.kron), (2, 3), (2, 2)),
    call("tensordot", _without_bias(torch.tensordot, dims=([1, 2], [0, 2])), (2, 3, 4), (3, 2, 4)),
    call("tensordot-right", _from_right(torch.tensordot, 1), (3, 4), (2, 3)),
    call("cross", _without_bias(torch.cross, dim=1), (2, 3), (2, 3)),
    call("linalg.cross", _from_right(torch.linalg.cross), (3, 3), (3, 3)),
    call("linalg.vecdot", _without_bias(torch.linalg.vecdot), (3, 6), (3, 6)),
    call("linalg.matmul", _without_bias(torch.linalg.matmul), (2, 3), (3, 4)),
    call("data-for-weight", _data_for_weight, (4, 5), (3, 5), 4),
    call("bilinear", _bilinear, (3, 2), (3, 2, 4), 3),
    call("bilinear-right", _bilinear_right, (3, 2), (3, 4, 2), 3),
    call("einsum", _einsum("ij,jk->ik"), (3, 4), (4, 2)),
    call("einsum-implicit", _einsum("ba,bc", at=1), (3, 4), (3, 2)),
    call("einsum-ellipsis", _einsum("...ij,kj->...ki"), (2, 3, 4), (2, 4)),
    call("einsum-diagonal", _einsum("iij,jk->k"), (3, 3, 2), (2, 4)),
    call("einsum-list", lambda x, w, _: torch.einsum("ij,jk->ki", [x, w]), (3, 4), (4, 2)),
    call("einsum-numbers", lambda x, w, _: torch.einsum(w, [1, 30], x, [0, 1]), (3, 4), (4, 2)),
    call("einsum-three", _einsum("bi,oij,bj->bo", _OTHER), (3, 2), (5, 2, 4)),
    call("einsum-three-data-last", _einsum("oij,bj, ...bi -> ...ob", _OTHER, at=2), (2, 3, 2), (5, 2, 4)),
    call("einsum-three-implicit", _einsum("...a,ab,...b", _OTHER[:, :2] + 2, at=1), (4, 2), (3, 4)),
    call(
        "einsum-three-numbers",
        lambda x, w, _: torch.einsum(x, [..., 1], w, [2, 1], _OTHER[:, :2] + 2, [0, 3], [..., 2, 0]),
        *((2, 3), (4, 3)),
    ),
)

LINEAR_CALLS: dict[str, LinearCall] = {
    case.name: case for case in (*_LINEAR, *_MATMUL, *_CONV, *_TRANSPOSED, *_ADDED, *_PRODUCTS)
}
