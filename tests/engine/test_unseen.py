"""What the function mode cannot see is refused by its name, and `lrp.register` is the cure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import lrp
from lrp import presets, rules
from lrp.errors import CompositeError, UncoveredError, UnseenError
from tests.cases.networks import prepare
from tests.engine.checks import assert_balanced, assert_same, normal

X = normal(3, 5, seed=1)
FIRST, LAST = prepare(nn.Linear(5, 4), seed=50), prepare(nn.Linear(4, 2), seed=51)


class Half(torch.autograd.Function):
    """A foreign autograd function, linear in its data."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x / 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad / 2


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.fc(x))


class Host(nn.Module):
    """A model with a part of any kind in the middle."""

    def __init__(self, part: Any) -> None:
        super().__init__()
        self.first, self.part, self.last = FIRST, part, LAST

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.part(self.first(x)))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("how", ["script", "trace"])
def test_torchscript_part_is_refused_by_its_nodes(how: str):
    part = prepare(Part(), seed=52)
    compiled = torch.jit.script(part) if how == "script" else torch.jit.trace(part, normal(3, 4))
    for _ in range(3):  # the first runs are profiled, later ones optimised
        with pytest.raises(UnseenError, match=r"(Gelu|DifferentiableGraph)Backward") as caught:
            lrp.explain(Host(compiled), X)
    assert "TorchScript" in caught.value.seen
    assert "original Python module" in caught.value.cure


def test_compiled_or_not_the_python_module_is_explained():
    r = lrp.explain(Host(prepare(Part(), seed=52)), X)
    assert_balanced(r)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_torchscript_off_the_way_is_fine():
    mask = torch.jit.script(prepare(nn.Linear(4, 4), seed=53))

    def model(x: Tensor) -> Tensor:
        return LAST(FIRST(x) + mask(normal(1, 4)))

    assert_balanced(lrp.explain(model, X))


def test_foreign_autograd_function_is_refused_by_name_and_can_be_registered():
    model = Host(Half.apply)
    with pytest.raises(UnseenError, match="HalfBackward"):
        lrp.explain(model, X)
    undo = lrp.register("HalfBackward", rules.Zero())
    try:
        r = lrp.explain(model, X, ledger="calls")
        assert_same(r.input, lrp.explain(Host(lambda h: h * 0.5), X).input)
        assert_balanced(r)
    finally:
        undo()
    with pytest.raises(UnseenError, match="HalfBackward"):
        lrp.explain(model, X)


class FourBits(torch.autograd.Function):
    """A quantised linear layer: weights of four bits, two in a byte, a scale for each row, and a bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(packed, scale)
        return x @ FourBits.unpacked(packed, scale).T + bias

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad @ FourBits.unpacked(*ctx.saved_tensors), None, None, None

    @staticmethod
    def unpacked(packed: Tensor, scale: Tensor) -> Tensor:
        return (torch.stack([packed % 16, packed // 16], -1).flatten(1).to(scale.dtype) - 8) * scale


@pytest.mark.parametrize("inside", [0.0, 0.5], ids=["no bias", "a bias inside"])
def test_a_quantised_linear_layer_is_registered_by_its_node(inside: float):
    """A bias that the function adds within itself is what the books miss."""
    packed, scale = torch.tensor([[3, 250], [129, 20], [77, 5], [8, 99]]).to(torch.uint8), normal(4, 1, seed=3).abs()
    weight, bias = FourBits.unpacked(packed, scale), torch.full((4,), inside, dtype=torch.float64)
    model = Host(lambda h: FourBits.apply(h, packed, scale, bias))
    with pytest.raises(UnseenError, match="FourBitsBackward"):
        lrp.explain(model, X)
    undo = lrp.register("FourBitsBackward", rules.Zero())
    try:
        with pytest.warns(lrp.LRPWarning, match="do not balance") if inside else nullcontext():
            r = lrp.explain(model, X, target=1)
    finally:
        undo()
    clean = lrp.explain(Host(lambda h: F.linear(h, weight)), X, target=1)
    assert_same(r.input, clean.input)
    assert_same(r.ledger.residual[None] + 1, (len(X) * bias @ LAST.weight.detach()[1])[None] + 1)


def test_foreign_function_off_the_way_is_fine():
    r = lrp.explain(lambda x: {"logits": FIRST(x), "other": Half.apply(FIRST(x))}, X, target=2)
    assert_same(r.input, lrp.explain(FIRST, X, target=2).input)


def test_neighbours_of_an_unseen_node_are_named():
    with pytest.raises(UnseenError, match=r"HalfBackward, which reads \w+"):
        lrp.explain(Host(Half.apply), X, composite=presets.zero())


UNCOVERED = {
    "angle": lambda h: torch.angle(h),
    "inverse": lambda h: torch.linalg.inv(torch.matrix_exp(h.unsqueeze(2) * h.unsqueeze(1)))[..., 0],
    "matrix_exp": lambda h: torch.matrix_exp(h.unsqueeze(2) * h.unsqueeze(1))[..., 0],
    "cholesky": lambda h: torch.linalg.cholesky(h.unsqueeze(2) * h.unsqueeze(1) + torch.eye(4))[..., 0],
}


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("angle", ["angle"]),
        ("inverse", ["matrix_exp", "linalg_inv"]),
        ("matrix_exp", ["matrix_exp"]),
        ("cholesky", ["linalg_cholesky"]),
    ],
)
def test_uncovered_op_calls_are_listed_with_their_place(part: str, names: list[str]):
    class Spectral(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return UNCOVERED[part](x)

    with pytest.raises(UncoveredError) as caught:
        lrp.explain(nn.Sequential(FIRST, nn.Sequential(Spectral()), LAST), X)
    table = [line.split() for line in str(caught.value).splitlines()]
    for name in names:
        assert [name, "1.0"] in [row[:2] for row in table]
    assert f"{len(names)} op call" in caught.value.what
    assert "lrp.register" in caught.value.cure


def test_uncovered_op_call_off_the_way_is_fine():
    def model(x: Tensor) -> tuple[Tensor, Tensor]:
        return FIRST(x), torch.angle(FIRST(x))

    r = lrp.explain(model, X, target=lambda output: output[0][:, 1])
    assert_same(r.input, lrp.explain(FIRST, X, target=1).input)
    with pytest.raises(UncoveredError, match="angle"):
        lrp.explain(model, X, target=lambda output: output[1][:, 1])


def test_uncovered_constant_is_fine():
    assert_balanced(lrp.explain(lambda x: LAST(FIRST(x) * torch.angle(normal(1, 4))), X))


def test_uncovered_op_call_below_the_source_is_fine():
    class Below(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.angle(x)

    model = nn.Sequential(Below(), FIRST)
    with pytest.raises(UncoveredError):
        lrp.explain(model, X)
    lrp.explain(model, X, sources="0")


@torch.library.custom_op("lrp_tests::mixed", mutates_args=())
def mixed(x: Tensor) -> Tensor:
    return x @ MIX


mixed.register_autograd(lambda ctx, grad: grad @ MIX.T)
MIX = normal(4, 4, seed=5)


@pytest.mark.parametrize("called", [mixed, torch.ops.lrp_tests.mixed, torch.ops.lrp_tests.mixed.default])
@pytest.mark.parametrize("registered", [mixed, torch.ops.lrp_tests.mixed, torch.ops.lrp_tests.mixed.default])
def test_registered_operator_of_a_library(registered: Any, called: Any):
    model = Host(called)
    with pytest.raises(UncoveredError, match="mixed"):
        lrp.explain(model, X)
    undo = lrp.register(registered, rules.Zero())
    try:
        r = lrp.explain(model, X, ledger="calls")
    finally:
        undo()
    assert_same(r.input, lrp.explain(Host(lambda h: h @ MIX), X).input)
    assert_balanced(r)
    with pytest.raises(UncoveredError, match="mixed"):
        lrp.explain(model, X)


def test_registered_linear_operation():
    upsample = torch._C._nn.upsample_nearest1d  # the table knows F.interpolate, which the mode sees in its place
    model = Host(lambda h: upsample(h.unsqueeze(0), (8,), None)[0, :, ::2])
    undo = lrp.register(upsample, rules.Zero())
    try:
        r = lrp.explain(model, X, composite=presets.zero())
    finally:
        undo()
    assert_same(r.input, lrp.explain(Host(lambda h: h * 1.0), X, composite=presets.zero()).input)
    assert_balanced(r)
    with pytest.raises(UncoveredError):
        lrp.explain(model, X)


@pytest.mark.parametrize("call", [torch.sinh, lambda h: h.sinh(), torch.sinh_, lambda h: h.sinh_()], ids=range(4))
def test_registered_activation_however_it_is_called(call: Any):
    undo = lrp.register(torch.sinh, rules.Gate())
    try:
        r = lrp.explain(lambda x: LAST(call(FIRST(x))), X, composite=presets.zero())
    finally:
        undo()
    z = FIRST(X).detach()
    truth = lrp.explain(lambda x: LAST(FIRST(x) * (torch.sinh(z) / z)), X, composite=presets.zero())
    assert_same(r.input, truth.input)
    assert_balanced(r)


def test_registering_again_and_undoing():
    first = lrp.register(torch.angle, rules.Zero())
    second = lrp.register(torch.angle, rules.Gate())
    second()
    r = lrp.explain(lambda x: torch.angle(x), X, target=0, ledger=False)
    assert r.plan.rows[0].rule == "Zero()"
    assert r.plan.rows[0].entry == "(registered)"
    first()
    with pytest.raises(UncoveredError):
        lrp.explain(lambda x: torch.angle(x), X, target=0)


@pytest.mark.parametrize(
    ("function", "rule"), [(torch.sinh, rules.ZPlus()), ("HalfBackward", rules.ZPlus()), (torch.sinh, rules.Flat())]
)
def test_rule_that_cannot_be_registered(function: Any, rule: rules.Rule):
    with pytest.raises(CompositeError, match=r"rules.Zero\(\)"):
        lrp.register(function, rule)


def test_a_reentrant_checkpoint_is_refused_by_name():
    part = prepare(Part(), seed=52)
    with pytest.raises(lrp.errors.UnseenError, match="CheckpointFunctionBackward"):
        lrp.explain(Host(lambda h: checkpoint(part, h, use_reentrant=True)), X)


def moved_away(part: nn.Module, h: Tensor) -> Tensor:
    with torch.autograd.graph.save_on_cpu():
        return part(h)


SAVING: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "checkpoint": lambda part, h: checkpoint(part, h, use_reentrant=False),
    "nested": lambda part, h: checkpoint(lambda g: SAVING["checkpoint"](part, g), h, use_reentrant=False),
    "save_on_cpu": moved_away,
}


@pytest.mark.parametrize("how", SAVING)
@pytest.mark.parametrize("preset", [presets.zero, presets.epsilon_plus_flat])
def test_how_a_model_saves_memory_changes_nothing(how: str, preset: Callable[[], lrp.Composite]):
    part = prepare(Part(), seed=52)
    r = lrp.explain(Host(lambda h: SAVING[how](part, h)), X, composite=preset(), ledger="calls")
    assert torch.equal(r.input, lrp.explain(Host(part), X, composite=preset()).input)
    assert_balanced(r)


@pytest.mark.parametrize(
    "call",
    [lambda x: torch.hypot(x, x.flip(1)), lambda x: torch.hypot(torch.full_like(x, 2.0), x)],
    ids=["two", "second"],
)
def test_registered_activation_is_for_one_data_tensor_in_front(call: Callable[[Tensor], Tensor]):
    """Elsewhere its gradient is no rule, so the call stays refused."""
    undo = lrp.register(torch.hypot, rules.Gate())
    try:
        with pytest.raises(lrp.errors.UncoveredError, match="hypot"):
            lrp.explain(call, torch.ones(2, 4, dtype=torch.float64), target=0)
    finally:
        undo()
