"""Homogeneous functions: by Euler's theorem the native gradient, over the degree, conserves."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrp.engine.nodes import Scale
from lrp.engine.outcome import Outcome, TorchCall, uncovered
from lrp.engine.values import Value, as_constant

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_homogeneous", "handle_logsumexp"]


def handle_homogeneous(run: Run, call: TorchCall) -> Outcome:
    """Norms and distances have degree 1, the variance 2, a product over an axis as many as it has factors."""
    record, x = call.record, call.data[0]
    if _counts_elements(call):
        record.note = "a norm of order 0 counts elements"
        return uncovered(run, call)
    before = run.value(x) or Value()
    multiplies = call.op.name in ("prod", "cumprod", "var")
    count = before.factors if multiplies else 1
    in_place = call.written is not None

    def operand(tensor: Tensor) -> Tensor:
        if not call.is_data(tensor):
            return as_constant(tensor)
        return run.scale(record, run.tap(record, tensor, in_place), count, in_place)

    result = call.run(operand)
    if call.op.name == "cumprod":
        record.gradient = False
        return Outcome(Scale.apply(result, _shares(call, x, count), in_place))
    degree = count * _degree(call, x)
    result = run.scale(record, result, 1 / degree)
    value = Value(factors=degree, nonnegative=call.op.name != "prod" or before.nonnegative)
    value.exponential = before.exponential if degree == 1 else None
    return Outcome(result, value)


def _degree(call: TorchCall, x: Tensor) -> int:
    if call.op.name == "var":
        return 2
    if call.op.name != "prod":
        return 1
    dim = call.get(1, "dim")
    return max(1, x.numel() if dim is None or isinstance(dim, torch.dtype) else x.shape[dim] if x.dim() else 1)


def _shares(call: TorchCall, x: Tensor, count: int) -> Tensor:
    """`1 / n` for the n-th element of a cumulative product."""
    dim = call.get(1, "dim")
    if not x.dim():
        return torch.ones((), dtype=x.dtype, device=x.device) / count
    positions = torch.arange(1, x.shape[dim] + 1, dtype=x.dtype, device=x.device)
    return 1 / (count * positions.view(-1, *[1] * (x.dim() - 1 - dim % x.dim())))


def _counts_elements(call: TorchCall) -> bool:
    """A norm of order 0 has degree 0."""
    if call.op.name in ("cdist", "dist"):
        return bool(call.get(2, "p", 2) == 0)
    name = {"norm": "p", "linalg_norm": "ord", "linalg_vector_norm": "ord"}.get(call.op.name)
    return name is not None and bool(call.get(1, name, 2) == 0)


def handle_logsumexp(run: Run, call: TorchCall) -> Outcome:
    """`logsumexp(x) = sum p x + H(p)`: native, and the entropy of the softmax `p` stays as *softmax*."""
    record = call.record
    result = call.run(lambda tensor: run.tap(record, tensor) if call.is_data(tensor) else as_constant(tensor))
    value = Value(log_sum_of=weakref.ref(call.data[0]) if call.op.name == "logsumexp" else None)
    if not run.books:
        return Outcome(result, value)
    z = result.detach()
    if call.op.name == "logsumexp":
        x = call.data[0].detach()
        dim, keepdim = call.get(1, "dim"), bool(call.get(2, "keepdim", False))
        p = (x - torch.logsumexp(x, dim, keepdim=True)).exp()
        entropy = z - _weighted(p, x).sum(dim, keepdim=keepdim)
    else:
        a, b = (tensor.detach() for tensor in call.data)
        difference = (a - b) * (math.log(2) if call.op.name == "logaddexp2" else 1)
        entropy = z - _weighted(torch.sigmoid(difference), a) - _weighted(torch.sigmoid(-difference), b)
    return Outcome(run.constants(record, result, entropy, "softmax"), value)


def _weighted(p: Tensor, x: Tensor) -> Tensor:
    """`p x`, and 0 where the weight is 0: a masked entry is -inf."""
    return torch.where(p == 0, torch.zeros_like(p), p * x)
