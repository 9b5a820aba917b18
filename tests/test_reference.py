"""`reference=`: LRP-0 on differences to the activations of a reference input."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lrp
from lrp import on, rules
from lrp.errors import CompositeError, InputError, ModelError, TrainingModeError, UncoveredError
from tests.cases.networks import CASES, prepare, signed
from tests.engine.checks import assert_same
from tests.ops.driving import assert_books_balance

X, X0 = signed(3, 4, seed=1), signed(3, 4, seed=2)
LEVELS = ["sinks", "calls"]


def differences(function: Callable[[Tensor], Tensor], x: Tensor, x0: Tensor, **options: Any) -> lrp.Relevance:
    return lrp.explain(function, x, target=lambda y: y.flatten(1).sum(1), reference=x0, **options)


def test_worked_by_hand() -> None:
    """y = 3 relu(x1 - x2 + 1) - relu(x2): (2, 1) against (0, 2)."""
    first, bias = torch.tensor([[1.0, -1.0], [0.0, 1.0]]).double(), torch.tensor([1.0, 0.0]).double()
    second = torch.tensor([[3.0, -1.0]]).double()

    def model(x: Tensor) -> Tensor:
        return F.linear(F.relu(F.linear(x, first, bias)), second)

    x, x0 = torch.tensor([[2.0, 1.0]]).double(), torch.tensor([[0.0, 2.0]]).double()
    # hidden before ReLU: (2, 1) against (-1, 2); after: (2, 1) against (0, 2); slopes 2/3 and 1
    r = lrp.explain(model, x, reference=x0, ledger="calls")
    # x1: 3 * 2/3 * 1 * (2 - 0) = 4; x2: (3 * 2/3 * (-1) - 1) * (1 - 2) = 3
    torch.testing.assert_close(r.input, torch.tensor([[4.0, 3.0]]).double())
    assert r.explained.item() == pytest.approx(5 - (-2))
    assert_books_balance(r)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid in place": lambda x: (2 * x).sigmoid_(),
    "relu in place": lambda x: F.relu(x + 1, inplace=True),
    "clamp": lambda x: x.clamp(-0.5, 0.7),
    "gelu": F.gelu,
    "softplus": F.softplus,
    "maximum": lambda x: torch.maximum(x, torch.full((2, 1, 1), 0.3).double()).permute(1, 0, 2),
    "product": lambda x: x * x.flip(1).tanh(),
    "square": lambda x: x * x,
    "product in place": lambda x: (x + 1).mul_(x.exp()),
    "matmul": lambda x: x @ x.T.tanh(),
    "glu": lambda x: F.glu(x, 1),
    "made weights": lambda x: F.linear(x, x[:2].sigmoid(), x[0, :2]),
    "affine": lambda x: (3 * x - 1) / 2 + x.mean(1, keepdim=True),
    "max pool": lambda x: F.max_pool1d(x, 2, 1),
    "max pool, channels": lambda x: F.max_pool2d(x.view(3, 1, 2, 2), 2),
    "adaptive max pool": lambda x: F.adaptive_max_pool1d(x, 2),
    "residual in place": lambda x: x.tanh().add_(x),
    "written through a view": lambda x: _view_written(x),
    "written out": lambda x: torch.addmm(x, x.exp(), signed(4, 4, seed=3), alpha=0.3),
    "written out, in place": lambda x: (3 * x).addmm_(x, signed(4, 4, seed=3), beta=0.7).tanh_(),
    "written to later": lambda x: _written_later(x),
    "masked": lambda x: (x + torch.tensor([0.0, -torch.inf, 0.0, 0.0]).double()).exp() * x,
    "cat with a constant": lambda x: torch.cat([x, torch.ones(3, 1).double()], 1).tanh(),
}


def _view_written(x: Tensor) -> Tensor:
    y = 2 * x
    y[:, 1:].relu_()
    return y * y.tanh()


def _written_later(x: Tensor) -> Tensor:
    y = 2 * x
    z, pooled = y.tanh(), F.max_pool1d(y, 2)
    y += 1
    return torch.cat([y * z, pooled], 1)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_relevance_sums_to_the_difference_of_the_outputs(name: str, level: Any) -> None:
    function = FUNCTIONS[name]
    r = differences(function, X, X0, ledger=level)
    change = (function(X) - function(X0)).flatten(1).sum(1)
    torch.testing.assert_close(r.explained, change, rtol=1e-12, atol=1e-14)
    assert float(r.input.sum()) == pytest.approx(float(change.sum()), rel=1e-11)
    assert not r.ledger.rows
    assert_books_balance(r)
    assert torch.equal(r.output, function(X))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_changed_is_nothing_to_explain(name: str) -> None:
    r = differences(FUNCTIONS[name], X, X)
    assert not r.input.any()
    assert not r.explained.any()


def test_where_data_and_reference_meet_the_slope_is_the_derivative() -> None:
    x, x0 = torch.tensor([[0.5, 1.0]]).double(), torch.tensor([[0.5, 0.0]]).double()
    weight = torch.tensor([[1.0, 0.0]]).double()

    def model(x: Tensor) -> Tensor:
        return torch.tanh(x) @ weight.T * x[:, 1:]

    r = lrp.explain(model, x, reference=x0, keep=())
    torch.testing.assert_close(
        r.input, torch.tensor([[0.0, 0.5]]).double().tanh() * torch.tensor([[0.0, 1.0]]).double()
    )


@pytest.mark.filterwarnings("ignore:the sources' relevance is")  # random references can give nearly the same output
@pytest.mark.parametrize("name", CASES)
def test_networks(name: str) -> None:
    case = CASES[name]
    model, x = case.build(), case.inputs()
    x0 = torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    r = lrp.explain(model, x, target=1, reference=x0, keep="all", ledger="calls")
    torch.testing.assert_close(r.explained, model(x)[:, 1] - model(x0)[:, 1], rtol=1e-11, atol=1e-13)
    assert_books_balance(r)
    per_sample = r.input.flatten(1).sum(1)
    torch.testing.assert_close(per_sample, r.explained, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(r.ledger.by_sample().sources, per_sample, rtol=1e-10, atol=1e-12)


def test_the_zero_reference_of_a_network_without_biases_gives_gradient_times_input() -> None:
    model, x = CASES["bias_free_relu"].build(), CASES["bias_free_relu"].inputs()
    r = lrp.explain(model, x, target=1, reference="zero")
    truth = lrp.explain(model, x, target=1, composite=lrp.presets.zero())
    assert_same(r.input, truth.input, 1e-11)


def test_a_pool_hands_each_winner_what_it_changes() -> None:
    """Windows (5, 1) against (2, 3), and (1, 4) against (7, 0)."""
    x, x0 = torch.tensor([[[5.0, 1.0, 1.0, 4.0]]]).double(), torch.tensor([[[2.0, 3.0, 7.0, 0.0]]]).double()
    r = differences(lambda x: F.max_pool1d(x, 2), x, x0)
    # z = 5 against 3: M = 5, all to x's winner; z = 4 against 7: M = 7, all to the reference's
    torch.testing.assert_close(r.input, torch.tensor([[[2.0, 0.0, -3.0, 0.0]]]).double())
    native = [(on.op(F.max_pool1d), rules.Zero())]
    composite = lrp.Composite(native, strict=False)
    with pytest.warns(lrp.LRPWarning, match="do not balance"):
        r = differences(lambda x: F.max_pool1d(x, 2), x, x0, composite=composite)
    torch.testing.assert_close(r.input, torch.tensor([[[3.0, 0.0, 0.0, 4.0]]]).double())


def test_the_mean_of_the_batch_as_reference() -> None:
    r = differences(torch.tanh, X, "mean")
    truth = differences(torch.tanh, X, X.mean(0, keepdim=True))
    assert torch.equal(r.input, truth.input)
    assert_books_balance(r)


def test_several_inputs_have_a_reference_each() -> None:
    a, b = signed(3, 4, seed=3), signed(3, 4, seed=4)
    r = lrp.explain(lambda a, b: (a * b).sum(1), (a, b), reference=(torch.zeros_like(a), X0))
    torch.testing.assert_close(r.input[0], a * (b + X0) / 2)
    torch.testing.assert_close(r.input[1], (b - X0) * a / 2)
    r = lrp.explain(lambda a, b: (a * b).sum(1), {"a": a, "b": b}, reference={"a": torch.zeros_like(a), "b": X0})
    torch.testing.assert_close(r.input["b"], (b - X0) * a / 2)


def test_a_final_softmax_is_stepped_over() -> None:
    w = signed(3, 4, seed=5)
    r = lrp.explain(lambda x: F.softmax(F.linear(x, w), 1), X, target=1, reference=X0)
    torch.testing.assert_close(r.explained, (X - X0) @ w[1])


def test_a_final_tanh_is_no_link_to_step_over() -> None:
    r = lrp.explain(lambda x: torch.tanh(x), X, target=1, reference=X0)
    torch.testing.assert_close(r.explained, X[:, 1].tanh() - X0[:, 1].tanh())


def test_a_final_sigmoid_in_place_is_stepped_over() -> None:
    r = lrp.explain(lambda x: (2 * x).sigmoid_(), X, target=1, reference=X0)
    torch.testing.assert_close(r.explained, 2 * (X - X0)[:, 1])


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "softmax": (lambda x: F.softmax(x, 1) * x, "softmax"),
    "division": (lambda x: x / x.exp().sum(1, keepdim=True), "div"),
    "sort": (lambda x: torch.sort(x, 1).values, "sort"),
    "layer norm": (lambda x: F.layer_norm(x, (4,)), "layer_norm"),
    "norm by hand": (lambda x: x * x.square().mean(1, keepdim=True).rsqrt() * x.std(1, keepdim=True), "var"),
    "spread and mean": (lambda x: sum(torch.std_mean(x, 1, keepdim=True)), "var"),
    "three factors": (lambda x: torch.einsum("ni,ni,ni->ni", x, x, x.exp()), "einsum"),
    "slopes of data": (lambda x: F.prelu(torch.ones(2, 3, 3).double(), x[0, :3]), "prelu"),
    "complex": (lambda x: torch.fft.rfft(x).exp().real, "exp"),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x), "attention"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_difference_rule_is_refused_by_name(name: str) -> None:
    function, operation = REFUSED[name]
    with pytest.raises(UncoveredError, match=operation):
        differences(function, X, X0)


def test_a_model_that_takes_another_way_for_the_reference_is_refused() -> None:
    def model(x: Tensor) -> Tensor:
        return x * 2 if bool(x.sum() > 0) else x * 3

    with pytest.raises(ModelError, match="another way"):
        differences(model, X.abs(), -X.abs())
    with pytest.raises(ModelError, match="another way"):
        differences(lambda x: 1e-9 * model(x), X.abs(), -X.abs())
    with pytest.raises(ModelError, match="another way"):
        differences(lambda x: x * x.detach(), X, X0)


def test_a_reference_that_the_model_cannot_take_is_refused() -> None:
    with pytest.raises(InputError, match="is not finite"):
        differences(torch.log, X.abs() + 1, "zero")
    spread = X.T @ X
    with pytest.raises(InputError, match="failed on the reference"):
        differences(torch.linalg.cholesky, spread, "zero")


def test_random_slopes_are_refused() -> None:
    with pytest.raises(TrainingModeError, match="at random"):
        differences(lambda x: F.rrelu(x, training=True), X, X0)


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        (torch.zeros(3, 5).double(), InputError),
        ("median", InputError),
        ((X0, X0), InputError),
        (torch.full((3, 4), float("nan")).double(), InputError),
        (X0.float(), InputError),
        (X0.numpy(), InputError),
    ],
)
def test_references_that_do_not_fit(reference: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="reference"):
        differences(torch.tanh, X, reference)


def test_other_rules_have_no_differences() -> None:
    with pytest.raises(CompositeError, match="reference"):
        differences(torch.tanh, X, X0, composite=lrp.presets.epsilon())


def test_the_model_is_left_alone() -> None:
    model, x = CASES["vgg_bn"].build(), CASES["vgg_bn"].inputs()
    before, x_before, x0 = {k: v.clone() for k, v in model.state_dict().items()}, x.clone(), torch.zeros_like(x)
    lrp.explain(model, x, reference=x0)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(x, x_before)
    assert not x0.any()
    assert isinstance(model, nn.Module)


def test_several_targets_are_single_ones() -> None:
    model, x = CASES["mlp"].build(), CASES["mlp"].inputs()
    x0 = torch.zeros_like(x[:1])
    r = lrp.explain(model, x, target=lrp.targets.Several(0, 2), reference=x0, ledger="calls")
    assert (r.ledger.residual.abs() <= 1e-12 * r.ledger.scale).all()
    for single, target in zip(r.split(), (0, 2), strict=True):
        truth = lrp.explain(model, x, target=target, reference=x0)
        assert_same(single.input, truth.input)
        torch.testing.assert_close(single.explained, truth.explained)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_targets_side_by_side(name: str, level: Any) -> None:
    def first(y: Tensor) -> Tensor:
        return y.flatten(1).sum(1)

    def second(y: Tensor) -> Tensor:
        return (y.flatten(1) * torch.arange(1.0, y[0].numel() + 1).double()).sum(1)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*the map may be noise", lrp.LRPWarning)
        options: dict[str, Any] = {"reference": X0, "ledger": level}
        r = lrp.explain(FUNCTIONS[name], X, target=lrp.targets.Several(first, second), **options)
        for single, target in zip(r.split(), (first, second), strict=True):
            assert_same(single.input, lrp.explain(FUNCTIONS[name], X, target=target, **options).input)


@pytest.mark.parametrize("distance", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Softplus, nn.SiLU])
def test_float32_where_input_and_reference_nearly_meet(activation: Callable[[], nn.Module], distance: float) -> None:
    """The quotient of two differences that are rounding is noise, by which a map can be off by its maximum."""
    layers = nn.Linear(6, 20), activation(), nn.Linear(20, 20), activation(), nn.Linear(20, 2)
    model = prepare(nn.Sequential(*layers), seed=1)
    x = signed(3, 6, seed=7).float()
    x0 = (x + distance * signed(3, 6, seed=8)).float()
    truth = lrp.explain(model, x.double(), target=1, reference=x0.double())
    ours = lrp.explain(model.float(), x, target=1, reference=x0, ledger=False)
    assert_same(ours.input.double(), truth.input, 1e-5)


def test_an_explainer_takes_a_reference_with_each_batch() -> None:
    explainer = lrp.Explainer(torch.tanh)
    for reference in (X0, X0.flip(0)):
        r = explainer(X, target=1, reference=reference)
        torch.testing.assert_close(r.explained, X[:, 1].tanh() - reference[:, 1].tanh())
    assert explainer(X, target=1).explained.equal(X[:, 1].tanh())


def test_layers_hold_differences() -> None:
    model, x = CASES["mlp"].build(), CASES["mlp"].inputs()
    r = lrp.explain(model, x, target=1, reference="zero", keep="all")
    for path, relevance in r.layers.items():
        torch.testing.assert_close(relevance.flatten(1).sum(1), r.explained, msg=path)


@pytest.mark.parametrize("options", [{"sources": "0"}, {"reference_output": 1.0}], ids=str)
def test_what_a_reference_does_not_go_with(options: Any) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).double()
    with pytest.raises(InputError, match="reference"):
        lrp.explain(model, X, reference=X0, **options)


def test_tokens_have_no_reference() -> None:
    ids = torch.tensor([[0, 2, 1]])
    with pytest.raises(InputError, match="no reference"):
        lrp.explain(nn.Sequential(nn.Embedding(3, 4), nn.Flatten()), ids, reference="zero")


def test_inputs_that_are_no_source_are_the_same_in_both() -> None:
    mask = torch.tensor([True, False, True, True])
    inputs = {"x": X, "mask": mask}

    def model(x: Tensor, mask: Tensor) -> Tensor:
        return torch.tanh(x)[:, mask]

    r = lrp.explain(model, inputs, target=0, reference={"x": X0, "mask": mask}, sources=["x"])
    torch.testing.assert_close(r.input["x"][:, 0], X[:, 0].tanh() - X0[:, 0].tanh())
    with pytest.raises(InputError, match="no source of floats"):
        lrp.explain(model, inputs, target=0, reference={"x": X0, "mask": ~mask}, sources=["x"])
