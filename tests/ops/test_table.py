"""The table of operations, line by line, and the operations that people meet every day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import lrp
from lrp import on, rules
from lrp.errors import UncoveredError, UnseenError
from lrp.ops import homogeneous
from lrp.ops.activations import GATES, HOMOGENEOUS, NUMERIC
from lrp.ops.decompositions import DECOMPOSITIONS
from lrp.ops.table import _find, _lines, lookup
from tests.cases.linear_calls import LINEAR_CALLS
from tests.cases.networks import signed
from tests.ops import operations, wider
from tests.ops.driving import assert_bit_equal, assert_books_balance, assert_same_map, drive, kept, multiplier_for

MOVING, FILLING = {**operations.MOVING, **wider.MOVING}, {**operations.FILLING, **wider.FILLING}
AFFINE = {**operations.AFFINE, **wider.MOVING, **wider.FILLING, **wider.ADDING, **wider.FOURIER}
OPERATIONS = {**AFFINE, **operations.SELECTING, **wider.SELECTING}
LEVELS = ["sinks", "calls"]
# A source segment (DESIGN, section 3) does not hold what is written into a constant.
NOT_AT_A_SOURCE = ["setitem-into-constant", "copy_"]
SHIFTING = ["add-constant", "sub-constant", "sub-from-constant", "mul-constant", "mul-number", "div-number", "+="]


@pytest.mark.parametrize("name", [op.name for op in _lines()])
def test_each_line_names_a_torch_function(name: str) -> None:
    functions = list(_find(name))
    assert functions, f"torch has no {name}"
    assert all(lookup(function) is not None for function in functions)


def test_no_line_occurs_twice() -> None:
    names = [(op.name, op.functional) for op in _lines()]
    assert len(names) == len(set(names))


# Lines that tests elsewhere carry out; those that are written out, so that smaller calls stand in the plan; and those
# that leave no op call of their own: torch reports `x.__add__` as `add`, and dropout in eval, like `+x` and a cast to
# the same dtype, hands back its input.
ELSEWHERE = {
    *(op.name for op in _lines() if op.family in ("attention", "put", "recurrence", "written out")),
    *GATES,
    *HOMOGENEOUS,
    *NUMERIC,
    *DECOMPOSITIONS,
    *(op.name for op in homogeneous.lines()),
    *(op.name for op in _lines() if op.family == "normaliser"),
    *("__matmul__", "_convolution", "_grouped_mm", "grouped_mm", "_sparse_mm"),
    *("chain_matmul", "linalg_multi_dot", "matrix_power", "linalg_matrix_power"),
    *("embedding_bag", "glu", "softmax", "log_softmax", "softmin", "__rtruediv__", "__rdiv__", "cuda", "cpu"),
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout"),
    *("__add__", "__radd__", "__sub__", "__mul__", "__rmul__", "__truediv__", "__div__", "__iter__"),
    *("positive", "atleast_1d", "requires_grad_", "lu_solve"),
    *(
        "resolve_conj",
        "resolve_neg",
        "cfloat",
        "chalf",
        "pin_memory",
        "xpu",
        "upsample",
        "upsample_bilinear",
        "upsample_nearest",
    ),
    *("to", "float", "double", "half", "bfloat16", "type", "type_as"),
}


@pytest.mark.filterwarnings("ignore:index_reduce.. is in beta")
def test_each_line_is_carried_out() -> None:
    met = set()
    for function, shape in OPERATIONS.values():
        x = signed(*shape)
        met |= {row.operation for row in drive(function, x, multiplier_for(function(x).detach())).plan}
    for case in LINEAR_CALLS.values():
        m = multiplier_for(case.apply(case.x, case.weight, case.bias))
        met |= {row.operation for row in drive(lambda x, c=case: c.apply(x, c.weight, c.bias), case.x, m).plan}
    missed = {op.name for op in _lines()} - met - ELSEWHERE
    assert not missed, sorted(missed)


def jacobian(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Tensor:
    """What an affine function makes of each element of its input, `(inputs, outputs)`, without autograd."""
    units = torch.eye(torch.Size(shape).numel(), dtype=torch.float64)
    at_zero = function(torch.zeros(shape, dtype=torch.float64)).detach()
    return torch.stack([(function(unit.view(shape).clone()).detach() - at_zero).reshape(-1) for unit in units])


def truth(name: str, x: Tensor, m: Tensor) -> Tensor:
    """LRP-0 by definition where the operation is affine; else autograd's gradient times the input, outside of `lrp`."""
    function, shape = OPERATIONS[name]
    if name in AFFINE:
        return (jacobian(function, shape) @ m.reshape(-1)).view(shape) * x
    point = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((function(point) * m).sum(), point)
    return gradient * x


@pytest.mark.filterwarnings("ignore:index_reduce.. is in beta")
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_lrp_0_is_gradient_times_input(name: str, level: Any) -> None:
    function, shape = OPERATIONS[name]
    x = signed(*shape, seed=len(name))
    before, z = x.clone(), function(x).detach()
    m = multiplier_for(z)
    ours = drive(function, x, m, lrp.presets.zero(), ledger=level)
    assert_same_map(ours.input, truth(name, x, m))
    # what does not come from the input comes from constants
    constants = function(torch.zeros_like(x)).detach() if name in AFFINE else torch.zeros_like(z)
    assert kept(ours, "constant", "shift") == pytest.approx(float((constants * m).sum()), abs=1e-12)
    assert {row.kind for row in ours.ledger.rows} <= ({"shift"} if "norm" in name else {"constant"})
    assert_books_balance(ours)
    assert_bit_equal(ours.output, z)
    assert_bit_equal(x, before)


@pytest.mark.filterwarnings("ignore:index_reduce.. is in beta")
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_books_balance_with_stabilisers(name: str, level: Any) -> None:
    function, shape = OPERATIONS[name]
    x = signed(*shape, seed=len(name))
    z = function(x).detach()
    ours = drive(function, x, multiplier_for(z), lrp.presets.epsilon(0.1), ledger=level)
    assert_books_balance(ours)
    assert_bit_equal(ours.output, z)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", [name for name in (*MOVING, *FILLING, *SHIFTING) if name not in NOT_AT_A_SOURCE])
def test_input_rules_reach_the_source_through_what_only_moves_elements(name: str, level: Any) -> None:
    """Flat above: each element gets one share for each place it was moved to, and so do constants.

    Shifts and scales by constants hand relevance on unchanged, negative ones too.
    """
    function, shape = OPERATIONS[name]
    x = signed(*shape, seed=len(name))
    weight = signed(2, function(x).numel(), seed=3)

    def model(data: Tensor) -> Tensor:
        return F.linear(function(data).reshape(1, -1), weight)

    m = multiplier_for(model(x))
    ours = drive(model, x, m, [(on.linear, rules.Flat(0.0))], ledger=level)
    share = float((model(x) * m).sum()) / weight.shape[1]
    places = torch.ones_like(x) if name in SHIFTING else jacobian(function, shape).abs().sum(1).view(shape)
    assert_same_map(ours.input, share * places)
    filled = weight.shape[1] - float(places.sum())
    assert kept(ours, "constant") == pytest.approx(share * filled, rel=1e-12, abs=1e-12)
    assert_books_balance(ours)


CASTS: dict[str, Callable[[Tensor], Tensor]] = {
    "float": lambda x: x.float(),
    "to-dtype": lambda x: x.to(torch.float32),
    "to-keyword": lambda x: x.to(dtype=torch.float32),
    "to-other": lambda x: x.to(torch.zeros(1)),
    "type": lambda x: x.type(torch.float32),
    "type_as": lambda x: x.type_as(torch.zeros(1)),
    "bfloat16": lambda x: x.bfloat16(),
    "cpu": lambda x: x.cpu(),
}


@pytest.mark.parametrize("name", CASTS)
def test_casts_hand_relevance_on(name: str) -> None:
    x = signed(3, 4, seed=1)
    z = CASTS[name](x)
    ours = drive(CASTS[name], x, torch.ones_like(z), ledger="calls")
    assert ours.input.dtype == torch.float64
    assert_same_map(ours.input, x)
    assert_bit_equal(ours.output, z)
    assert float(ours.ledger.residual.abs()) <= float(ours.ledger.scale) * torch.finfo(z.dtype).eps


def test_division_takes_the_denominator_for_a_constant() -> None:
    a, b = signed(3, 4, seed=1), signed(3, 4, seed=2).exp()
    for divide in (torch.div, torch.true_divide, lambda a, b: a / b, lambda a, b: a.clone().div_(b)):
        m = multiplier_for(a)
        ours = drive(divide, (a, b), m, ledger="calls")
        assert_same_map(ours.input[0], a / b * m)
        assert ours.input[1] is None or not ours.input[1].any()
        assert_books_balance(ours)


def test_division_with_its_operands_swapped() -> None:
    a, b = signed(3, 4, seed=1), signed(3, 4, seed=2).exp()
    m = multiplier_for(a)
    ours = drive(torch.Tensor.__rtruediv__, (b, a), m)
    assert_same_map(ours.input[1], a / b * m)
    assert_bit_equal(ours.output, torch.Tensor.__rtruediv__(b, a))


@pytest.mark.parametrize("function", [lambda x: 1 / x, torch.angle, lambda x: torch.div(x, 2, rounding_mode="floor")])
def test_what_is_not_covered_is_refused_by_name(function: Any) -> None:
    with pytest.raises(UncoveredError) as caught:
        drive(function, signed(3, 4) + 5, torch.ones(3, 4))
    assert "no rule" in str(caught.value)
    assert caught.value.seen in ("__rtruediv__", "__rdiv__", "reciprocal", "angle", "div")


# --- registering ------------------------------------------------------------------------------------------------------


def test_register_an_activation_and_undo_it() -> None:
    x, two = 2 * signed(3, 4, seed=1), torch.tensor(2.0, dtype=torch.float64)
    m = multiplier_for(x)

    def angle(x: Tensor) -> Tensor:
        return torch.atan2(x, two)

    with pytest.raises(UncoveredError, match="atan2"):
        drive(angle, x, m)
    undo = lrp.register(torch.atan2, rules.Gate())
    try:
        for level in LEVELS:
            for function in (angle, lambda x: x.atan2(two), lambda x: (x * 1.0).atan2_(two)):
                ours = drive(function, x, m, ledger=level)
                assert_same_map(ours.input, angle(x) * m)
                assert_books_balance(ours)
                assert_bit_equal(ours.output, angle(x))
    finally:
        undo()
    with pytest.raises(UncoveredError, match="atan2"):
        drive(angle, x, m)


def test_a_registered_activation_has_its_offset_booked() -> None:
    x = signed(3, 4, seed=1)
    m = multiplier_for(x)
    undo = lrp.register(torch.cosh, rules.Gate())
    try:
        ours = drive(torch.cosh, x, m, ledger="calls")
    finally:
        undo()
    assert_same_map(ours.input, (torch.cosh(x) - 1) * m)
    assert kept(ours, "shift") == pytest.approx(float(m.sum()), abs=1e-12)
    assert_books_balance(ours)


def test_register_a_function_that_is_linear_in_its_data() -> None:
    x = signed(3, 3, seed=1)
    upsample = torch._C._nn.upsample_nearest1d  # the table knows F.interpolate, which the mode sees in its place
    m = torch.tensor(2.0, dtype=torch.float64)

    def model(x: Tensor) -> Tensor:
        return upsample(x.unsqueeze(0), (6,), None).sum()

    with pytest.raises(UncoveredError, match="upsample_nearest1d"):
        drive(model, x, m)
    undo = lrp.register(upsample, rules.Zero())
    try:
        ours = drive(model, x, m, ledger="calls")
    finally:
        undo()
    assert_same_map(ours.input, 4 * x)
    assert_books_balance(ours)


class Doubled(torch.autograd.Function):
    """Somebody's own autograd function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


def test_register_an_autograd_function_by_its_nodes_name_and_undo_it() -> None:
    x = signed(3, 4, seed=1)
    m = multiplier_for(x)

    def model(x: Tensor) -> Tensor:
        return torch.relu(Doubled.apply(x * 3.0))

    with pytest.raises(UnseenError, match="DoubledBackward"):
        drive(model, x, m)
    undo = lrp.register("DoubledBackward", rules.Zero())
    try:
        for level in LEVELS:
            ours = drive(model, x, m, ledger=level)
            assert_same_map(ours.input, torch.relu(6 * x) * m)
            assert_books_balance(ours)
    finally:
        undo()
    with pytest.raises(UnseenError, match="DoubledBackward"):
        drive(model, x, m)


def test_undo_brings_back_what_was_registered_before() -> None:
    undo_first = lrp.register(torch.atan2, rules.Gate())
    undo_second = lrp.register(torch.atan2, rules.Zero())
    assert lookup(torch.atan2).rule == rules.Zero()
    undo_second()
    assert lookup(torch.atan2).rule == rules.Gate()
    undo_first()
    assert lookup(torch.atan2) is None


@pytest.mark.parametrize(
    ("function", "rule"), [(torch.atan2, rules.ZPlus()), (torch.atan2, rules.Pass()), ("DoubledBackward", rules.Pass())]
)
def test_rules_that_cannot_be_registered(function: Any, rule: rules.Rule) -> None:
    with pytest.raises(lrp.errors.CompositeError, match="cannot be registered"):
        lrp.register(function, rule)


@pytest.mark.parametrize(
    "like",
    [
        lambda c, x: c.expand_as(x),
        lambda c, x: c.expand(4).view_as(x),
        lambda c, x: c.repeat(4).reshape_as(x),
        lambda c, x: c.float().type_as(x),
        lambda c, x: c.to(x),
        lambda c, x: torch.broadcast_tensors(c, x)[0],
        lambda c, x: torch.meshgrid(c, x[0], indexing="ij")[0],
        lambda c, x: torch.atleast_1d(c, x)[0],
    ],
    ids=["expand_as", "view_as", "reshape_as", "type_as", "to", "broadcast_tensors", "meshgrid", "atleast_1d"],
)
@pytest.mark.parametrize("of", [torch.tensor, lambda c: torch.nn.Parameter(torch.tensor(c))], ids=["", "parameter"])
def test_a_constant_shaped_like_data_is_a_constant(like: Callable[..., Tensor], of: Callable[..., Tensor]) -> None:
    """2 x + 3 over four elements: 2 x to each, and 3 stays with each constant."""
    x = torch.tensor([[1.0, -2.0], [4.0, 5.0]], dtype=torch.float64)
    for level in ("sinks", "calls", False):
        r = lrp.explain(lambda x: (2 * x + like(of([3.0]).double(), x)).sum(1), x, ledger=level)
        assert r.input.tolist() == [[2.0, -4.0], [8.0, 10.0]]
        if level:
            assert kept(r, "constant") == 12.0
            assert_books_balance(r)


def test_data_that_was_detached_stays_so_beside_data() -> None:
    x = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    r = lrp.explain(lambda x: (2 * x + 0.001 * torch.broadcast_tensors(x.detach(), x)[0]).sum(1), x)
    assert r.input.tolist() == [[2.0, 4.0]]
    assert kept(r, "detached") == pytest.approx(0.003)
