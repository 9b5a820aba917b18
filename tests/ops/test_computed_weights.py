"""Layers whose weight is computed from parameters alone, and convolutions that pad their input by elements of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from lrp import on, rules
from tests.cases.networks import prepare, signed
from tests.ops.driving import (
    assert_bit_equal,
    assert_books_balance,
    assert_same_map,
    drive,
    kept,
    multiplier_for,
    twin_of,
)
from tests.rules.twins import Dense, joined, matrix

RULES = [rules.Zero(), rules.Epsilon(0.3), rules.Gamma(0.25), rules.AlphaBeta(2, 1), rules.Flat(), rules.WSquare()]


class Positive(nn.Module):
    """A parametrization of one's own: weights that are never negative, with a scale that is a parameter too."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, weight: Tensor) -> Tensor:
        return F.softplus(weight) * self.scale


def _old_weight_norm(layer: nn.Module) -> nn.Module:
    return nn.utils.weight_norm(layer)


MADE: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight_norm-hook": _old_weight_norm,
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "spectral_norm-hook": nn.utils.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "custom": lambda layer: parametrize.register_parametrization(layer, "weight", Positive()),
}
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(4, 3), (2, 4)),
    "conv2d": (lambda: nn.Conv2d(2, 3, 2), (2, 2, 3, 3)),
    "conv_transpose1d": (lambda: nn.ConvTranspose1d(3, 2, 2), (2, 3, 3)),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("made", MADE)
def test_a_computed_weight_is_a_constant(made: str, layer: str, rule: rules.Rule) -> None:
    build, shape = LAYERS[layer]
    plain = prepare(build(), seed=1)
    module = MADE[made](prepare(build(), seed=1)).eval()
    x = signed(*shape, seed=2)
    with torch.no_grad():
        module(x)  # a hook has the weight from its last forward on
        plain.weight.copy_(module.weight)
    m = multiplier_for(plain(x).detach())
    entries = [(on.linear | on.conv, rule)]
    ours, truth = drive(module, x, m, entries, ledger="calls"), drive(plain, x, m, entries)
    assert_same_map(ours.input, truth.input)
    assert kept(ours, "bias") == pytest.approx(kept(truth, "bias"), rel=1e-11, abs=1e-14)
    assert_books_balance(ours)
    assert all(parameter.grad is None for parameter in module.parameters())


CONVOLUTIONS: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "conv1d": (nn.Conv1d, (2, 2, 5)),
    "conv2d": (nn.Conv2d, (2, 2, 3, 4)),
    "conv3d": (nn.Conv3d, (1, 2, 2, 3, 3)),
}


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_padding_by_elements_of_the_input(name: str, mode: str, rule: rules.Rule) -> None:
    """The slow twin on the padded input, whose elements give back what they got to those they are copies of."""
    kind, shape = CONVOLUTIONS[name]
    conv = prepare(kind(2, 3, 2, padding=1, padding_mode=mode), seed=3)
    x = signed(*shape, seed=4)
    m = multiplier_for(conv(x).detach())
    ours = drive(conv, x, m, [(on.conv, rule)], ledger="calls")

    def pad(data: Tensor) -> Tensor:
        return F.pad(data, [1] * 2 * (x.dim() - 2), "constant" if mode == "zeros" else mode)

    def weights(data: Tensor, weight: Tensor) -> Tensor:
        return getattr(F, name)(data, weight)

    weight, padded = conv.weight.detach(), pad(x)
    ones = pad(torch.ones_like(x))
    bias = (conv(torch.zeros_like(x)) - 0).detach().flatten().tolist()
    connected = joined(lambda data: weights(data * ones, torch.ones_like(weight)), padded)
    masked = matrix(lambda data: weights(data * ones, weight), padded)
    point = x.clone().requires_grad_()
    truth = twin_of(rule, Dense(masked, bias, connected), padded, m)
    (relevance,) = torch.autograd.grad(pad(point), point, truth.relevance)
    assert_same_map(ours.input, relevance)
    assert_books_balance(ours)
    assert_bit_equal(ours.output, conv(x))
