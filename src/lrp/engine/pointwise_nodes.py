"""The autograd nodes of pointwise islands and of normalisers; see `nodes` for what all nodes have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from lrp.engine.nodes import Node, Pointwise
from lrp.rules.pointwise import Activation, PointwiseRule

__all__ = ["Normalised", "Replayed"]


class Replayed(Pointwise):
    """Runs the last of several elementwise calls natively; `x` is what the first of them read, and as a whole they are
    an activation of it. `written` is what the last one writes into, if anything; nothing flows back to it.
    """

    @staticmethod
    def forward(  # type: ignore[override]  # its last operand is another
        ctx: Any,
        x: Tensor,
        compute: Callable[[], Tensor],
        rule: PointwiseRule,
        activation: Activation | None,
        written: Tensor | None,
        relevance_form: bool,
        *slots: Tensor | None,
    ) -> Tensor:
        ctx.rule, ctx.activation, ctx.relevance_form = rule, activation, relevance_form
        z = compute()
        if written is not None:
            ctx.mark_dirty(written)
            z = written
        ctx.save_for_backward(x, z if rule.needs_output or relevance_form else x)
        return z


class Normalised(Node):
    """Runs a normaliser natively: `z = (x - mean) scale weight + bias`, where the scale counts as a constant.

    In multipliers `m_x = scale (weight m - mean(weight m))`, without the mean where the data is not centred; the bias
    keeps `m bias`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        compute: Callable[[], tuple[Tensor, Tensor]],
        rows: tuple[int, ...],
        centred: bool,
        weight: Tensor | None,
        bias: Tensor | None,
        slot: Tensor | None,
    ) -> Tensor:
        ctx.rows, ctx.centred = rows, centred
        z, scale = compute()
        ctx.save_for_backward(scale, weight, bias)
        return z

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        scale, weight, bias = ctx.saved_tensors
        weighted = m if weight is None else m * weight
        rows = weighted.reshape(ctx.rows) * scale
        if ctx.centred:
            rows = rows - rows.mean(-1, keepdim=True)
        kept = (m * bias).sum() if ctx.needs_input_grad[6] else None
        return rows.reshape(m.shape).to(m.dtype), None, None, None, None, None, kept
