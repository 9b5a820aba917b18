"""A module, a function and a method of torch that do the same are explained alike."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from tests.cases.networks import CASES, prepare
from tests.engine.checks import PRESETS, assert_same, assert_same_explanation, each_preset, normal

X = normal(3, 8, seed=10)
FIRST, LAST = prepare(nn.Linear(8, 6), seed=15), prepare(nn.Linear(6, 4), seed=16)

ACTIVATIONS = {
    nn.ReLU: F.relu,
    nn.LeakyReLU: F.leaky_relu,
    nn.RReLU: F.rrelu,
    nn.ELU: F.elu,
    nn.SELU: F.selu,
    nn.CELU: F.celu,
    nn.GELU: F.gelu,
    nn.SiLU: F.silu,
    nn.Mish: F.mish,
    nn.ReLU6: F.relu6,
    nn.Hardtanh: F.hardtanh,
    nn.Hardswish: F.hardswish,
    nn.Hardsigmoid: F.hardsigmoid,
    nn.Sigmoid: torch.sigmoid,
    nn.LogSigmoid: F.logsigmoid,
    nn.Tanh: torch.tanh,
    nn.Tanhshrink: F.tanhshrink,
    nn.Softshrink: F.softshrink,
    nn.Hardshrink: F.hardshrink,
    nn.Softsign: F.softsign,
    nn.Softplus: F.softplus,
}
IN_PLACE = [kind for kind in ACTIVATIONS if "inplace" in kind.__init__.__annotations__]


@each_preset
@pytest.mark.parametrize("kind", ACTIVATIONS, ids=lambda kind: kind.__name__)
def test_activation_module_equals_function(kind: type[nn.Module], preset: str):
    module = nn.Sequential(FIRST, kind(), LAST).eval()
    assert_same_explanation(module, lambda x: LAST(ACTIVATIONS[kind](FIRST(x))), X, preset)


@each_preset
@pytest.mark.parametrize("kind", IN_PLACE, ids=lambda kind: kind.__name__)
def test_activation_in_place_equals_out_of_place(kind: type[nn.Module], preset: str):
    given = nn.Sequential(FIRST, kind(inplace=True), LAST).eval()
    assert_same_explanation(given, nn.Sequential(FIRST, kind(), LAST).eval(), X, preset)


@pytest.mark.parametrize("kind", IN_PLACE, ids=lambda kind: kind.__name__)
def test_in_place_activation_of_an_input_of_two_layers(kind: type[nn.Module]):
    """What was read before it was overwritten keeps its old values."""
    act, plain = kind(inplace=True).eval(), kind().eval()

    def given(x: Tensor) -> Tensor:
        h = FIRST(x)
        y = LAST(h)
        return y * LAST(act(h))

    for preset in PRESETS:
        assert_same_explanation(given, lambda x: LAST(FIRST(x)) * LAST(plain(FIRST(x))), X, preset)


@each_preset
def test_functional_mlp_equals_its_modules(preset: str):
    x = CASES["mlp"].inputs()
    assert_same_explanation(CASES["mlp_functional"].build(), CASES["mlp"].build(), x, preset)


WEIGHT = LAST.weight.detach()
WITHOUT_BIAS = {
    "h @ w.T": lambda h: h @ WEIGHT.T,
    "matmul": lambda h: torch.matmul(h, WEIGHT.T),
    "method": lambda h: h.matmul(WEIGHT.T),
    "mm": lambda h: torch.mm(h, WEIGHT.T),
    "(w @ h.T).T": lambda h: (WEIGHT @ h.T).T,
    "mv": lambda h: torch.stack([torch.mv(WEIGHT, row) for row in h]),
    "bmm": lambda h: torch.bmm(h[None], WEIGHT.T[None])[0],
    "conv1d": lambda h: F.conv1d(h[:, :, None], WEIGHT[:, :, None])[:, :, 0],
}


@each_preset
@pytest.mark.parametrize("spelling", WITHOUT_BIAS)
def test_matrix_products(spelling: str, preset: str):
    if spelling == "conv1d" and preset.startswith("epsilon_"):
        pytest.skip("these presets tell convolutions from linear layers")

    def clean(x: Tensor) -> Tensor:
        return F.linear(F.gelu(FIRST(x)), WEIGHT)

    assert_same_explanation(lambda x: WITHOUT_BIAS[spelling](F.gelu(FIRST(x))), clean, X, preset)


@each_preset
def test_convolutions_of_fewer_dimensions(preset: str):
    """conv1d is conv2d and conv3d of a thin image."""
    weight, bias, x = normal(4, 2, 3, seed=1), normal(4, seed=2), normal(2, 2, 9, seed=3)

    def flat(z: Tensor) -> Tensor:
        return F.relu(z).flatten(1)

    def conv1d(x: Tensor) -> Tensor:
        return flat(F.conv1d(x, weight, bias, 2, 1))

    def conv2d(x: Tensor) -> Tensor:
        return flat(F.conv2d(x.unsqueeze(2), weight.unsqueeze(2), bias, (1, 2), (0, 1)))

    def conv3d(x: Tensor) -> Tensor:
        return flat(F.conv3d(x[:, :, None, None], weight[:, :, None, None], bias, (1, 1, 2), padding=(0, 0, 1)))

    assert_same_explanation(conv2d, conv1d, x, preset)
    assert_same_explanation(conv3d, conv1d, x, preset)
    module = nn.Conv1d(2, 4, 3, 2, 1)
    module.weight, module.bias = nn.Parameter(weight), nn.Parameter(bias)
    assert_same_explanation(lambda x: flat(module(x)), conv1d, x, preset)


@each_preset
@pytest.mark.parametrize("pool", [nn.AvgPool2d(6), nn.AdaptiveAvgPool2d(1)], ids=["AvgPool2d", "AdaptiveAvgPool2d"])
def test_average_pool_is_the_mean(pool: nn.Module, preset: str):
    conv, x = prepare(nn.Conv2d(2, 4, 3), seed=17), normal(3, 2, 8, 8, seed=4)

    def given(x: Tensor) -> Tensor:
        return F.linear(pool(F.gelu(conv(x))).flatten(1), normal(3, 4))

    assert_same_explanation(given, lambda x: F.linear(F.gelu(conv(x)).mean((2, 3)), normal(3, 4)), x, preset)


@each_preset
def test_module_used_twice_equals_two_copies(preset: str):
    shared = prepare(nn.Linear(8, 8), seed=18)
    first, second = prepare(nn.Linear(8, 8), seed=18), prepare(nn.Linear(8, 8), seed=18)
    act = nn.GELU()
    assert_same_explanation(
        nn.Sequential(shared, act, shared, act, FIRST),
        nn.Sequential(first, nn.GELU(), second, nn.GELU(), FIRST),
        X,
        preset,
    )


@each_preset
def test_recurrence_equals_its_unrolled_copies(preset: str):
    cell, x = prepare(nn.Linear(4, 4), seed=19), normal(3, 5, 4, seed=5)

    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor) -> Tensor:
            h = torch.zeros_like(x[:, 0])
            for t in range(x.shape[1]):
                h = torch.tanh(self.cell(h) + x[:, t])
            return h

    copies = [prepare(nn.Linear(4, 4), seed=19) for _ in range(5)]

    def unrolled(x: Tensor) -> Tensor:
        h = torch.zeros_like(x[:, 0])
        for t, copy in enumerate(copies):
            h = torch.tanh(copy(h) + x[:, t])
        return h

    assert_same_explanation(Loop(), unrolled, x, preset)


def test_weight_norm_equals_the_plain_weight():
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 6, dtype=torch.float64))
    weight = normed.weight.detach()
    for preset in PRESETS:
        given = lrp.explain(lambda x: LAST(F.relu(normed(x))), X, composite=PRESETS[preset]())
        clean = lrp.explain(lambda x: LAST(F.relu(F.linear(x, weight, normed.bias))), X, composite=PRESETS[preset]())
        assert_same(given.input, clean.input)
