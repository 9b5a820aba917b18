"""A masked score is infinite or huge, has the multiplier 0, and carries nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp
from lrp import presets
from tests.cases.networks import prepare
from tests.engine.checks import assert_balanced, assert_blameless, normal

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
