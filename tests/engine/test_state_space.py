"""State-space models: Mamba and Mamba-2 by a scan written by hand with its parameters as constants, and by FFT."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import on, presets, rules
from tests.cases.networks import prepare, signed
from tests.cases.state_space import WIDTH, Mamba, Mamba2, by_hand
from tests.engine.checks import assert_balanced, assert_blameless, assert_same

KINDS = {"mamba": Mamba, "mamba2": Mamba2}
X = signed(2, 7, WIDTH, seed=3)

each_kind = pytest.mark.parametrize("kind", KINDS)


class Stack(nn.Module):
    """Two layers with a residual stream, and logits for each step."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.mixers, self.head = nn.ModuleList([KINDS[kind](), KINDS[kind]()]), nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        for mixer in self.mixers:
            x = x + mixer(x)
        return self.head(x)


def build(kind: str) -> nn.Module:
    model = prepare(Stack(kind), seed=11)
    for mixer in model.mixers:
        mixer.A_log.data.sub_(1)  # so that the first steps are not forgotten
    return model


def explain(kind: str, x: Tensor = X, **options: object) -> lrp.Relevance:
    return lrp.explain(build(kind), x, target=lambda logits: logits[:, -1, 2], ledger="calls", **options)


@each_kind
def test_mamba_lrp_is_the_gradient_of_a_scan_by_hand(kind: str):
    model = build(kind)
    model.mixers = nn.ModuleList([Written(mixer) for mixer in model.mixers])
    x = X.clone().requires_grad_()
    explained = model(x)[:, -1, 2]
    (gradient,) = torch.autograd.grad(explained.sum(), x)
    r = explain(kind, composite=presets.mamba_lrp())
    assert_same(r.explained, explained.detach())
    assert_same(r.input, (x * gradient).detach())
    assert_balanced(r)
    assert_blameless(r)


class Written(nn.Module):
    def __init__(self, given: nn.Module) -> None:
        super().__init__()
        self.given = given

    def forward(self, x: Tensor) -> Tensor:
        return by_hand(self.given)(x)


@each_kind
def test_auto_takes_it_and_a_batch_is_its_samples(kind: str):
    r = explain(kind)
    assert r.composite.why == "a selective scan was met, so MambaLRP (auto)"
    assert_same(r.input, explain(kind, composite=presets.mamba_lrp()).input)
    assert_same(r.input, torch.cat([explain(kind, x[None]).input for x in X]))


@each_kind
def test_the_plan_shows_what_counts_as_a_constant(kind: str):
    shown = {row.operation: row.rule for row in explain(kind).plan if "AsConstant" in row.rule}
    split = {"split": "AsConstant(outputs=(1, 2))", "softplus": "AsConstant()"}
    assert shown == ({"linear": "AsConstant()"} if kind == "mamba" else split)


@each_kind
def test_gamma_changes_the_layers_alone(kind: str):
    rows = {row.family: row.rule for row in explain(kind, composite=presets.mamba_lrp(gamma=0.25)).plan}
    assert rows["conv"] == "Gamma(gamma=0.25, epsilon=1e-06)"
    assert_balanced(explain(kind, composite=presets.mamba_lrp(gamma=0.25)))


def test_a_scan_beside_attention_keeps_its_constants():
    class Hybrid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixer, self.attention = Mamba(), nn.MultiheadAttention(WIDTH, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.mixer(x)
            return self.attention(x, x, x, need_weights=False)[0].mean(1)

    r = lrp.explain(prepare(Hybrid(), seed=12), X, target=1)
    assert r.composite.name == "attnlrp"
    assert "MambaLRP" in r.composite.why
    assert [row.path for row in r.plan if row.rule == "AsConstant()"] == ["mixer.x_proj"]
    assert_balanced(r)


def test_a_decay_by_hand():
    """`h_t = a_t h_{t-1} + x_t` with the decay a constant: `R(x_s) = x_s a_{s+1} ... a_T`."""
    x = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.float64)
    decay = nn.Linear(1, 1, bias=False).double()

    def model(x: Tensor) -> Tensor:
        a = torch.sigmoid(decay(x[..., None]))[..., 0]
        h = x[:, 0]
        for t in (1, 2):
            h = a[:, t] * h + x[:, t]
        return h[:, None]

    composite = lrp.Composite([(on.op(torch.sigmoid), rules.AsConstant())])
    a = torch.sigmoid(decay.weight.item() * x[0])
    truth = torch.stack([a[1] * a[2], 2 * a[2], x[0, 2]])
    assert_same(lrp.explain(model, x, composite=composite).input[0], truth)


def convolved_by_fft(kernel: Tensor, x: Tensor) -> Tensor:
    """As S4 and Hyena have it: `(N, T, channels)` with a kernel as long as the sequence."""
    size = 2 * x.size(1)
    spectrum = torch.fft.rfft(x, size, 1) * torch.fft.rfft(kernel, size, 0)
    return torch.fft.irfft(spectrum, size, 1)[:, : x.size(1)]


def convolved_step_by_step(kernel: Tensor, x: Tensor) -> Tensor:
    return torch.stack([sum(kernel[t - s] * x[:, s] for s in range(t + 1)) for t in range(x.size(1))], 1)


@pytest.mark.parametrize("preset", [None, presets.zero(), presets.mamba_lrp()], ids=["auto", "zero", "mamba_lrp"])
def test_a_long_convolution_by_fft_is_the_sum_over_the_past(preset: lrp.Composite | None):
    kernel = nn.Parameter(signed(X.size(1), WIDTH, seed=5))
    inner, head = prepare(nn.Linear(WIDTH, WIDTH), seed=13), prepare(nn.Linear(WIDTH, 3), seed=14)

    def explain(convolved: Callable[[Tensor, Tensor], Tensor], x: Tensor = X) -> lrp.Relevance:
        def model(x: Tensor) -> Tensor:
            return head((torch.sigmoid(inner(x)) * F.gelu(convolved(kernel, x)))[:, -1])

        return lrp.explain(model, x, target=1, composite=preset, ledger="calls")

    ours, truth = explain(convolved_by_fft), explain(convolved_step_by_step)
    assert_same(ours.explained, truth.explained)
    assert_same(ours.input, truth.input)
    assert_balanced(ours)
    assert_blameless(ours)
    assert_same(ours.input, torch.cat([explain(convolved_by_fft, x[None]).input for x in X]))
