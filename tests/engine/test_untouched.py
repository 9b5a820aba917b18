"""The model, the inputs and torch itself are as they were: after a result, and after an exception."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

import lrp
from tests.cases.networks import CASES, ResNet, prepare
from tests.engine.checks import PRESETS, each_preset, normal

HOOKS = [name for name in vars(nn.Module()) if name.endswith(("_hooks", "_hooks_with_kwargs", "_always_called"))]
GLOBAL_HOOKS = [
    name for name in vars(torch_module) if name.startswith("_global_") and name.endswith(("hooks", "called"))
]


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Everything about a model, and about torch, that an explanation might leave changed."""
    state = {
        "modules": [(name, id(module), module.training) for name, module in model.named_modules()],
        "attributes": [(name, {k: id(v) for k, v in vars(m).items()}) for name, m in model.named_modules()],
        "classes": [(type(m).__name__, dict(vars(type(m)))) for m in model.modules()],
        "hooks": [(name, hook, dict(getattr(m, hook))) for name, m in model.named_modules() for hook in HOOKS],
        "globals": [(name, dict(getattr(torch_module, name))) for name in GLOBAL_HOOKS],
        "flags": [(name, p.requires_grad, p.grad, p._version) for name, p in model.named_parameters()],
        "buffers": [(name, id(b), b.requires_grad, b.grad_fn, b._version) for name, b in model.named_buffers()],
        "torch": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype()),
        "modes": torch.overrides._get_current_function_mode_stack(),
        "functions": (F.relu, torch.relu, torch.Tensor.relu, nn.Module.__call__, torch.autograd.grad),
    }
    return state


@contextmanager
def unchanged(model: nn.Module, *inputs: Tensor) -> Iterator[None]:
    before = snapshot(model)
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    values = [(t.clone(), t._version, t.requires_grad, t.grad_fn) for t in inputs]
    random = torch.get_rng_state()
    try:
        yield
    finally:
        after = snapshot(model)
        for part in before:
            assert after[part] == before[part], part
        assert tensors.keys() == model.state_dict().keys()
        assert all(torch.equal(tensors[name], tensor) for name, tensor in model.state_dict().items())
        assert torch.equal(torch.get_rng_state(), random)
        for tensor, (value, version, flag, grad_fn) in zip(inputs, values, strict=True):
            assert torch.equal(tensor, value)
            assert (tensor._version, tensor.requires_grad, tensor.grad_fn) == (version, flag, grad_fn)
            assert tensor.grad is None


@each_preset
@pytest.mark.parametrize("network", ["resnet18_small", "vgg_bn", "residual_functional"])
def test_model_is_as_it_was(network: str, preset: str):
    model, x = CASES[network].build(), CASES[network].inputs()
    with unchanged(model, x):
        r = lrp.explain(model, x, composite=PRESETS[preset](), keep="all", ledger="calls")
        r.ledger.by_sample()


def test_gradients_and_flags_of_parameters_stay():
    model = CASES["mlp"].build()
    model[0].weight.requires_grad_(False)
    model[2].weight.grad = gradient = torch.ones_like(model[2].weight)
    lrp.explain(model, CASES["mlp"].inputs())
    assert model[2].weight.grad is gradient
    assert torch.equal(gradient, torch.ones_like(gradient))
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True, True]


def test_training_flags_stay_in_a_mixed_model():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Dropout(0.0), nn.Linear(3, 2))
    model[1].eval()
    x = torch.randn(2, 3)
    with unchanged(model, x):
        lrp.explain(model, x)


def test_the_users_own_hooks_run_and_stay():
    model, x = CASES["mlp"].build(), CASES["mlp"].inputs()
    plain = lrp.explain(model, x).input
    seen: list[str] = []
    model[2].register_forward_hook(lambda m, args, out: seen.append("forward"))
    model[2].register_forward_pre_hook(lambda m, args: seen.append("pre"))
    everywhere = nn.modules.module.register_module_forward_hook(lambda m, args, out: seen.append("global"))
    try:
        with unchanged(model, x):
            torch.testing.assert_close(lrp.explain(model, x).input, plain, rtol=1e-12, atol=0)
    finally:
        everywhere.remove()
    assert {"forward", "pre", "global"} <= set(seen)


def test_a_backward_hook_changes_no_number():
    """Such hooks put a node of their own into the graph: explained alike, or refused by name."""
    model, x = CASES["mlp"].build(), CASES["mlp"].inputs()
    plain = lrp.explain(model, x).input
    model[2].register_full_backward_hook(lambda m, grad_in, grad_out: (2 * grad_in[0],))
    with contextlib.suppress(lrp.errors.UnseenError):
        torch.testing.assert_close(lrp.explain(model, x).input, plain, rtol=1e-12, atol=0)


def test_a_hook_that_changes_an_output_is_part_of_the_model():
    model, x = CASES["mlp"].build(), CASES["mlp"].inputs()
    model[1].register_forward_hook(lambda m, args, out: out * 2)
    clean = CASES["mlp"].build()
    r = lrp.explain(model, x)
    truth = lrp.explain(lambda x: clean[4](F.relu(clean[2](2 * F.relu(clean[0](x))))), x)
    torch.testing.assert_close(r.input, truth.input, rtol=1e-12, atol=1e-14)


class Raises(ResNet):
    """Fails half way, in one of several places."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error
        self.layer2[0].register_forward_hook(self._raise)

    def _raise(self, *args: Any) -> None:
        raise self.error("half way")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, RuntimeError])
@each_preset
def test_after_an_exception_in_the_model(error: type[BaseException], preset: str):
    model, x = prepare(Raises(error), seed=4), CASES["resnet18_small"].inputs()
    with unchanged(model, x), pytest.raises(error, match="half way"):
        lrp.explain(model, x, composite=PRESETS[preset](), keep="all")
    assert lrp.explain(CASES["mlp"].build(), CASES["mlp"].inputs()).ledger is not None


def test_the_models_own_error_comes_as_it_was_raised():
    """With its own cause and context; an error that is its own cause makes loggers loop."""

    def model(x: Tensor) -> Tensor:
        try:
            return {}[x.shape[0]]
        except KeyError as missing:
            raise ValueError("no such size") from missing

    with pytest.raises(ValueError, match="no such size") as caught:
        lrp.explain(model, torch.ones(1, 2))
    assert not isinstance(caught.value, lrp.LRPError)
    assert isinstance(caught.value.__cause__, KeyError)


BAD: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "target": lambda model, x: lrp.explain(model, x, target=99),
    "shape": lambda model, x: lrp.explain(model, x[:, :2]),
    "entry": lambda model, x: lrp.explain(model, x, composite=lrp.Composite([("nowhere", lrp.rules.Zero())])),
    "uncovered": lambda model, x: lrp.explain(model, x, target=lambda y: torch.angle(y)[:, 0]),
    "target function": lambda model, x: lrp.explain(model, x, target=lambda y: y["logits"]),
}


@pytest.mark.parametrize("what", BAD)
def test_after_an_error_of_lrp(what: str):
    model, x = CASES["resnet18_small"].build(), CASES["resnet18_small"].inputs()
    with unchanged(model, x), pytest.raises((lrp.LRPError, IndexError, TypeError)):
        BAD[what](model, x)


class WritesItsInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        x.mul_(2).relu_()
        x[:, 0] = 0
        scale.mul_(3)
        return self.fc(x * scale)


@pytest.mark.parametrize("sources", [None, [0], ["1"]], ids=str)
@each_preset
def test_the_users_inputs_stay_even_if_the_model_writes_into_them(sources: list[str | int] | None, preset: str):
    model, x, scale = prepare(WritesItsInput(), seed=5), normal(3, 4, seed=6), normal(3, 4, seed=7)
    outside = model(x.clone(), scale.clone())
    with unchanged(model, x, scale):
        r = lrp.explain(model, (x, scale), sources=sources, composite=PRESETS[preset]())
        assert torch.equal(r.output, outside)
        r.ledger.by_sample()


def test_automatic_choice_runs_a_model_on_unwritten_inputs():
    """`auto` may look twice; the model sees the same input each time."""
    weight = normal(4, 2, 3, seed=8)

    def model(x: Tensor, shift: Tensor) -> Tensor:
        shift.mul_(2)
        return (F.conv1d(x, weight) + shift).mean(2)

    x, shift = normal(3, 2, 5, seed=9), torch.ones(3, 4, 3, dtype=torch.float64)
    outside = model(x, shift.clone())
    r = lrp.explain(model, (x, shift), sources=[0])
    assert r.composite.name == "epsilon_gamma"
    assert torch.equal(r.output, outside)
    assert torch.equal(shift, torch.ones_like(shift))


class DrawsNoise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + torch.rand(1, dtype=x.dtype))


def test_random_state_stays_if_the_model_draws():
    model, x = DrawsNoise(), normal(2, 3)
    with unchanged(model, x):
        first = lrp.explain(model, x, target=0)
        second = lrp.explain(model, x, target=0)
        first.ledger.by_sample()
    assert torch.equal(first.output, second.output)


class Caches(nn.Module):
    """Writes what it computes into a buffer, as a key-value cache does."""

    cache: Tensor
    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("cache", torch.zeros(2, 4))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1
        self.cache[:] = self.fc(x)
        return F.relu(self.cache)


def test_buffers_that_the_model_fills_hold_no_graph():
    model, x = prepare(Caches(), seed=10), normal(2, 4, seed=11)
    r = lrp.explain(model, x)
    assert not model.cache.requires_grad
    assert torch.equal(model.cache, model.fc(x).detach())
    clean = lrp.explain(lambda x: F.relu(model.fc(x)), x)
    torch.testing.assert_close(r.input, clean.input, rtol=1e-12, atol=1e-14)


def test_a_functional_batch_norm_in_training_mode_changes_nothing():
    norm, x = nn.BatchNorm1d(3).train(), torch.randn(4, 3)
    with unchanged(norm, x), pytest.raises(lrp.errors.TrainingModeError):
        lrp.explain(lambda x: norm(x), x)
