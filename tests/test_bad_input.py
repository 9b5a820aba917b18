"""Bad input: one clear error each, that says what, where, seen and the cure; nothing is changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import errors, on, rules, targets
from tests.cases.networks import CASES, prepare

MLP, X = CASES["mlp"].build(), CASES["mlp"].inputs()
VGG, IMAGES = CASES["vgg_bn"].build(), CASES["vgg_bn"].inputs()
NAN, INFINITE = X.clone(), X.clone()
NAN[1, 2] = torch.nan
INFINITE[2, 0] = -torch.inf


class Norm(nn.Module):
    """Batch norm and dropout in functional form."""

    def __init__(self, dropout: bool) -> None:
        super().__init__()
        self.fc, self.dropout = nn.Linear(10, 4), dropout
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("var", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc(x)
        return F.dropout(z) if self.dropout else F.batch_norm(z, self.mean, self.var, training=True)


@dataclasses.dataclass
class Output:
    scores: Tensor
    features: Tensor


def training(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(10, 4), *layers).double().train()


def explained(*args: Any, **options: Any) -> Callable[[], object]:
    return lambda: lrp.explain(*args, **options)


def composite(*entries: tuple[Any, rules.Rule], **options: Any) -> lrp.Composite:
    return lrp.Composite(entries, **options)


# what is wrong: (the call, the error, words of its message, words of where, seen and cure together)
BAD: dict[str, tuple[Callable[[], object], type[lrp.LRPError], str, str]] = {
    "features": (explained(MLP, X[:, :9]), errors.InputError, "forward pass failed on this input", "0: linear (3, 9)"),
    "axes": (explained(VGG, IMAGES[0, 0]), errors.InputError, "failed on this input", "0: conv2d (32, 32)"),
    "dtype": (explained(MLP, X.float()), errors.InputError, "forward pass failed on this input", "dtype 0: linear"),
    "NaN": (explained(MLP, NAN), errors.InputError, "not finite", "'input' (1, 2) nan 1 of 30 fill"),
    "infinite": (explained(MLP, INFINITE), errors.InputError, "not finite", "'input' (2, 0) -inf 1 of 30 fill"),
    "NaN, second input": (explained(torch.add, (X, NAN)), errors.InputError, "not finite", "'1' at (1, 2)"),
    "NaN, module as source": (explained(MLP, NAN, sources="0"), errors.InputError, "not finite", "nan (1, 0)"),
    "empty batch": (explained(MLP, X[:0]), errors.InputError, "empty", "(0, 10) at least one sample"),
    "empty batch, module as source": (explained(MLP, X[:0], sources="0"), errors.InputError, "empty", "(0, 16)"),
    "no features": (explained(MLP, X[:, :0]), errors.InputError, "empty", "(3, 0)"),
    "integer image": (
        explained(VGG, (IMAGES * 255).to(torch.uint8)), errors.InputError, "no floating", "uint8 .float() / 255"),
    "integer source": (
        explained(torch.add, (X, X.long()), sources=[1]), errors.InputError, "'1' is no floating", "int64"),
    "float16": (
        explained(lambda x: x * 1e4 * 1e4 * 1e-3, X.half() * 1e-4), errors.ModelError, "float16", ".bfloat16()"),
    "list": (explained(MLP, [X, X]), errors.InputError, "tensor, a tuple", "list tuple(inputs) torch.stack"),
    "list of numbers": (explained(MLP, [[1.0, 2.0]]), errors.InputError, "tensor, a tuple", "list"),
    "array": (explained(MLP, X.numpy()), errors.InputError, "tensor, a tuple", "ndarray torch.as_tensor"),
    "no input": (explained(MLP, ()), errors.InputError, "nothing that relevance", "no tensor"),
    "sources": (explained(torch.add, (X, X), sources=[2]), errors.InputError, "no input 2", "0, 1 sources"),
    "source name": (explained(MLP, {"input": X}, sources=["image"]), errors.InputError, "no input 'image'", "input"),
    "source number": (explained(torch.add, (X, X), sources=0), errors.InputError, "", "sources [0]"),
    "source module": (explained(MLP, X, sources="fc"), errors.LayerError, "no module 'fc'", "sources one of"),
    "model": (explained("resnet18", X), errors.InputError, "not callable", "str torch.nn.Module"),
    "batch norm": (
        explained(training(nn.BatchNorm1d(4)), X), errors.TrainingModeError, "training mode", "1 BatchNorm1d eval()"),
    "dropout": (explained(training(nn.Dropout()), X), errors.TrainingModeError, "training mode", "1 Dropout eval()"),
    "functional batch norm": (
        explained(Norm(False).double().eval(), X), errors.TrainingModeError, "batch norm", "batch_norm eval()"),
    "functional dropout": (
        explained(Norm(True).double().eval(), X), errors.TrainingModeError, "dropout", "dropout training=True eval()"),
    "batch norm without statistics": (
        explained(training(nn.BatchNorm1d(4, track_running_stats=False)).eval(), X),
        errors.TrainingModeError, "batch norm", "1: batch_norm track_running_stats"),
    "random slopes": (explained(training(nn.RReLU()), X), errors.TrainingModeError, "slopes", "1: rrelu eval()"),
    "target": (explained(MLP, X, target=4), errors.TargetError, "out of range: 4", "(3, 4) 4 classes 0 to 3"),
    "targets": (
        explained(MLP, X, target=torch.tensor([0, 1, 7])), errors.TargetError, "out of range", "7 4 classes 0 to 3"),
    "rank": (explained(MLP, X, target=lrp.targets.Top(5)), errors.TargetError, "rank 5", "1 to 4"),
    "rank 0": (explained(MLP, X, target=lrp.targets.Top(0)), errors.TargetError, "rank 0", "1 to 4"),
    "difference": (
        explained(MLP, X, target=lrp.targets.Difference(0, 9)), errors.TargetError, "out of range: 9", "0 to 3"),
    "target list": (explained(MLP, X, target=[0, 1, 2]), errors.TargetError, "list", "[0, 1, 2] torch.tensor"),
    "target tuple": (explained(MLP, X, target=(0, 1)), errors.TargetError, "tuple", "torch.tensor"),
    "target float": (explained(MLP, X, target=1.0), errors.TargetError, "float", "1.0 class index"),
    "target bool": (explained(MLP, X, target=True), errors.TargetError, "bool", "True"),
    "target name": (explained(MLP, X, target="cat"), errors.TargetError, "names of all classes", "'cat' labels="),
    "target length": (
        explained(MLP, X, target=torch.tensor([0, 1])), errors.TargetError, "per sample", "(2,) 3 samples (3,)"),
    "target axes": (
        explained(MLP, X, target=torch.zeros(3, 1, dtype=torch.long)), errors.TargetError, "one per sample", "(3, 1)"),
    "target scores": (
        explained(MLP, X, target=torch.zeros(3)), errors.TargetError, "class indices", "float32 integer"),
    "target function": (
        explained(MLP, X, target=lambda z: z), errors.TargetError, "one number per sample", "(3, 4) lambda"),
    "target function, number": (
        explained(MLP, X, target=lambda z: 1.0), errors.TargetError, "one number per sample", "float lambda"),
    "tuple output": (
        explained(lambda x: (MLP(x), x), X, target=1), errors.TargetError, "more than a tensor", "tuple (3, 4)"),
    "dict output": (
        explained(lambda x: {"scores": MLP(x)}, X), errors.TargetError, "more than a tensor", "dict scores: (3, 4)"),
    "object output": (
        explained(lambda x: Output(MLP(x), x), X), errors.TargetError, "more than a tensor", "Output scores: (3, 4)"),
    "image output": (
        explained(VGG[0], IMAGES, target=1), errors.TargetError, "more axes", "(3, 8, 32, 32) function"),
    "number output": (explained(lambda x: MLP(x).sum(), X), errors.TargetError, "sample", "()"),
    "integer output": (explained(lambda x: (MLP(x) > 0).long(), X), errors.TargetError, "not a floating", "int64"),
    "keep": (explained(MLP, X, keep=["fc*"]), errors.LayerError, "keep='fc*' matches no module", "5 modules '0'"),
    "keep, mapping": (
        explained(MLP, X, keep={"9": lrp.total}), errors.LayerError, "keep='9' matches no module", "5 modules one of"),
    "ledger": (explained(MLP, X, ledger="all"), lrp.LRPError, "no such ledger", "'all' sinks calls False"),
    "composite": (
        explained(MLP, X, composite=lrp.presets.zero), errors.CompositeError, "is no composite", "epsilon_plus()"),
    "composite name": (explained(MLP, X, composite="zero"), errors.CompositeError, "is no composite", "'zero'"),
    "unmatched entry": (
        explained(MLP, X, composite=composite((on.conv, rules.ZPlus()))),
        errors.CompositeError, "(conv, ZPlus(epsilon=1e-06)) matched no op call", "entry 0 linear activation r.plan"),
    "unmatched name": (
        explained(MLP, X, composite=composite(("fc1", rules.Zero()))), errors.CompositeError, "'fc1'", "entry 0"),
    "rule for another family": (
        explained(MLP, X, composite=composite((on.linear, rules.Gate()))),
        errors.CompositeError, "matched no op call", "the rule is for activation"),
    "second entry hidden": (
        explained(MLP, X, composite=composite((on.linear, rules.Zero()), ("2", rules.Epsilon()))),
        errors.CompositeError, "'2'", "entry 1"),
    "rule class": (lambda: composite((on.conv, rules.ZPlus)), errors.CompositeError, "a pair", "ZPlus()"),
    "no pair": (lambda: composite(on.conv), errors.CompositeError, "a pair", "conv"),
    "selector": (lambda: composite((nn.Linear, rules.Zero())), errors.CompositeError, "selector", "Linear layer4"),
    "negative epsilon": (lambda: rules.Epsilon(-1.0), errors.CompositeError, "at least 0", "rules.Epsilon -1.0"),
    "epsilon not a number": (lambda: rules.ZPlus(torch.nan), errors.CompositeError, "finite", "rules.ZPlus nan"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_clear_error(what: str):
    call, kind, message, words = BAD[what]
    before = [model.state_dict() for model in (MLP, VGG)]
    before = [{name: tensor.clone() for name, tensor in state.items()} for state in before]
    with pytest.raises(lrp.LRPError) as caught:
        call()
    error = caught.value
    assert type(error) is kind
    assert message in error.what
    assert all(word in str(error) for word in words.split(" ")), str(error)
    assert error.cure
    assert error.seen or error.where, "an error says what it saw, or where"
    assert error.what in str(error)
    for model, state in zip((MLP, VGG), before, strict=True):
        assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(X, CASES["mlp"].inputs())


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.BatchNorm1d(4, momentum=None), nn.Dropout()], ids=str)
def test_refused_training_mode_changes_no_statistics(layer: nn.Module):
    model, random = training(layer), torch.get_rng_state()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(errors.TrainingModeError):
        lrp.explain(model, X)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)


def test_training_mode_without_chance_is_fine():
    model = prepare(nn.Sequential(nn.Linear(10, 4), nn.Dropout(0.0), nn.ReLU()), seed=1)
    truth = lrp.explain(model, X).input
    assert torch.equal(lrp.explain(model.train(), X).input, truth)


def test_an_output_without_axes_is_not_said_to_have_too_many():
    with pytest.raises(errors.TargetError) as caught:
        lrp.explain(lambda x: MLP(x).sum(), X)
    assert "more axes" not in caught.value.what


def test_errors_are_a_tree():
    kinds = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(kind, lrp.LRPError) for kind in kinds if kind is not errors.LRPWarning)
    assert issubclass(errors.InputError, ValueError)
    assert issubclass(errors.LayerError, LookupError)
    for kind in kinds:
        if kind is not errors.LRPWarning and kind is not lrp.LRPError:
            error = kind("what", where="here", seen="this", cure="that")
            assert str(error) == "what\n  where: here\n  seen:  this\n  cure:  that"


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize("name", ["mlp", "conv1d_net"])
def test_half_precision_is_explained_in_single_precision(name: str, dtype: torch.dtype, tolerance: float):
    model, x = CASES[name].build().to(dtype), CASES[name].inputs().to(dtype)
    r = lrp.explain(model, x, target=0)
    assert r.input.dtype == torch.float32
    assert float(r.ledger.residual.abs()) <= tolerance * float(r.ledger.scale)
    truth = lrp.explain(model.double(), x.double(), target=0).input
    assert float((r.input - truth).abs().max()) <= 2 * tolerance * float(truth.abs().max())


@pytest.mark.parametrize(("scale", "x"), [(1e-4, 1e4), (20.0, 1e-2), (150.0, 1e-2)])
@pytest.mark.parametrize("target", [0, targets.Several(0, 1)])
def test_small_relevance_is_not_lost_in_float16(scale: float, x: float, target: Any):
    """Per unit of activation it is 1e-8 here, below all numbers of float16; or so large that a gain would overflow."""
    inputs = torch.tensor([[x, 0.7 * x], [0.3 * x, x]]).half()
    r = lrp.explain(lambda x: x * scale * scale, inputs, target=target, ledger="calls")
    truth = lrp.explain(lambda x: x * scale * scale, inputs.double(), target=target)
    torch.testing.assert_close(r.input, truth.input.float(), rtol=2e-3, atol=0)
    assert bool((r.ledger.residual.abs() <= 2e-3 * r.ledger.scale).all())


@pytest.mark.parametrize("name", ["mlp", "conv1d_net"])
def test_under_autocast_the_map_is_that_of_the_model_up_to_rounding(name: str):
    model, x = CASES[name].build().float(), CASES[name].inputs().float()
    with torch.autocast("cpu", torch.bfloat16):
        r = lrp.explain(model, x, target=0)
    assert r.input.dtype == torch.float32
    assert r.output.dtype == torch.bfloat16
    assert float(r.ledger.residual.abs()) <= 1e-3 * float(r.ledger.scale)
    truth = lrp.explain(model, x, target=0).input
    apart = float((r.input - truth).abs().max() / truth.abs().max())
    assert 0 < apart <= 8e-3, f"{apart:.2g} of the largest number apart"
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
