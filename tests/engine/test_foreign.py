"""Linear layers of other libraries: registered autograd functions, in the plan and with their bias in the books."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import on, rules
from lrp.errors import UnseenError
from tests.cases.networks import prepare
from tests.engine.checks import assert_balanced, assert_same, normal

X = normal(3, 4, seed=1)


class FourBit(torch.autograd.Function):
    """`x W^T + b` with `W = scale (codes - 8)`, as kernels for weights of four bits compute it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(codes, scale)
        return F.linear(x, scale * (codes.to(x.dtype) - 8), bias)

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Any:
        codes, scale = ctx.saved_tensors
        return m @ (scale * (codes.to(m.dtype) - 8)), None, None, None


class FourBitLinear(nn.Module):
    """A linear layer with weights of four bits."""

    def __init__(self, layer: nn.Linear, cast: torch.dtype = torch.float64) -> None:
        super().__init__()
        weight = layer.weight.detach()
        self.cast, self.bias = cast, layer.bias
        self.register_buffer("scale", weight.abs().amax(1, keepdim=True) / 7)
        self.register_buffer("codes", (weight / self.scale).round().add(8).to(torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        return FourBit.apply(x, self.codes, self.scale, self.bias).to(self.cast)

    def plain(self) -> nn.Linear:
        """The same with weights of floating numbers."""
        layer = nn.Linear(self.codes.shape[1], self.codes.shape[0], bias=self.bias is not None).double()
        with torch.no_grad():
            layer.weight.copy_(self.scale * (self.codes.double() - 8))
            if self.bias is not None:
                layer.bias.copy_(self.bias)
        return layer


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    undo = lrp.register("FourBitBackward", rules.Zero())
    yield
    undo()


def network(bias: bool = True, cast: torch.dtype = torch.float64) -> nn.Sequential:
    layers = prepare(nn.Sequential(nn.Linear(4, 6, bias=bias), nn.GELU(), nn.Linear(6, 3, bias=bias)), seed=2)
    return nn.Sequential(FourBitLinear(layers[0], cast), layers[1], FourBitLinear(layers[2]))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("target", [0, lrp.targets.Several(0, 1)])
def test_it_is_the_linear_layer_with_its_bias_in_the_books(bias: bool, target: Any):
    model = network(bias)
    r = lrp.explain(model, X, target=target, keep="all", ledger="calls")
    plain = lrp.explain(nn.Sequential(model[0].plain(), model[1], model[2].plain()), X, target=target, keep="all")
    assert_same(r.input, plain.input)
    assert_same(r["0"], plain["0"])
    assert bool((r.ledger.residual.abs() <= 1e-12 * r.ledger.scale).all())
    for kind, amount in plain.ledger.by_kind().items():
        torch.testing.assert_close(r.ledger.by_kind()[kind], amount, rtol=1e-12, atol=1e-14)


def test_it_is_in_the_plan():
    rows = [row for row in lrp.explain(network(), X).plan if row.family == "registered"]
    assert [(row.path, row.operation, row.shape) for row in rows] == [
        ("0", "FourBitBackward", (3, 6)),
        ("2", "FourBitBackward", (3, 3)),
    ]


def test_a_cast_behind_it_changes_nothing_but_the_type():
    model = network(cast=torch.float32)
    r = lrp.explain(nn.Sequential(model[0], model[1].float(), nn.Linear(6, 3)), X, target=0)
    assert 0 < float(r.ledger.residual.abs()) < 1e-6 * float(r.ledger.scale)


def test_without_a_module_the_bias_shows_as_a_residual():
    layer = network()[0]
    with pytest.warns(lrp.LRPWarning, match="the books do not balance"):
        r = lrp.explain(lambda x: FourBit.apply(x, layer.codes, layer.scale, layer.bias), X, target=0)
    torch.testing.assert_close(r.ledger.residual, 3 * layer.bias[0].detach())


def test_where_relevance_is_carried_it_is_refused():
    composite = lrp.Composite([("1", rules.Flat())])
    with pytest.raises(UnseenError, match=r"needs relevance[\s\S]*FourBitBackward[\s\S]*on.first"):
        lrp.explain(nn.Sequential(network()[0], nn.Linear(6, 3).double()), X, composite=composite)


class Cubed(torch.autograd.Function):
    """An activation with a gradient of its own, which is no gate."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3 + 2 * x + 1

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Tensor:
        return m * (3 * ctx.saved_tensors[0] ** 2 + 2)


class Activation(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Cubed.apply(x)


@pytest.mark.parametrize("composite", [lrp.presets.zero(), lrp.Composite([("2", rules.Flat())])], ids=["zero", "flat"])
def test_an_activation_of_its_own_module_is_called_where_it_is_seen(composite: lrp.Composite):
    first, last = (layer.plain() for layer in (network()[0], network()[2]))
    undo = lrp.register("CubedBackward", rules.Gate())
    try:
        r = lrp.explain(nn.Sequential(first, Activation(), last), X, composite=composite, ledger="calls")
    finally:
        undo()
    assert_balanced(r)
    z = first(X).detach()
    if composite.name == "zero":
        assert_same(r.input, lrp.explain(lambda x: last(first(x) * (z**2 + 2) + 1), X, composite=composite).input)
    assert ("1", "CubedBackward", "Gate()") in [(row.path, row.operation, row.rule) for row in r.plan]


def test_an_activation_in_the_midst_of_a_module_is_refused():
    undo = lrp.register("CubedBackward", rules.Gate())
    try:
        with pytest.raises(UnseenError, match="CubedBackward"):
            lrp.explain(lambda x: 2 * Cubed.apply(x), X, target=0)
    finally:
        undo()


def test_a_registered_function_is_carried_in_relevance_form_too():
    halved = torch._C._nn.upsample_nearest1d

    def model(x: Tensor) -> Tensor:
        h = halved((2 * x).unsqueeze(0), (8,), None)[0]
        return h @ weight

    weight = normal(8, 3, seed=5)
    undo = lrp.register(halved, rules.Zero())
    flat = lrp.Composite([(on.linear, rules.Flat())])
    try:
        r = lrp.explain(model, X, target=0, composite=flat, ledger="calls")
    finally:
        undo()
    assert_same(
        r.input, lrp.explain(lambda x: (2 * x).repeat_interleave(2, 1) @ weight, X, target=0, composite=flat).input
    )
    assert_balanced(r)
