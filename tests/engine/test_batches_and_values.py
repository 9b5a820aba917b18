"""Laws about what goes in and comes out: batches, outputs bit for bit, parameters, fresh numbers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from tests.cases.networks import CASES, prepare
from tests.engine.checks import PRESETS, assert_balanced, assert_same, each_preset, normal

each_network = pytest.mark.parametrize("network", CASES)


@each_preset
@each_network
def test_output_and_batch(network: str, preset: str):
    """The model's output is what it is without lrp, bit for bit; a batch of N is N single samples."""
    case = CASES[network]
    model, x = case.build(), case.inputs()
    with torch.no_grad():
        outside = model(x)
    whole = lrp.explain(model, x, composite=PRESETS[preset]())
    assert torch.equal(whole.output, outside)
    assert not whole.output.requires_grad
    assert torch.equal(whole.explained, outside.max(1).values)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the sources' relevance is", lrp.LRPWarning)  # one has an output near 0
        singles = [lrp.explain(model, x[i : i + 1], composite=PRESETS[preset]()) for i in range(len(x))]
    assert_same(whole.input, torch.cat([single.input for single in singles]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("preset", ["zero", "epsilon_plus_flat"])
@pytest.mark.parametrize("network", ["mlp", "conv1d_net", "vgg_bn", "depthwise_net", "residual_functional"])
def test_output_is_bit_equal_in_every_dtype(network: str, preset: str, dtype: torch.dtype):
    case = CASES[network]
    model, x = case.build().to(dtype), case.inputs()[:1].to(dtype)
    with torch.no_grad():
        outside = model(x)
    r = lrp.explain(model, x, composite=PRESETS[preset](), ledger=False)
    assert torch.equal(r.output, outside)
    assert r.input.dtype == torch.float32


OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "added numbers": lambda x: 0.7 - ((x + 0.1) * 1.3 - 0.7),
    "added integers": lambda x: (x + 3) / 7 - 1,
    "where": lambda x: torch.where(x > 0, x + 0.1, 0.3).masked_fill(x < -1, 0.7),
    "assigned number": lambda x: _assigned(x),
    "pad": lambda x: F.pad(x, (1, 2), value=0.1),
    "glu": F.glu,
    "softmax": lambda x: F.softmax(x, 1) + F.log_softmax(x, 1),
    "division": lambda x: x / (x * x).mean(1, keepdim=True).add(1e-5),
    "product": lambda x: x * x.tanh() * x.sigmoid(),
    "in place": lambda x: x.clone().mul_(0.3).add_(0.1).sigmoid_(),
    "pooling": lambda x: F.max_pool1d(x[:, None], 2).flatten(1) + F.avg_pool1d(x[:, None], 2).flatten(1),
}


def _assigned(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, 0] = 0.1
    return y


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_are_bit_equal(operation: str, dtype: torch.dtype):
    x = normal(4, 6).to(dtype)
    for preset in PRESETS.values():
        r = lrp.explain(OPERATIONS[operation], x, target=1, composite=preset(), through_output=True, ledger="calls")
        assert torch.equal(r.output, OPERATIONS[operation](x))


@each_preset
def test_parameters_that_require_no_gradient(preset: str):
    for network in ("resnet18_small", "residual_functional"):
        case = CASES[network]
        frozen = case.build().requires_grad_(False)
        given = lrp.explain(case.build(), case.inputs(), composite=PRESETS[preset]())
        assert torch.equal(given.input, lrp.explain(frozen, case.inputs(), composite=PRESETS[preset]()).input)


def test_hand_written_norm_with_parameters_takes_parameters_for_constants():
    """What requires a gradient is not what carries data."""
    weight = nn.Parameter(normal(5, seed=1))

    def rms_norm(x: Tensor) -> Tensor:
        return x / (x * x).mean(1, keepdim=True).add(weight.sum() ** 2) * (weight * weight)

    x = normal(3, 5, seed=2)
    r = lrp.explain(rms_norm, x, target=1, composite=PRESETS["zero"]())
    assert_same(r.input.sum(1), r.explained)
    assert weight.grad is None


@pytest.mark.parametrize("how", ["plain", "requires grad", "no_grad", "inference_mode", "inference tensor"])
@each_preset
def test_the_users_grad_mode_does_not_matter(how: str, preset: str):
    model, x = CASES["vgg_bn"].build(), CASES["vgg_bn"].inputs()
    truth = lrp.explain(model, x, composite=PRESETS[preset]()).input
    if how == "requires grad":
        given = lrp.explain(model, x.requires_grad_(), composite=PRESETS[preset]())
        assert x.grad is None
    elif how == "no_grad":
        with torch.no_grad():
            given = lrp.explain(model, x, composite=PRESETS[preset]())
            given.ledger.by_sample()
        assert torch.is_grad_enabled()
    elif how == "inference_mode":
        with torch.inference_mode():
            given = lrp.explain(model, x, composite=PRESETS[preset]())
            given.ledger.by_sample()
            assert torch.is_inference_mode_enabled()
    elif how == "inference tensor":
        with torch.inference_mode():
            made = x.clone()
        given = lrp.explain(model, made, composite=PRESETS[preset]())
    else:
        given = lrp.explain(model, x, composite=PRESETS[preset]())
    assert torch.equal(given.input, truth)
    assert not given.input.requires_grad


def test_model_made_in_inference_mode():
    with torch.inference_mode():
        model = CASES["vgg_bn"].build()
        x = CASES["vgg_bn"].inputs()
        truth = CASES["vgg_bn"].build()(x)
    for preset in PRESETS.values():
        r = lrp.explain(model, x, composite=preset())
        assert torch.equal(r.output, truth)
        assert_balanced(r)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv1d(2, 6, 3), nn.BatchNorm1d(6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.norm(self.conv(x))).mean(2))


def _data(model: Small) -> None:
    model.conv.weight.data.mul_(1.5)


def _copied(model: Small) -> None:
    with torch.no_grad():
        model.conv.weight.copy_(normal(6, 2, 3, seed=9))


def _loaded(model: Small) -> None:
    model.load_state_dict({name: 0.5 * tensor for name, tensor in model.state_dict().items()})


def _swapped(model: Small) -> None:
    model.conv.weight = nn.Parameter(normal(6, 2, 3, seed=8))


def _data_swapped(model: Small) -> None:
    model.conv.weight.data = normal(6, 2, 3, seed=7)


def _bias(model: Small) -> None:
    model.conv.bias.data.neg_()


def _statistics(model: Small) -> None:
    model.norm.running_var.mul_(3)


def _module_swapped(model: Small) -> None:
    model.fc = prepare(nn.Linear(6, 4), seed=77)


CHANGES = [_data, _copied, _loaded, _swapped, _data_swapped, _bias, _statistics, _module_swapped]


@each_preset
def test_changed_parameters_give_fresh_numbers(preset: str):
    model, x = prepare(Small(), seed=40), normal(3, 2, 9, seed=42)
    explainer = lrp.Explainer(model, composite=PRESETS[preset]())
    last = explainer(x, target=1).input
    assert torch.equal(explainer(x, target=1).input, last)
    for change in CHANGES:
        change(model)
        fresh = explainer(x, target=1)
        assert torch.equal(
            fresh.input, lrp.explain(copy.deepcopy(model), x, target=1, composite=PRESETS[preset]()).input
        )
        assert not torch.equal(fresh.input, last), change.__name__
        assert_balanced(fresh)
        last = fresh.input


@each_preset
def test_a_weight_overwritten_between_its_uses(preset: str):
    def given(x: Tensor) -> Tensor:
        weight = normal(2, 2, 3, seed=43)
        y = F.conv1d(x, weight)
        weight.mul_(-2)
        return F.conv1d(y, weight).mean(2)

    def clean(x: Tensor) -> Tensor:
        weight = normal(2, 2, 3, seed=43)
        return F.conv1d(F.conv1d(x, weight), -2 * weight).mean(2)

    x = normal(3, 2, 9, seed=44)
    ours, truth = (lrp.explain(model, x, composite=PRESETS[preset]()) for model in (given, clean))
    assert torch.equal(ours.output, truth.output)
    assert_same(ours.input, truth.input)
