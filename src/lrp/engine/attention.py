"""Scaled dot-product attention: fused where its rules are those of AttnLRP or CP-LRP, else written out.

With `s = scale q k^T + mask`, `a = softmax(s)` and `o = a v`, AttnLRP is the kernel's own gradient, taken by shares.
Uniform on `a v` gives half to `v` and half to `a`, Taylor is the gradient of softmax, and Uniform on `q k^T` halves
what it lets through: `q`, `k` and `v` get 1/4, 1/4 and 1/2 of their gradients. In CP-LRP the weights are constants, and
`v` gets all of its own.

What the softmax keeps is what arrives at `a` less what leaves `s`. Neither needs the weights: with the kernel's own
gradients `g`, `sum a g_a = sum o m` and, as `q` scales all scores, `sum s g_s = sum q g_q` but for the mask's part.
Both are taken where the shares are not in yet, so a wrong share shows in the books, and so does a wrong gradient of `v`
or `k`; one of `q` and `k` alike would not. What a mask of finite biases keeps is in the same row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrp.engine.calls import OpCall
from lrp.engine.nodes import Node
from lrp.engine.outcome import Outcome, TorchCall
from lrp.engine.values import Value, as_constant
from lrp.engine.written_out import handle_written_out
from lrp.errors import TrainingModeError
from lrp.rules.base import Rule
from lrp.rules.linear import Zero
from lrp.rules.product import ProductRule
from lrp.rules.softmax import MASKED, Taylor

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_attention"]

_PLACES = ((0, "query"), (1, "key"), (2, "value"))


def handle_attention(run: Run, call: TorchCall) -> Outcome:
    """`scaled_dot_product_attention` under the rules that its products and its softmax would get."""
    if call.get(4, "dropout_p", 0.0) > 0:
        raise TrainingModeError(
            "attention drops weights at random, so the output depends on chance",
            where=call.record.name,
            seen=f"dropout_p={call.get(4, 'dropout_p')}",
            cure="model.eval(), and dropout_p=0.0 where the model is in eval mode",
        )
    shares = _shares(run, call)
    if shares is None:
        with run.attending():
            return handle_written_out(run, call)
    return _fused(run, call, shares)


def _shares(run: Run, call: TorchCall) -> tuple[float, float, float] | None:
    """What share of their gradients query, key and value get, 0 for constants; None where the weights are needed."""
    values = [run.value(call.get(*place)) for place in _PLACES]
    query, key, value = values
    mask = call.get(3, "attn_mask")
    if value is None or query is key is None or any(each is not None and each.denominator for each in values):
        return None
    if isinstance(mask, Tensor) and call.is_data(mask):
        return None
    scored = [each for each in (query, key) if each is not None]
    scoring = _part(run, call, "product" if len(scored) == 2 else "linear", torch.matmul)
    softmax = _part(run, call, "softmax", torch.softmax)
    weighing = _part(run, call, "product", torch.matmul)
    signals = _signals(weighing.rule, [True, value.gate])
    if signals == [1]:
        _note(call, weighing, "fused; its weights count as constants")
        return 0.0, 0.0, 1.0
    both = isinstance(scoring.rule, Zero) or _signals(scoring.rule, [each.gate for each in scored]) == [0, 1]
    if not both or signals != [0, 1] or not isinstance(softmax.rule, Taylor):
        return None
    _note(call, softmax, "fused")
    weights = 1 / (1 + value.factors)
    total = sum(each.factors for each in scored)
    by_query, by_key = (0.0 if each is None else weights * each.factors / total for each in (query, key))
    return by_query, by_key, weights * value.factors


def _part(run: Run, call: TorchCall, family: str, function: Any) -> OpCall:
    """A part of the call, with the rule that it would get if it were written out."""
    part = replace(call.record, family=family, operation=function.__name__, function=function)
    run.choose(part)
    return part


def _signals(rule: Rule | None, gates: list[bool]) -> list[int]:
    """Which of two factors share what arrives."""
    return rule.signals(gates, [0, 1])[0] if isinstance(rule, ProductRule) else []


def _note(call: TorchCall, part: OpCall, note: str) -> None:
    """Let the plan show the rule of one part for the whole."""
    call.record.rule, call.record.entry, call.record.note = part.rule, part.entry, note


def _fused(run: Run, call: TorchCall, shares: tuple[float, float, float]) -> Outcome:
    record = call.record
    record.gradient = False
    weights = 1 - shares[2]
    slot = run.slots(record, Taylor.kinds, call.get(*_PLACES[2]))[0] if weights else None
    # of the scores' two factors, either measures what leaves them; a constant one is not measured
    measured = next((i for i in (0, 1) if shares[i]), None)

    def operand(index: int) -> Tensor:
        given: Tensor = call.get(*_PLACES[index])
        if not shares[index]:
            data = as_constant(given)
        else:
            data = run.scale(record, run.tap(record, given), shares[index])
        if index == measured and slot is not None:
            data = Booked.apply(data, -weights, slot)
        return data

    query, key, value = (operand(index) for index in range(3))
    query, mask = _seeing(query, call.get(3, "attn_mask"))
    operands = zip((*_PLACES, (3, "attn_mask")), (query, key, value, mask), strict=True)
    replaced = call.replace([(*place, tensor) for place, tensor in operands])
    kept = {id(tensor) for tensor in (query, key, value)}
    result = replaced.run(lambda tensor: tensor if id(tensor) in kept else as_constant(tensor))
    if slot is not None:
        result = Booked.apply(result, weights, slot)
    known = run.value(call.get(*_PLACES[2])) or Value()
    factors = known.factors + 1 if weights else known.factors
    return Outcome(result, Value(factors=factors, nonnegative=known.nonnegative))


def _seeing(query: Tensor, mask: Any) -> tuple[Tensor, Any]:
    """Queries and mask, with the same scores up to a shift where an added mask hides every key by a huge number.

    There the scores are the mask's alone, so that the queries do not matter. Torch's kernel for processors loses the
    logarithm of the number of keys beside them, and its gradients would be those of weights of 1; those for graphics
    cards give zeros.
    """
    if not isinstance(mask, Tensor) or not mask.is_floating_point():
        return query, mask
    highest = mask.amax(-1, keepdim=True)
    blind = (highest <= MASKED) & (highest > -torch.inf)
    shifted = mask - highest.masked_fill(~blind, 0) if mask.device.type == "cpu" else mask
    return query.masked_fill(blind, 0), shifted


class Booked(Node):
    """Hands on the multiplier unchanged, and books a share of the relevance there."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, share: float, slot: Tensor) -> Tensor:
        ctx.share = share
        ctx.save_for_backward(tensor)
        return tensor.detach()

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        (tensor,) = ctx.saved_tensors
        relevance = torch.where(m == 0, torch.zeros_like(m), tensor * m)
        return m, None, ctx.share * relevance.sum()
