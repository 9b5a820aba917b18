"""A masked score is infinite or huge, has the multiplier 0, and carries nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp
from lrp import presets
from tests.cases.networks import prepare
from tests.engine.checks import assert_balanced, assert_blameless, assert_same, normal

X = normal(3, 4, seed=1)


class Masks(nn.Module):
    def forward(self, scores: Tensor) -> Tensor:
        return scores.masked_fill(torch.tensor([False, True, False, False]), -torch.inf)


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mask, self.value = Masks(), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.mask(x), 1) * self.value(x)


@pytest.mark.parametrize("level", ["sinks", "calls"])
def test_masked_scores_carry_nothing(level: Any):
    r = lrp.explain(prepare(Attends(), seed=5), X, target=0, composite=presets.zero(), keep="all", ledger=level)
    assert not r["mask"][:, 1].any()
    assert r["mask"].isfinite().all()
    assert r["mask"].any()
    assert_balanced(r)
    if level == "calls":
        assert_blameless(r)


@pytest.mark.parametrize("name", ["exp", "sigmoid"])
def test_what_a_mask_has_made_infinite_stays_at_the_activation(name: str) -> None:
    """Mamba-2's decays are `exp` of scores that a mask of minus infinity hides."""
    x, mask = normal(2, 4, seed=1), torch.ones(4, 4, dtype=torch.bool).tril()
    phi = getattr(torch, name)
    r = lrp.explain(
        lambda x: phi(x[..., None].expand(2, 4, 4).masked_fill(~mask, -torch.inf)).sum(-1),
        x,
        target=lambda y: y[:, 2],
        composite=lrp.presets.zero(),
        ledger="calls",
    )
    truth = torch.zeros_like(x)
    truth[:, 2] = 3 * (phi(x) - phi(torch.zeros_like(x)))[:, 2]
    assert_same(r.input, truth)
    assert_balanced(r)
    assert_blameless(r)
