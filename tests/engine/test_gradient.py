"""Where LRP-0 is gradient x input, and where it is not."""

from __future__ import annotations

import torch

import lrp
from lrp import presets
from tests.cases.networks import CASES
from tests.engine.checks import assert_same


def test_zero_is_gradient_times_input_on_relu_networks_without_biases():
    case = CASES["bias_free_relu"]
    model, x = case.build(), case.inputs().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).max(1).values.sum(), x)
    r = lrp.explain(model, x.detach(), composite=presets.zero())
    assert_same(r.input, (x * gradient).detach())
    assert_same(r.input.flatten(1).sum(1), r.explained)
    assert r.plan.identical_to_gradient
    assert r.ledger.rows == ()
