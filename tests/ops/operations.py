"""Ordinary operations as functions of one data tensor, with the shape of an input for each.

`AFFINE` is linear in its data up to constants, so LRP-0 is the native gradient times the input and what is left over
is what its constants give at an input of zero. `SELECTING` picks elements: the native gradient says which.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.cases.networks import signed

Operation = tuple[Callable[[Tensor], Tensor], tuple[int, ...]]

C = signed(2, 3, 4, seed=51) + 0.25
MASK = torch.tensor([True, False, False, True])
ROWS = torch.tensor([[0, 2], [1, 1]])


def last(parts: object) -> Tensor:
    """Of several outputs the last and the first; what is between them is off the way."""
    parts = tuple(parts)
    return torch.cat([parts[-1].reshape(1, -1), parts[0].reshape(1, -1)], 1)


def written(write: Callable[[Tensor], object]) -> Callable[[Tensor], Tensor]:
    """An in-place operation on a copy of the data."""

    def function(x: Tensor) -> Tensor:
        y = x.clone()
        write(y)
        return y

    return function


def set_item(key: object, value: object) -> Callable[[Tensor], Tensor]:
    return written(lambda y: y.__setitem__(key, value))


def into_constant(x: Tensor) -> Tensor:
    y = C.clone()
    y[:, 1] = x[:, 0]
    return y


def norm(function: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    mean, var, weight, bias = (signed(3, seed=60 + i) for i in range(4))
    if function is F.batch_norm:
        return lambda x: F.batch_norm(x, mean, var.abs() + 0.5, weight, bias, eps=1e-3)
    return lambda x: torch.batch_norm(x, weight, bias, mean, var.abs() + 0.5, False, 0.1, 1e-3, False)


S = (2, 3, 4)
MOVING: dict[str, Operation] = {
    "reshape": (lambda x: x.reshape(3, 8), S),
    "torch.reshape": (lambda x: torch.reshape(x, (4, -1)), S),
    "view": (lambda x: x.view(6, 4), S),
    "permute": (lambda x: x.permute(2, 0, 1), S),
    "torch.permute": (lambda x: torch.permute(x, (1, 0, 2)), S),
    "transpose": (lambda x: x.transpose(0, 2), S),
    "T": (lambda x: x.T, (3, 4)),
    "mT": (lambda x: x.mT, S),
    "H": (lambda x: x.H, (3, 4)),
    "t": (lambda x: x.t(), (3, 4)),
    "movedim": (lambda x: x.movedim(0, -1), S),
    "swapaxes": (lambda x: torch.swapaxes(x, 0, 1), S),
    "flatten": (lambda x: x.flatten(1), S),
    "torch.flatten": (lambda x: torch.flatten(x, start_dim=1), S),
    "unflatten": (lambda x: x.unflatten(2, (2, 2)), S),
    "squeeze": (lambda x: x.squeeze(1).squeeze(), (2, 1, 3, 1)),
    "unsqueeze": (lambda x: x.unsqueeze(1).unsqueeze(-1), S),
    "unsqueeze_": (written(lambda y: y.unsqueeze_(0)), S),
    "expand": (lambda x: x.expand(2, 3, 4), (2, 1, 4)),
    "expand_as": (lambda x: x.expand_as(C), (2, 3, 1)),
    "broadcast_to": (lambda x: torch.broadcast_to(x, (2, 3, 4)), (3, 1)),
    "chunk": (lambda x: last(x.chunk(2, 1)), (2, 4, 3)),
    "split": (lambda x: last(x.split(2, 2)), S),
    "split-sizes": (lambda x: last(torch.split(x, [1, 3], dim=2)), S),
    "tensor_split": (lambda x: last(x.tensor_split(3, 2)), S),
    "unbind": (lambda x: last(x.unbind(1)), S),
    "iterate": (lambda x: last(row for row in x), S),
    "getitem-int": (lambda x: x[:, 1], S),
    "getitem-slices": (lambda x: x[:, 1:, ::2], S),
    "getitem-ellipsis-none": (lambda x: x[..., None, -1], S),
    "getitem-mask": (lambda x: x[:, :, MASK], S),
    "getitem-full-mask": (lambda x: x[C > 0], S),
    "getitem-index": (lambda x: x[:, torch.tensor([2, 0, 0])], S),
    "getitem-two-indices": (lambda x: x[torch.tensor([0, 1]), torch.tensor([2, 2])], S),
    "select": (lambda x: x.select(1, 2), S),
    "narrow": (lambda x: x.narrow(2, 1, 2), S),
    "index_select": (lambda x: x.index_select(1, torch.tensor([1, 1, 0])), S),
    "masked_select": (lambda x: x.masked_select(MASK), S),
    "gather": (lambda x: x.gather(1, ROWS.unsqueeze(-1)), S),
    "take_along_dim": (lambda x: torch.take_along_dim(x, ROWS.unsqueeze(-1), 1), S),
    "embedding": (lambda x: F.embedding(ROWS, x), (3, 4)),
    "diagonal": (lambda x: x.diagonal(dim1=1, dim2=2), S),
    "tril": (lambda x: x.tril(), S),
    "unfold": (lambda x: x.unfold(2, 2, 1), S),
    "flip": (lambda x: x.flip(1, 2), S),
    "roll": (lambda x: x.roll((1, -1), (1, 2)), S),
    "rot90": (lambda x: torch.rot90(x, 1, (1, 2)), S),
    "repeat": (lambda x: x.repeat(1, 2, 3), S),
    "tile": (lambda x: x.tile((2,)), S),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, dim=1), S),
    "clone": (lambda x: x.clone(), S),
    "contiguous": (lambda x: x.transpose(1, 2).contiguous(), S),
    "to": (lambda x: x.to(torch.float64).double(), S),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), (1, 4, 2, 2)),
    "neg": (lambda x: -x, S),
    "negative": (lambda x: torch.negative(x.neg()), S),
    "dropout": (lambda x: F.dropout(x, 0.5, training=False), S),
    "dropout2d": (lambda x: F.dropout2d(x, 0.5, False), (2, 3, 2, 2)),
    "alpha_dropout": (lambda x: F.alpha_dropout(x, 0.5), S),
}
FILLING: dict[str, Operation] = {
    "cat": (lambda x: torch.cat([x, x.flip(2), x[:, :1]], 1), S),
    "cat-constant": (lambda x: torch.cat([C, x], dim=1), S),
    "stack": (lambda x: torch.stack([x, x.flip(1)], dim=1), S),
    "stack-constant": (lambda x: torch.stack((x, C)), S),
    "hstack": (lambda x: torch.hstack([x, C]), S),
    "pad-zero": (lambda x: F.pad(x, (1, 2)), S),
    "pad-value": (lambda x: F.pad(x, (1, 0), value=3.0), S),
    "pad-value-position": (lambda x: F.pad(x, (0, 1, 1, 0), "constant", -2.0), S),
    "pad-crop": (lambda x: F.pad(x, (-1, 1), value=0.5), S),
    "pad-reflect": (lambda x: F.pad(x, (2, 1), mode="reflect"), S),
    "pad-replicate": (lambda x: F.pad(x, (1, 2), "replicate"), S),
    "pad-circular": (lambda x: F.pad(x, (1, 1), mode="circular"), S),
    "constant_pad_nd": (lambda x: torch.constant_pad_nd(x, (1, 1), 1.5), S),
    "where-constant": (lambda x: torch.where(C > 0.5, x, C), S),
    "where-number": (lambda x: torch.where(C > 0.5, 2.0, x), S),
    "where-method": (lambda x: x.where(C > 0.5, -1.0), S),
    "where-data": (lambda x: torch.where(C > 0.5, x, x.flip(1)), S),
    "masked_fill": (lambda x: x.masked_fill(MASK, 0.75), S),
    "masked_fill-keyword": (lambda x: torch.masked_fill(x, mask=MASK, value=-1.0), S),
    "masked_fill-zero": (lambda x: x.masked_fill(MASK, 0), S),
    "masked_fill_": (written(lambda y: y.masked_fill_(MASK, 0.75)), S),
    "setitem-number": (set_item((slice(None), 1), 0.5), S),
    "setitem-constant": (set_item((slice(None), slice(1)), C[:, :1]), S),
    "setitem-mask": (set_item(C > 0.5, 2.0), S),
    "setitem-into-constant": (into_constant, S),
    "copy_": (lambda x: torch.zeros(2, 3, 4, dtype=x.dtype).copy_(x), S),
}
ADDING: dict[str, Operation] = {
    "mean": (lambda x: x.mean(), S),
    "mean-axis": (lambda x: x.mean(1), S),
    "torch.mean": (lambda x: torch.mean(x, dim=(1, 2), keepdim=True), S),
    "sum": (lambda x: x.sum(), S),
    "torch.sum": (lambda x: torch.sum(x, 1), S),
    "cumsum": (lambda x: x.cumsum(2), S),
    "add": (lambda x: x + x.flip(1), S),
    "add-constant": (lambda x: x + C, S),
    "add-number": (lambda x: 1.5 + x, S),
    "add-alpha": (lambda x: torch.add(x, C, alpha=-2), S),
    "add-number-alpha": (lambda x: torch.add(x, 3, alpha=2), S),
    "add-broadcast": (lambda x: x[:, :1] + x, S),
    "add-broadcast-constant": (lambda x: x + C, (1, 3, 1)),
    "add_": (written(lambda y: y.add_(C)), S),
    "+=": (written(lambda y: y.__iadd__(2.0)), S),
    "sub": (lambda x: x - x.flip(2), S),
    "sub-constant": (lambda x: x - C, S),
    "sub-from-constant": (lambda x: C - x, S),
    "sub-from-number": (lambda x: 1 - x, S),
    "torch.sub-alpha": (lambda x: torch.sub(x, C, alpha=3), S),
    "rsub": (lambda x: torch.rsub(x, C), S),
    "rsub-number": (lambda x: torch.rsub(x, 2, alpha=3), S),
    "-=": (written(lambda y: y.__isub__(C)), S),
    "mul-constant": (lambda x: x * C, S),
    "mul-number": (lambda x: -3 * x, S),
    "mul-parameter": (lambda x: torch.mul(torch.nn.Parameter(C), x), S),
    "mul_": (written(lambda y: y.mul_(C)), S),
    "div-constant": (lambda x: x / C.exp(), S),
    "div-number": (lambda x: torch.div(x, 4), S),
    "/=": (written(lambda y: y.__itruediv__(2)), S),
    "batch_norm": (norm(F.batch_norm), S),
    "torch.batch_norm": (norm(torch.batch_norm), S),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 2, 1, padding=1), S),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2, ceil_mode=True), (2, 2, 3, 3)),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, 2), (1, 2, 2, 2, 4)),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 3), S),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (1, 2)), (2, 2, 3, 3)),
    "adaptive_avg_pool3d": (lambda x: F.adaptive_avg_pool3d(x, 1), (1, 2, 2, 2, 2)),
}
SYNONYMS: dict[str, Operation] = {
    "ravel": (lambda x: x.ravel(), S),
    "moveaxis": (lambda x: torch.moveaxis(x, 0, 2), S),
    "swapdims": (lambda x: x.swapdims(0, 1), S),
    "adjoint": (lambda x: x.adjoint(), S),
    "mH": (lambda x: x.mH, S),
    "view_as": (lambda x: x.view_as(C.view(6, 4)), S),
    "reshape_as": (lambda x: x.reshape_as(C.view(6, 4)), S),
    "split_with_sizes": (lambda x: last(x.split_with_sizes([1, 2], 1)), S),
    "unsafe_chunk": (lambda x: last(torch.unsafe_chunk(x, 2, 1)), S),
    "unsafe_split": (lambda x: last(torch.unsafe_split(x, 2, 1)), S),
    "hsplit": (lambda x: last(x.hsplit(3)), S),
    "vsplit": (lambda x: last(x.vsplit(2)), S),
    "dsplit": (lambda x: last(x.dsplit(2)), S),
    "broadcast_tensors": (lambda x: torch.broadcast_tensors(x, C)[0], (3, 1)),
    "atleast": (lambda x: torch.atleast_3d(torch.atleast_2d(torch.atleast_1d(x))), (4,)),
    "positive": (lambda x: +x, S),
    "requires_grad_": (lambda x: (2 * x).requires_grad_(), S),
    "fliplr": (lambda x: x.fliplr(), S),
    "flipud": (lambda x: x.flipud(), S),
    "take": (lambda x: x.take(ROWS + 5), S),
    "triu": (lambda x: torch.triu(x, 1), S),
    "diag": (lambda x: x.diag(), (3, 3)),
    "diag-of-vector": (lambda x: torch.diag(x), (3,)),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), (1, 2, 4, 2)),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), (1, 4, 2, 2)),
    "concat": (lambda x: torch.concat((C, x), 1), S),
    "concatenate": (lambda x: torch.concatenate([x, C], dim=0), S),
    "vstack": (lambda x: torch.vstack([x, C]), S),
    "row_stack": (lambda x: torch.row_stack([x, C]), S),
    "dstack": (lambda x: torch.dstack([x, C]), S),
    "column_stack": (lambda x: torch.column_stack([C, x]), S),
    "__add__": (lambda x: x.__add__(C).__radd__(1.0), S),
    "__sub__": (lambda x: x.__sub__(C).__rsub__(1.0), S),
    "__mul__": (lambda x: x.__mul__(C).__rmul__(2.0), S),
    "__truediv__": (lambda x: x.__truediv__(2.0).__div__(C.exp()), S),
    "subtract": (lambda x: torch.subtract(x, C), S),
    "multiply": (lambda x: x.multiply(C), S),
    "divide": (lambda x: torch.divide(x, 2).true_divide(C.exp()), S),
}
ROOT = signed(4, 4, seed=53)
SQUARE = ROOT @ ROOT.mT + torch.eye(4, dtype=torch.float64)
SOLVING: dict[str, Operation] = {
    "solve": (lambda x: torch.linalg.solve(SQUARE, x), (4, 3)),
    "solve_ex": (lambda x: torch.linalg.solve_ex(SQUARE, x.mT, left=False)[0], (4, 3)),
    "solve_triangular": (lambda x: torch.linalg.solve_triangular(SQUARE, x, upper=True, unitriangular=True), (4, 3)),
    "lu_solve": (lambda x: torch.linalg.lu_solve(*torch.linalg.lu_factor(SQUARE), x), (4, 3)),
    "cholesky_solve": (lambda x: torch.cholesky_solve(x, torch.linalg.cholesky(SQUARE)), (4, 3)),
    "tensorsolve": (lambda x: torch.linalg.tensorsolve(SQUARE.view(2, 2, 4), x), (2, 2)),
}
AFFINE = {**MOVING, **FILLING, **ADDING, **SYNONYMS, **SOLVING}
SELECTING: dict[str, Operation] = {
    "max_pool1d": (lambda x: F.max_pool1d(x, 2, 1, padding=1), S),
    "max_pool1d-indices": (lambda x: F.max_pool1d(x, 2, return_indices=True)[0], S),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2, ceil_mode=True), (2, 2, 3, 3)),
    "max_pool2d-indices": (lambda x: F.max_pool2d(x, 2, return_indices=True)[0], (2, 2, 4, 4)),
    "max_pool3d": (lambda x: F.max_pool3d(x, 2), (1, 2, 2, 2, 4)),
    "max_pool3d-indices": (lambda x: F.max_pool3d(x, 2, return_indices=True)[0], (1, 2, 2, 2, 4)),
    "adaptive_max_pool1d-indices": (lambda x: F.adaptive_max_pool1d(x, 2, True)[0], S),
    "adaptive_max_pool2d-indices": (lambda x: F.adaptive_max_pool2d(x, 2, True)[0], (2, 2, 3, 3)),
    "adaptive_max_pool3d-indices": (lambda x: F.adaptive_max_pool3d(x, 1, True)[0], (1, 2, 2, 2, 2)),
    "adaptive_max_pool1d": (lambda x: F.adaptive_max_pool1d(x, 2), S),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, 1), (2, 2, 3, 3)),
    "adaptive_max_pool3d": (lambda x: F.adaptive_max_pool3d(x, 1), (1, 2, 2, 2, 2)),
    "max": (lambda x: x.max(), S),
    "max-axis": (lambda x: x.max(1).values, S),
    "torch.max": (lambda x: torch.max(x, dim=2)[0], S),
    "max-data": (lambda x: torch.max(x, x.flip(1)), S),
    "min": (lambda x: x.min(dim=1)[0], S),
    "amax": (lambda x: x.amax((1, 2)), S),
    "amin": (lambda x: torch.amin(x, 1, keepdim=True), S),
    "topk": (lambda x: x.topk(2, dim=2).values, S),
    "sort": (lambda x: torch.sort(x, 1, descending=True)[0], S),
}
