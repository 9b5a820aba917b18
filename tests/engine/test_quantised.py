"""Quantised layers: what only holds integers is explained, what computes with them is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import on, rules
from lrp.errors import DetachedError, UncoveredError
from tests.cases.networks import prepare
from tests.engine.checks import PRESETS, assert_balanced, assert_same, normal

X = normal(3, 4, seed=1)
MODEL = prepare(nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3)), seed=2)
RECURRENT = {nn.LSTM: "quantized_lstm", nn.GRU: "quantized_gru"}
CELLS = {nn.LSTMCell: "quantized_lstm_cell_dynamic", nn.GRUCell: "quantized_gru_cell_dynamic"}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.ao.quantization is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*an autograd kernel was not registered:UserWarning"),
]


def first(output: Any) -> Tensor:
    """The first feature of the last step of what a recurrent layer, or a cell, returns."""
    state = output[0] if isinstance(output, tuple) else output
    return state[..., 0] if state.dim() == 2 else state[:, -1, 0]


@pytest.mark.parametrize("kind", [nn.Linear, *RECURRENT, *CELLS])
def test_dynamic_quantisation_is_refused_by_name(kind: type[nn.Module]):
    options = {"batch_first": True} if kind in RECURRENT else {}
    plain = nn.Sequential(kind(4, 5, **options)).eval()
    model = torch.ao.quantization.quantize_dynamic(plain, {kind}, dtype=torch.qint8)
    x = X[:, None] if kind in RECURRENT else X
    name = ({nn.Linear: "linear_dynamic"} | RECURRENT | CELLS)[kind]
    with pytest.raises(UncoveredError, match=rf"{name}  0  .* integer arithmetic: explain .* before it was quantised"):
        lrp.explain(model, x.float(), target=first)


def test_it_is_refused_beside_a_way_that_is_open():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            plain = nn.Sequential(nn.Linear(4, 4))
            self.inner = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear}, dtype=torch.qint8)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.inner(x)

    with pytest.raises(UncoveredError, match=r"linear_dynamic  inner.0"):
        lrp.explain(Residual().eval(), X.float(), target=0)


def test_registering_does_not_make_a_derivative():
    plain = nn.Sequential(nn.Linear(4, 5)).eval()
    model = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear}, dtype=torch.qint8)
    undo = lrp.register(torch.ops.quantized.linear_dynamic, rules.Zero())
    try:
        with pytest.raises(UncoveredError, match="linear_dynamic  0  torch has no derivative"):
            lrp.explain(model, X.float(), target=0)
    finally:
        undo()


def test_static_quantisation_is_refused_by_name():
    def model(x: Tensor) -> Tensor:
        return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8).dequantize() @ normal(4, 3, seed=3).float()

    with pytest.raises(DetachedError, match=r"quantize_per_tensor[\s\S]*before it was quantised"):
        lrp.explain(model, X.float(), target=0)


class Integers(Tensor):
    """A weight of integers and scales, like torchao's: it can be multiplied by and dequantised, and no more.

    Where `arithmetic` is integers too, the data is rounded, and torch cannot follow.
    """

    codes: Tensor
    scale: Tensor
    arithmetic: bool

    @staticmethod
    def __new__(cls, codes: Tensor, scale: Tensor, arithmetic: bool) -> Integers:
        self = Tensor._make_wrapper_subclass(cls, codes.shape, dtype=scale.dtype)
        self.codes, self.scale, self.arithmetic = codes, scale, arithmetic
        return self

    @classmethod
    def of(cls, weight: Tensor, arithmetic: bool = False) -> Integers:
        scale = weight.abs().amax(1, keepdim=True) / 127
        return cls((weight / scale).round().to(torch.int8), scale, arithmetic)

    def dequantize(self) -> Tensor:
        return self.codes.to(self.scale.dtype) * self.scale

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear:
            x, weight, bias = args
            x = (x.detach() * 64).round() / 64 if weight.arithmetic else x
            return F.linear(x, weight.dequantize(), bias)
        return super().__torch_function__(func, types, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.detach.default:
            return cls(args[0].codes, args[0].scale, args[0].arithmetic)
        raise NotImplementedError(f"{func} of integers")


def with_integers(change: Callable[[Tensor], Tensor]) -> nn.Sequential:
    model = deepcopy(MODEL)
    for layer in (model[0], model[2]):
        layer.weight = nn.Parameter(change(layer.weight.detach()), requires_grad=False)
    return model


RULES = [rules.Zero(), rules.Epsilon(0.1), rules.Gamma(0.25), rules.AlphaBeta(2, 1), rules.Flat(), rules.WSquare()]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_weight_that_is_dequantised_to_multiply_has_every_rule(rule: rules.Rule):
    composite = lrp.Composite([(on.linear, rule)])
    r = lrp.explain(with_integers(Integers.of), X, target=0, composite=composite, ledger="calls")
    plain = with_integers(lambda weight: Integers.of(weight).dequantize())
    assert_same(r.input, lrp.explain(plain, X, target=0, composite=composite).input)
    assert_balanced(r)


@pytest.mark.parametrize("reference", [None, 0.0])
@pytest.mark.parametrize("preset", ["zero", "epsilon"])
def test_integers_that_meet_rounded_data_are_refused_by_name(preset: str, reference: float | None):
    model = with_integers(lambda weight: Integers.of(weight, arithmetic=True))
    with pytest.raises(DetachedError, match=r"where: 0[\s\S]*left the graph by linear[\s\S]*before it was quantised"):
        lrp.explain(model, X, target=0, composite=PRESETS[preset](), reference_output=reference)
