"""Layer, group, instance and RMS norm: the denominator counts as a constant, the centring is live.

Batch norm in eval has no denominator of data: it is an affine map, and stands with the linear calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lrp.engine.outcome import Outcome, TorchCall
from lrp.engine.pointwise_nodes import Normalised
from lrp.engine.values import Value, as_constant
from lrp.errors import TrainingModeError

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_normaliser"]


def handle_normaliser(run: Run, call: TorchCall) -> Outcome:
    """`z = (x - mean) / std * weight + bias`, over the last axes or over groups of channels."""
    x, name = call.data[0], call.op.name
    if name == "instance_norm":
        return _instance_norm(run, call, x)
    if name == "group_norm":
        groups, weight, bias = call.get(1, "num_groups"), call.get(2, "weight"), call.get(3, "bias")
        return _by_channel(run, call, x, groups, weight, bias, call.get(4, "eps", 1e-5))
    shape, weight = tuple(call.get(1, "normalized_shape")), call.get(2, "weight")
    rows = (*x.shape[: x.dim() - len(shape)], -1)
    if name == "rms_norm":
        eps = call.get(3, "eps")
        return _normalised(run, call, x, rows, weight, None, torch.finfo(x.dtype).eps if eps is None else eps, False)
    bias, eps = call.get(3, "bias"), call.get(4, "eps", 1e-5)
    if torch.is_autocast_enabled(x.device.type):
        return _normalised(run, call, x, rows, weight, bias, eps)

    def compute() -> tuple[Tensor, Tensor]:
        w, b = (None if each is None else as_constant(each) for each in (weight, bias))
        z, _, scale = torch.native_layer_norm(as_constant(x), shape, w, b, eps)
        return z, scale.reshape(*rows[:-1], 1)

    return _carried_out(run, call, x, rows, weight, bias, compute)


def _instance_norm(run: Run, call: TorchCall, x: Tensor) -> Outcome:
    """Each channel of each sample by itself; with running statistics in eval it is batch norm."""
    if call.function is F.instance_norm:
        mean, var, weight, bias = (call.get(i + 1, n) for i, n in enumerate(("running_mean", "running_var", *_AFFINE)))
    else:
        weight, bias, mean, var = (call.get(i + 1, n) for i, n in enumerate((*_AFFINE, "running_mean", "running_var")))
    own, eps = call.get(5, "use_input_stats", True), call.get(7, "eps", 1e-5)
    if not own:
        call.record.note = "batch norm, as it has running statistics"
        z = run.call(F.batch_norm, (x, mean, var, weight, bias, False, 0.0, eps), {})
        return Outcome(z, run.value(z))
    if mean is not None:
        raise TrainingModeError(
            "instance norm would update its running statistics",
            where=call.record.name,
            seen="training=True",
            cure="model.eval()",
        )
    return _by_channel(run, call, x, x.shape[1], weight, bias, eps)


_AFFINE = ("weight", "bias")


def _by_channel(
    run: Run, call: TorchCall, x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Outcome:
    column = (-1, *[1] * (x.dim() - 2))
    weight, bias = (None if each is None else as_constant(each).view(column) for each in (weight, bias))
    return _normalised(run, call, x, (x.shape[0], groups, -1), weight, bias, eps)


def _normalised(
    run: Run,
    call: TorchCall,
    x: Tensor,
    rows: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    centred: bool = True,
) -> Outcome:
    """Carry it out natively, with the denominator computed beside it."""

    def compute() -> tuple[Tensor, Tensor]:
        wide = x.detach().reshape(*rows)
        wide = wide.to(torch.promote_types(wide.dtype, torch.float32))
        square = wide.var(-1, correction=0, keepdim=True) if centred else wide.square().mean(-1, keepdim=True)
        return call.run(as_constant), torch.rsqrt(square + eps)

    return _carried_out(run, call, x, rows, weight, bias, compute, centred)


def _carried_out(
    run: Run,
    call: TorchCall,
    x: Tensor,
    rows: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    compute: Callable[[], tuple[Tensor, Tensor]],
    centred: bool = True,
) -> Outcome:
    record = call.record
    record.gradient = False
    weight, bias = (None if each is None else as_constant(each) for each in (weight, bias))
    slots: tuple[Any, ...] = (None,) if bias is None else run.slots(record, ("shift",), x)
    z = Normalised.apply(run.tap(record, x), compute, tuple(rows), centred, weight, bias, *slots)
    before = run.value(x) or Value()
    return Outcome(z, Value(factors=before.factors if bias is None else 1))
