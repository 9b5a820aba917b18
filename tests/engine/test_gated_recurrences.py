"""xLSTM, RWKV and RG-LRU: relevance is that of all steps at once by hand, with gates and decays as constants."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp
from lrp import presets
from tests.cases.gated_recurrences import BY_HAND, MLSTM, RGLRU, RWKV, SLSTM, WIDTH
from tests.cases.networks import prepare, signed
from tests.engine.checks import assert_balanced, assert_blameless, assert_same

KINDS = (SLSTM, MLSTM, RWKV, RGLRU)
X = 2 * signed(2, 7, WIDTH, seed=81)

each_kind = pytest.mark.parametrize("kind", KINDS)


class Stack(nn.Module):
    """Two cells with a residual stream, and logits for the last step."""

    def __init__(self, kind: type[nn.Module], by_hand: bool) -> None:
        super().__init__()
        self.cells, self.head = nn.ModuleList([kind(), kind()]), nn.Linear(WIDTH, 3)
        self.kind, self.by_hand = kind, by_hand

    def forward(self, x: Tensor) -> Tensor:
        for cell in self.cells:
            x = x + (BY_HAND[self.kind](cell, x) if self.by_hand else cell(x))
        return self.head(x[:, -1])


def build(kind: type[nn.Module], *, by_hand: bool) -> nn.Module:
    return prepare(Stack(kind, by_hand), seed=82)


@pytest.mark.parametrize("preset", [None, presets.lrp_all(), presets.cp_lrp()], ids=["auto", "lrp_all", "cp_lrp"])
@each_kind
def test_it_is_the_gradient_of_all_steps_at_once(kind: type[nn.Module], preset: lrp.Composite | None):
    x = X.clone().requires_grad_()
    explained = build(kind, by_hand=True)(x)[:, 1]
    (gradient,) = torch.autograd.grad(explained.sum(), x)
    r = lrp.explain(build(kind, by_hand=False), X, target=1, composite=preset, ledger="calls")
    assert_same(r.explained, explained.detach())
    assert_same(r.input, (x * gradient).detach())
    assert_balanced(r)
    assert_blameless(r)


@each_kind
def test_a_batch_is_its_samples(kind: type[nn.Module]):
    model = build(kind, by_hand=False)
    r = lrp.explain(model, X, target=1)
    assert_same(r.input, torch.cat([lrp.explain(model, x[None], target=1).input for x in X]))
    assert r.composite.name == "zero"


class SqrtBoundDerivative(torch.autograd.Function):
    """As transformers' RecurrentGemma has it: a square root whose gradient is kept small."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.sqrt(x)

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Tensor:
        return m / torch.sqrt(torch.clip(4.0 * ctx.saved_tensors[0], min=1e-6))


START = (torch.arange(X.size(1)) == 0)[:, None]


class OfRecurrentGemma(RGLRU):
    def left(self, x: Tensor) -> Tensor:
        return START + ~START * SqrtBoundDerivative.apply(x)


class Plain(RGLRU):
    def left(self, x: Tensor) -> Tensor:
        return torch.where(START, 1.0, torch.sqrt(x))


def test_the_square_root_of_recurrent_gemma_counts_as_a_constant_or_is_refused():
    foreign, plain = (build(kind, by_hand=False) for kind in (OfRecurrentGemma, Plain))
    r = lrp.explain(foreign, X, target=1, ledger="calls")
    assert_same(r.input, lrp.explain(plain, X, target=1).input)
    assert_balanced(r)
    assert_blameless(r)
    with pytest.raises(lrp.errors.UnseenError, match="SqrtBoundDerivativeBackward"):
        lrp.explain(foreign, X, target=1, composite=presets.zero())
