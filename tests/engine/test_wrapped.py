"""What people wrap a model in (adapters, replicas, shards, offloading) gives the map of the model within."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

import lrp
from lrp import on, presets, rules, targets
from tests.cases.networks import prepare
from tests.engine.checks import PRESETS, assert_balanced, assert_blameless, assert_same, normal

X = normal(3, 4, seed=1)
MODEL = prepare(nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3)), seed=2)


class Adapter(nn.Module):
    """An adapter of low rank beside a linear layer, as peft has it: `base(x) + B(A(dropout(x))) * scaling`."""

    def __init__(self, base: nn.Linear, rank: int = 2) -> None:
        super().__init__()
        self.base, self.scaling, self.dropout = base, 0.7, nn.Dropout(0.1)
        self.a = prepare(nn.Linear(base.in_features, rank, bias=False), seed=3)
        self.b = prepare(nn.Linear(rank, base.out_features, bias=False), seed=4)

    def delta(self) -> Tensor:
        return self.b.weight @ self.a.weight * self.scaling

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.b(self.a(self.dropout(x))) * self.scaling

    def merged(self) -> nn.Linear:
        return self._with(self.base.weight + self.delta())

    def _with(self, weight: Tensor) -> nn.Linear:
        layer = deepcopy(self.base)
        layer.weight.data = weight.detach()
        return layer


class Decomposed(Adapter):
    """DoRA, as peft has it: rows of the weight with a norm of their own, and the bias added outside of it."""

    def __init__(self, base: nn.Linear, rank: int = 2) -> None:
        super().__init__(base, rank)
        self.magnitude = nn.Parameter(base.weight.detach().norm(dim=1) * 1.5)

    def _scale(self) -> Tensor:
        norm = (self.base.weight + self.delta().detach()).norm(dim=1).detach()
        return self.magnitude / norm

    def forward(self, x: Tensor) -> Tensor:
        result, x = self.base(x), self.dropout(x)
        base = result - self.base.bias
        scale = self._scale()
        return result + (scale - 1) * base + scale * self.b(self.a(x)) * self.scaling

    def merged(self) -> nn.Linear:
        return self._with(self._scale()[:, None] * (self.base.weight + self.delta()))


def adapted(adapter: Callable[[nn.Linear], Adapter]) -> nn.Sequential:
    layers = deepcopy(MODEL)
    return nn.Sequential(adapter(layers[0]), layers[1], adapter(layers[2])).double().eval()


@pytest.mark.parametrize("adapter", [Adapter, Decomposed])
def test_an_adapter_has_the_map_of_its_merged_layer(adapter: Callable[[nn.Linear], Adapter]):
    """The function is the same, and LRP-0 asks for nothing else; other rules see three layers in the place of one."""
    model = adapted(adapter)
    r = lrp.explain(model, X, target=0, composite=presets.zero(), ledger="calls", keep="all")
    plain = nn.Sequential(model[0].merged(), model[1], model[2].merged())
    truth = lrp.explain(plain, X, target=0, composite=presets.zero(), keep="all")
    assert_same(r.output, truth.output)
    assert_same(r.input, truth.input)
    assert_same(r["0"], truth["0"])
    assert_blameless(r)
    kept = [sum(amounts.ledger.by_kind().values()) for amounts in (r, truth)]
    torch.testing.assert_close(*kept, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("adapter", [Adapter, Decomposed])
def test_the_books_of_an_adapter_balance(adapter: Callable[[nn.Linear], Adapter], preset: str):
    model = adapted(adapter)
    before = deepcopy(model.state_dict())
    assert_balanced(lrp.explain(model, X, target=0, composite=PRESETS[preset]()))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


class Offloaded:
    """Weights that are there only while their module runs, as accelerate keeps them: its `forward` is replaced."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.weights = module, {name: value.detach() for name, value in module.named_parameters()}
        self.forward, module.forward = module.forward, self
        self.leave()

    def set(self, name: str, value: Tensor) -> None:
        self.module._parameters[name] = nn.Parameter(value, requires_grad=False)

    def leave(self) -> None:
        for name in self.weights:
            self.set(name, self.weights[name].to("meta"))

    def __call__(self, x: Tensor) -> Tensor:
        for name, value in self.weights.items():
            self.set(name, value.clone())
        try:
            return self.forward(x.to("cpu"))
        finally:
            self.leave()


@pytest.mark.parametrize("preset", PRESETS)
def test_weights_that_come_and_go(preset: str):
    model = deepcopy(MODEL)
    offloaded = [Offloaded(layer) for layer in (model[0], model[2])]
    r = lrp.explain(model, X, target=0, composite=PRESETS[preset](), ledger="calls", keep="all")
    truth = lrp.explain(MODEL, X, target=0, composite=PRESETS[preset](), keep="all")
    assert torch.equal(r.input, truth.input)
    assert list(r.layers) == list(truth.layers)
    assert_blameless(r)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert [layer.forward for layer in (model[0], model[2])] == offloaded
    assert torch.equal(model(X), MODEL(X))


def test_hooks_that_move_tensors():
    model = deepcopy(MODEL)

    def moved(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        return tuple(arg.to("cpu", copy=True) for arg in args), kwargs

    handles = [layer.register_forward_pre_hook(moved, with_kwargs=True) for layer in model]
    handles += [layer.register_forward_hook(lambda module, args, output: output.to("cpu")) for layer in model]
    r = lrp.explain(model, X, target=0, ledger="calls", keep="all")
    truth = lrp.explain(MODEL, X, target=0, keep="all")
    assert torch.equal(r.input, truth.input)
    assert list(r.layers) == list(truth.layers)
    assert_blameless(r)
    assert [len(layer._forward_pre_hooks) + len(layer._forward_hooks) for layer in model] == [2, 2, 2]
    for handle in handles:
        handle.remove()


@pytest.fixture(scope="module")
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A process group of this process alone."""
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("this torch has no gloo")
    store = dist.FileStore(str(tmp_path_factory.mktemp("group") / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def convolutional() -> nn.Sequential:
    """Blocks with a batch norm, whose folding crosses what wraps them, and a last one of a linear layer."""
    first = nn.Sequential(nn.Conv1d(2, 4, 2), nn.BatchNorm1d(4), nn.ReLU())
    second = nn.Sequential(nn.Conv1d(4, 3, 2, padding=1), nn.BatchNorm1d(3), nn.SiLU())
    return prepare(nn.Sequential(first, second, nn.Sequential(nn.Flatten(), nn.Linear(15, 3))), seed=5)


SERIES = normal(3, 2, 5, seed=6)


def trained(model: nn.Module) -> list[Tensor]:
    """The gradients of one step of training."""
    model.zero_grad()
    model(SERIES).square().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    return [gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient for gradient in gradients]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("wrap", [nn.DataParallel, nn.parallel.DistributedDataParallel])
@pytest.mark.usefixtures("_alone")
def test_replicas(wrap: Callable[[nn.Module], nn.Module], preset: str):
    plain = convolutional()
    model = wrap(deepcopy(plain))
    r = lrp.explain(model, SERIES, target=0, composite=PRESETS[preset](), ledger="calls", keep="all")
    truth = lrp.explain(plain, SERIES, target=0, composite=PRESETS[preset](), keep="all")
    assert torch.equal(r.input, truth.input)
    assert [name.removeprefix("module.") for name in r.layers if name != "module"] == list(truth.layers)
    assert_blameless(r)
    for given, expected in zip(trained(model), trained(plain), strict=True):
        assert torch.equal(given, expected)


class Scatter(torch.autograd.Function):
    """What nn.DataParallel sends its inputs through where there is a GPU, even if it is one: of its name, on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> Tensor:
        return relevance


def test_replicas_on_gpus_are_refused_with_the_cure():
    with pytest.raises(lrp.errors.UnseenError, match=r"model\.module of nn\.DataParallel"):
        lrp.explain(lambda x: MODEL(Scatter.apply(x)), X, target=0)


def sharded(model: nn.Module) -> nn.Module:
    """FSDP's `fully_shard` on each child, then on the whole."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    shard = partial(fully_shard, mesh=init_device_mesh("cpu", (1,)))
    for child in model.children():
        if next(child.parameters(), None) is not None:
            shard(child)
    return shard(model)


SHARDED: dict[str, Callable[[], lrp.Composite]] = {
    **PRESETS,
    "flat within": lambda: lrp.Composite([("1.0", rules.Flat()), (on.first & on.conv, rules.Flat())]),
}


@pytest.mark.parametrize("preset", SHARDED)
@pytest.mark.usefixtures("_alone")
def test_shards(preset: str):
    plain = convolutional()
    model = sharded(deepcopy(plain))
    several = targets.Several(0, 1)
    for target in (0, several):
        r = lrp.explain(model, SERIES, target=target, composite=SHARDED[preset](), ledger="calls", keep="all")
        truth = lrp.explain(plain, SERIES, target=target, composite=SHARDED[preset](), keep="all")
        assert torch.equal(r.input, truth.input)
        assert [str(row) for row in r.plan] == [str(row) for row in truth.plan]
        assert list(r.layers) == list(truth.layers)
    assert_same(r.ledger.by_sample().sources, truth.ledger.by_sample().sources)
    for given, expected in zip(trained(model), trained(plain), strict=True):
        assert torch.equal(given, expected)


@pytest.mark.usefixtures("_alone")
def test_shards_keep_what_is_known_of_a_tensor():
    """The factors of a product and the counterpart in a reference go on across a module's entrance."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x: Tensor, gate: Tensor) -> Tensor:
            return self.linear(x * gate)

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.gated = nn.Linear(4, 4), nn.Linear(4, 4), Gated()

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x)
            return self.gated(h * self.second(x), gate=h.flip(1))

    plain = prepare(Product(), seed=7)
    model = sharded(deepcopy(plain))
    assert torch.equal(lrp.explain(model, X, target=0).input, lrp.explain(plain, X, target=0).input)
    relu = prepare(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), seed=8)
    r = lrp.explain(sharded(deepcopy(relu)), X, target=0, reference="zero")
    assert torch.equal(r.input, lrp.explain(relu, X, target=0, reference="zero").input)


@pytest.mark.usefixtures("_alone")
def test_a_final_softmax_within_shards_is_refused_and_its_probability_explained():
    """Weights that were let go come back at the output of their module, which stepping over would go around."""
    plain = nn.Sequential(*deepcopy(MODEL)[:2], nn.Sequential(deepcopy(MODEL)[2], nn.Softmax(1)))
    model = sharded(deepcopy(plain))
    for explained in (model, lambda x: model(x)):
        with pytest.raises(lrp.errors.ModelError, match=r"final softmax[\s\S]*FSDP[\s\S]*through_output=True"):
            lrp.explain(explained, X, target=0)
    r = lrp.explain(model, X, target=0, through_output=True)
    assert torch.equal(r.input, lrp.explain(plain, X, target=0, through_output=True).input)
