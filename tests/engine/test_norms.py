"""Layer, group, instance and RMS norm: fused and by hand one map, and their books balance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import on, rules
from tests.cases.networks import signed
from tests.engine.checks import assert_balanced, assert_blameless, assert_same, normal
from tests.ops.driving import assert_bit_equal, drive, kept, multiplier_for

Function = Callable[[Tensor], Tensor]

W, B = signed(4, seed=1) + 1.5, signed(4, seed=2)
W2, B2 = signed(3, 4, seed=3) + 1.5, signed(3, 4, seed=4)
CW, CB = signed(6, seed=5) + 1.5, signed(6, seed=6)


def layer_by_hand(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5) * W + B


def layer_by_std(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5) * W + B


def rms_by_hand(x: Tensor) -> Tensor:
    """As transformers' LlamaRMSNorm."""
    wide = x.to(torch.float64)
    variance = wide.pow(2).mean(-1, keepdim=True)
    wide = wide * torch.rsqrt(variance + 1e-6)
    return W * wide.to(x.dtype)


def group_by_hand(x: Tensor) -> Tensor:
    rows = x.reshape(2, 3, -1)
    rows = (rows - rows.mean(-1, keepdim=True)) / (rows.var(-1, unbiased=False, keepdim=True) + 1e-3) ** 0.5
    return rows.reshape(x.shape) * CW.view(-1, 1, 1) + CB.view(-1, 1, 1)


def instance_by_hand(x: Tensor) -> Tensor:
    spread = x.std((2, 3), correction=0, keepdim=True)
    return (x - x.mean((2, 3), keepdim=True)) / torch.sqrt(spread.square() + 1e-5)


NORMS: dict[str, tuple[Function, Function, tuple[int, ...], Tensor | None]] = {
    "layer_norm": (lambda x: F.layer_norm(x, (4,), W, B), layer_by_hand, (2, 3, 4), B),
    "torch.layer_norm": (lambda x: torch.layer_norm(x, (4,), W, B), layer_by_std, (2, 3, 4), B),
    "layer_norm, keywords": (
        lambda x: F.layer_norm(x, normalized_shape=(4,), bias=B, weight=W, eps=1e-5),
        layer_by_std,
        (5, 4),
        B,
    ),
    "layer_norm, two axes": (
        lambda x: F.layer_norm(x, (3, 4), W2, B2, 1e-3),
        lambda x: (x - x.mean((1, 2), True)) / (x.var((1, 2), False, True) + 1e-3).sqrt() * W2 + B2,
        (2, 3, 4),
        B2,
    ),
    "layer_norm, plain": (
        lambda x: F.layer_norm(x, (4,)),
        lambda x: (x - x.mean(-1, True)) / (x.var(-1, False, True) + 1e-5).sqrt(),
        (2, 3, 4),
        None,
    ),
    "rms_norm": (lambda x: F.rms_norm(x, (4,), W, 1e-6), rms_by_hand, (2, 3, 4), None),
    "rms_norm, plain": (
        lambda x: F.rms_norm(x, (3, 4)),
        lambda x: x * (x.square().mean((1, 2), True) + torch.finfo(x.dtype).eps) ** -0.5,
        (2, 3, 4),
        None,
    ),
    "group_norm": (lambda x: F.group_norm(x, 3, CW, CB, 1e-3), group_by_hand, (2, 6, 2, 3), CB.view(-1, 1, 1)),
    "torch.group_norm": (
        lambda x: torch.group_norm(x, 3, CW, CB, 1e-3),
        group_by_hand,
        (2, 6, 2, 2),
        CB.view(-1, 1, 1),
    ),
    "instance_norm": (F.instance_norm, instance_by_hand, (2, 6, 2, 3), None),
    "instance_norm, affine": (
        lambda x: F.instance_norm(x, weight=CW, bias=CB),
        lambda x: instance_by_hand(x) * CW.view(-1, 1, 1) + CB.view(-1, 1, 1),
        (2, 6, 2, 3),
        CB.view(-1, 1, 1),
    ),
    "torch.instance_norm": (
        lambda x: torch.instance_norm(x, CW, CB, None, None, True, 0.1, 1e-5, False),
        lambda x: instance_by_hand(x) * CW.view(-1, 1, 1) + CB.view(-1, 1, 1),
        (2, 6, 2, 3),
        CB.view(-1, 1, 1),
    ),
}


@pytest.mark.parametrize("level", ["sinks", "calls"])
@pytest.mark.parametrize("name", NORMS)
def test_fused_and_by_hand_give_one_map(name: str, level: Any) -> None:
    fused, by_hand, shape, bias = NORMS[name]
    x = signed(*shape, seed=len(name))
    z = fused(x)
    m = multiplier_for(z)
    ours, theirs = drive(fused, x, m, ledger=level), drive(by_hand, x, m, ledger=level)
    assert_same(ours.input, theirs.input)
    shift = 0.0 if bias is None else float((m * bias).sum())
    assert kept(ours, "shift") == pytest.approx(shift, abs=1e-12)
    assert float(ours.input.sum()) == pytest.approx(float((z * m).sum()) - shift, abs=1e-12)
    for each in (ours, theirs):
        assert_balanced(each)
        assert level == "sinks" or assert_blameless(each) is None
    assert_bit_equal(ours.output, z)


def test_layer_norm_worked_by_hand() -> None:
    """x = (1, 5): mean 3, spread 2, z = (-1, 1) (2, 3) + (1, 0) = (-1, 3). For z_1: m_x = (0, 3) / 2 - 3/4 = (-3, 3)/4,
    so R = (-3/4, 15/4), which sum to 3."""
    x, w, b = (torch.tensor(each, dtype=torch.float64) for each in ([[1.0, 5.0]], [2.0, 3.0], [1.0, 0.0]))
    ours = lrp.explain(lambda x: F.layer_norm(x, (2,), w, b, 0.0), x, target=1)
    assert_same(ours.input, torch.tensor([[-0.75, 3.75]], dtype=torch.float64))
    ours = lrp.explain(lambda x: F.layer_norm(x, (2,), w, b, 0.0), x, target=0)
    # m_x = (2, 0) / 2 - 1/2 = (1, -1)/2
    assert_same(ours.input, torch.tensor([[0.5, -2.5]], dtype=torch.float64))
    assert kept(ours, "shift") == 1


def test_instance_norm_with_running_statistics_is_batch_norm() -> None:
    model = nn.InstanceNorm1d(3, affine=True, track_running_stats=True).double().eval()
    with torch.no_grad():
        for tensor, seed in zip((*model.parameters(), model.running_mean, model.running_var), range(4), strict=True):
            tensor.copy_(signed(3, seed=seed).abs() + 0.5)
    x = signed(2, 3, 4, seed=7)
    m = multiplier_for(x)
    scale = model.weight / (model.running_var + model.eps).sqrt()
    ours = drive(model, x, m, ledger="calls")
    assert_same(ours.input, (x * scale.view(-1, 1) * m).detach())
    assert_balanced(ours)
    assert_same(ours.output, model(x).detach())
    with pytest.raises(lrp.errors.TrainingModeError, match="running statistics"):
        drive(model.train(), x, m)


def test_selected_by_on_norm_but_pass_is_for_batch_norm() -> None:
    """The presets named after zennit's use Pass on batch norm, as zennit does; its Pass means no other norm."""
    x = signed(2, 3, 4, seed=8)
    m = multiplier_for(x)
    plain = drive(lambda x: F.layer_norm(x, (4,), W, B), x, m)
    preset = drive(lambda x: F.layer_norm(x, (4,), W, B), x, m, lrp.Composite([(on.norm, rules.Pass())], strict=False))
    assert_same(preset.input, plain.input)
    ours = drive(lambda x: F.layer_norm(x, (4,), W, B), x, m, [(on.norm, rules.Constant())])
    assert [row.entry for row in ours.plan if row.operation == "layer_norm"] == ["norm"]


def test_several_targets_and_modules() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 6), nn.RMSNorm(6), nn.Linear(6, 3))
    model.double().eval()
    for preset in (lrp.presets.zero(), lrp.presets.epsilon_plus()):
        r = lrp.explain(model, normal(3, 4, seed=9), composite=preset, ledger="calls")
        assert_balanced(r)
        assert_blameless(r)
        assert_bit_equal(r.output, model(normal(3, 4, seed=9)))


def test_half_precision_statistics_are_wide() -> None:
    x = signed(2, 4, seed=10).to(torch.bfloat16)
    z = F.layer_norm(x, (4,), W.bfloat16(), B.bfloat16())
    r = lrp.explain(lambda x: F.layer_norm(x, (4,), W.bfloat16(), B.bfloat16()), x, target=1)
    truth = lrp.explain(lambda x: F.layer_norm(x, (4,), W, B), x.double(), target=1)
    assert_bit_equal(r.output, z)
    assert float((r.input - truth.input).abs().max()) < 0.03 * float(truth.input.abs().max())
