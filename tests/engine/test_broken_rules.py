"""A rule that is wrong shows as a residual, and level "calls" of the ledger names the op call that has it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import lrp
from lrp import on, presets, rules
from lrp.composite import Selector
from lrp.rules.base import Kept
from lrp.rules.linear import LinearOp
from lrp.rules.pointwise import Activation
from tests.cases.networks import CASES


class EpsilonWithoutFactor(rules.Epsilon):
    """Forgets `z` in `m z / st(z)`."""

    def arriving(self, z: Tensor, m: Tensor, units: int | None) -> tuple[Tensor, Kept]:
        q, kept = super().arriving(z, m, units)
        return q * 0.9, kept


class EpsilonWithoutStabiliser(rules.Epsilon):
    """Forgets the row of what its stabiliser keeps."""

    def arriving(self, z: Tensor, m: Tensor, units: int | None) -> tuple[Tensor, Kept]:
        q, _ = super().arriving(z, m, units)
        return q, {"stabiliser": lambda: torch.zeros_like(q)}


class ZPlusWithoutDenominator(rules.ZPlus):
    """Forgets to divide: the native positive part."""

    def propagate(self, op: LinearOp, x: Tensor, z: Tensor, m: Tensor) -> tuple[Tensor, Kept]:
        _, kept = super().propagate(op, x, z, m)
        _, transpose = op.partial((x, op.weight.clamp(min=0)))
        return transpose(m)[0], kept


class ZPlusWithoutBiasRow(rules.ZPlus):
    """Divides by the bias, and forgets to say that the bias keeps its part."""

    def propagate(self, op: LinearOp, x: Tensor, z: Tensor, m: Tensor) -> tuple[Tensor, Kept]:
        m_x, kept = super().propagate(op, x, z, m)
        return m_x, {**kept, "bias": lambda: torch.zeros_like(m)}


class ZPlusWithNegativeBias(rules.ZPlus):
    """Books the whole bias where only its positive part took part."""

    def propagate(self, op: LinearOp, x: Tensor, z: Tensor, m: Tensor) -> tuple[Tensor, Kept]:
        m_x, kept = super().propagate(op, x, z, m)
        b = op.bias if op.bias is not None else z.new_zeros(())
        return m_x, {**kept, "bias": lambda: kept["bias"]() * torch.where(b > 0, 1.0, 0.0) + b * m}


class FlatWithoutShare(rules.Flat):
    """Gives each input half of its share."""

    def distribute(self, op: LinearOp, x: Tensor, relevance_out: Tensor) -> tuple[Tensor, Kept]:
        relevance, kept = super().distribute(op, x, relevance_out)
        return relevance / 2, kept


class GateOfTheDerivative(rules.Gate):
    """Hands on the gradient of an activation in place of its gate."""

    def factor(self, activation: Activation, x: Tensor, z: Tensor) -> Tensor:
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(torch.nn.functional.gelu(point).sum(), point)
        return gradient


class PassWithoutOutput(rules.Pass):
    """Hands on the multiplier, not the relevance."""

    def factor(self, activation: Activation, x: Tensor, z: Tensor) -> Tensor:
        return torch.ones_like(x)


# network, the module whose op call is broken, its operation, what it gets; the other calls keep the preset's rules
BROKEN: list[tuple[str, str, str, rules.Rule]] = [
    ("mlp", "2", "linear", EpsilonWithoutFactor()),
    ("mlp", "2", "linear", EpsilonWithoutStabiliser(0.5)),
    ("vgg_bn", "3", "batch_norm", EpsilonWithoutFactor()),
    ("conv1d_net", "3", "conv1d", ZPlusWithoutDenominator()),
    ("conv1d_net", "3", "conv1d", ZPlusWithoutBiasRow()),
    ("avgpool_net", "3", "conv2d", ZPlusWithNegativeBias()),
    ("vgg_bn", "3", "batch_norm", ZPlusWithoutBiasRow()),
    ("resnet18_small", "layer2.0", "add", EpsilonWithoutFactor()),
    ("resnet18_small", "avgpool", "adaptive_avg_pool2d", EpsilonWithoutFactor()),
    ("conv3d_net", "0", "batch_norm", FlatWithoutShare()),
    ("conv1d_net", "0", "conv1d", FlatWithoutShare()),
    ("residual_functional", "", "gelu", GateOfTheDerivative()),
    ("residual_functional", "", "gelu", PassWithoutOutput()),
]


@pytest.mark.parametrize(
    ("network", "path", "operation", "rule"),
    BROKEN,
    ids=[f"{network}-{path}-{type(rule).__name__}" for network, path, _, rule in BROKEN],
)
def test_broken_rule_shows_and_is_named(network: str, path: str, operation: str, rule: rules.Rule):
    broken = path
    here = Selector(broken, lambda call: call.path == broken)
    where = here if path else on.op(torch.nn.functional.gelu)
    if network == "conv3d_net":
        operation, path = "batch_norm", "1"  # the convolution is folded into the norm behind it
    if network == "vgg_bn":
        path = str(int(path) + 1)
    composite = lrp.Composite([(where, rule), *presets.epsilon_plus().entries], strict=False)
    case = CASES[network]
    with pytest.warns(lrp.LRPWarning, match="do not balance"):
        r = lrp.explain(case.build(), case.inputs(), composite=composite, ledger="calls")
    scale, name = float(r.ledger.scale), f"{path or '(model)'}: {operation}"
    assert float(r.ledger.residual.abs()) > 1e-3 * scale
    blamed, lost = r.ledger.worst
    assert blamed.removesuffix(" #1") == name
    assert float(lost.abs()) > 1e-3 * scale
    assert all(
        float(amount.abs()) <= 1e-12 * scale for call, amount in r.ledger.lost.items() if not call.startswith(name)
    )


def test_two_broken_calls_are_both_in_the_list():
    composite = lrp.Composite([("0", EpsilonWithoutFactor()), ("4", EpsilonWithoutFactor())])
    with pytest.warns(lrp.LRPWarning, match="do not balance"):
        r = lrp.explain(CASES["mlp"].build(), CASES["mlp"].inputs(), composite=composite, ledger="calls")
    lost = {name for name, amount in r.ledger.lost.items() if abs(float(amount)) > 1e-3 * float(r.ledger.scale)}
    assert lost == {"0: linear", "4: linear"}


NAMES: dict[str, Callable[[], lrp.Composite]] = {
    "zero": presets.zero,
    "epsilon": presets.epsilon,
    "epsilon_plus": presets.epsilon_plus,
    "epsilon_plus_flat": presets.epsilon_plus_flat,
}


@pytest.mark.parametrize("preset", NAMES)
def test_good_rules_are_not_blamed(preset: str):
    case = CASES["resnet18_small"]
    r = lrp.explain(case.build(), case.inputs(), composite=NAMES[preset](), ledger="calls")
    assert float(r.ledger.worst[1].abs()) <= 1e-12 * float(r.ledger.scale)
