"""Batch norm in eval: an affine map per channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lrp.engine.nodes import ByChannel
from lrp.engine.outcome import TorchCall
from lrp.engine.values import as_constant
from lrp.errors import TrainingModeError

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["by_channel", "refuse_batch_statistics", "scale_and_shift"]


def refuse_batch_statistics(call: TorchCall) -> None:
    """Batch norm that is not an affine map: its output depends on the batch."""
    _, mean, _, _, _, training, _ = _norm_arguments(call)
    if training or mean is None:
        raise TrainingModeError(
            "batch norm uses the statistics of the batch, so each output depends on the other samples",
            where=call.record.name,
            seen="training=True" if mean is not None else "no running statistics",
            cure="model.eval(), and batch norm layers with track_running_stats=True",
        )


def by_channel(run: Run, call: TorchCall, data: Tensor) -> Tensor:
    """Batch norm as the affine map that it is in eval, of `data` in the place of its operand."""
    scale, shift = scale_and_shift(call)
    (slot,) = run.slots(call.record, ("shift",), data)
    return ByChannel.apply(data, lambda: call.run(as_constant), scale, shift, slot)


def scale_and_shift(call: TorchCall) -> tuple[Tensor, Tensor]:
    """Batch norm as `z = scale x + shift`, per channel."""
    _, mean, var, weight, bias, _, eps = _norm_arguments(call)
    scale = torch.rsqrt(var + eps)
    scale = scale if weight is None else scale * as_constant(weight)
    return scale, -mean * scale if bias is None else torch.addcmul(as_constant(bias), mean, scale, value=-1)


def _norm_arguments(call: TorchCall) -> tuple[Any, Any, Any, Any, Any, bool, float]:
    """(x, mean, var, weight, bias, training, eps) of `F.batch_norm` or `torch.batch_norm`."""
    x = call.get(0, "input")
    if call.function is F.batch_norm:
        mean, var = call.get(1, "running_mean"), call.get(2, "running_var")
        weight, bias = call.get(3, "weight"), call.get(4, "bias")
    else:
        weight, bias = call.get(1, "weight"), call.get(2, "bias")
        mean, var = call.get(3, "running_mean"), call.get(4, "running_var")
    return x, mean, var, weight, bias, bool(call.get(5, "training", False)), float(call.get(7, "eps", 1e-5))
