"""A reference output leaves the bias of the last linear call: what lifts the output above it is explained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import errors, on, presets, rules
from lrp.targets import At, Class, Difference, LogOdds, Region, Several, Token, Top
from tests.cases.networks import CASES, prepare
from tests.engine.checks import assert_same

PRESETS: dict[str, Callable[[], lrp.Composite]] = {
    "zero": presets.zero,
    "epsilon": presets.epsilon,
    "epsilon_plus": presets.epsilon_plus,
    "epsilon_plus_flat": presets.epsilon_plus_flat,
    "z+ everywhere": lambda: lrp.Composite([(on.linear | on.conv, rules.ZPlus())]),
    "alpha beta": lambda: lrp.Composite([(on.linear | on.conv, rules.AlphaBeta(2, 1))]),
    "gamma": lambda: lrp.Composite([(on.linear | on.conv, rules.Gamma(0.25))]),
    "hidden flat": lambda: lrp.Composite([(on.linear | on.conv, rules.Flat())]),
}
MODEL, X = CASES["mlp"].build(), CASES["mlp"].inputs()
Y_REF = torch.tensor([0.7, -1.3, 2.0], dtype=torch.float64)


def neuron(rule: rules.Rule, reference: float) -> tuple[list[float], dict[str, float], float]:
    """Relevance, rows and explained value of `y = 3 x1 - x2 + 1/2` at x = (1, 2): 1.5."""
    weight, bias = torch.tensor([[3.0, -1.0]], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    r = lrp.explain(
        lambda x: F.linear(x, weight, bias),
        torch.tensor([[1.0, 2.0]], dtype=torch.float64),
        composite=lrp.Composite([(on.linear, rule)]),
        reference_output=reference,
        ledger="calls",
    )
    assert abs(float(r.ledger.residual)) < 1e-15
    assert all(abs(float(lost)) < 1e-15 for lost in r.ledger.lost.values())
    assert float(r.output) == 1.5
    return r.input[0].tolist(), {kind: float(a) for kind, a in r.ledger.by_kind().items()}, float(r.explained)


def test_one_neuron_by_hand():
    relevance, rows, explained = neuron(rules.Epsilon(0), 4.0)
    assert relevance == [3.0, -2.0]
    assert rows == {"bias": 0.5, "stabiliser": 0.0, "reference": -4.0}
    assert explained == -2.5
    # z - y_ref = -2.5 stabilised by 0.5: every share is 5/6 of that
    relevance, rows, _ = neuron(rules.Epsilon(0.5), 4.0)
    assert relevance == pytest.approx([3 * 5 / 6, -2 * 5 / 6], rel=1e-15)
    assert rows == pytest.approx({"bias": 0.5 * 5 / 6, "reference": -4 * 5 / 6, "stabiliser": -2.5 / 6}, rel=1e-14)


def test_one_neuron_by_hand_under_z_plus():
    """b - y_ref = 5/2, z - y_ref = 7/2, z+ = 3 + 5/2: q = 7/11; the bias has 1/2 and the reference 2 of the 5/2."""
    relevance, rows, explained = neuron(rules.ZPlus(0), -2.0)
    assert relevance == pytest.approx([21 / 11, 0], rel=1e-15)
    assert rows == pytest.approx({"bias": 7 / 22, "stabiliser": 0, "reference": 14 / 11}, rel=1e-15)
    assert explained == 3.5
    # b - y_ref = -3/2 is not positive, so it keeps nothing: z - y_ref = -1/2 goes to x1 alone
    relevance, rows, explained = neuron(rules.ZPlus(0), 2.0)
    assert relevance == pytest.approx([-0.5, 0])
    assert rows == {"bias": 0, "stabiliser": 0, "reference": 0}
    assert explained == -0.5


def test_a_bias_that_equals_the_reference_keeps_nothing():
    assert neuron(rules.ZPlus(0), 0.5)[1] == {"bias": 0, "stabiliser": 0, "reference": 0}
    assert neuron(rules.Epsilon(0), 0.5)[1] == {"bias": 0.5, "stabiliser": 0, "reference": -0.5}


def last_layer(model: nn.Module) -> nn.Linear:
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("network", ["mlp", "conv1d_net", "depthwise_net", "bias_free_relu"])
def test_it_is_a_model_with_another_bias(network: str, preset: str):
    case = CASES[network]
    model, x = case.build(), case.inputs()
    other = copy.deepcopy(model)
    layer = last_layer(other)
    if layer.bias is None:
        layer.bias = nn.Parameter(torch.zeros(layer.out_features, dtype=torch.float64))
    with torch.no_grad():
        layer.bias[1] += 0.7
    options = {"target": 1, "composite": PRESETS[preset](), "keep": "all"}
    truth = lrp.explain(other, x, **options)
    for level in ("sinks", "calls"):
        r = lrp.explain(model, x, reference_output=-0.7, ledger=level, **options)
        assert_same(r.explained, truth.explained)
        assert_same(r.input, truth.input)
        assert list(r.layers) == list(truth.layers)
        for name in r.layers:
            assert_same(r[name], truth[name])
        assert torch.equal(r.output, model(x))
        assert float(r.ledger.residual.abs()) <= 1e-12 * float(r.ledger.scale)
        ours, theirs = r.ledger.by_kind(), truth.ledger.by_kind()
        together = ours.get("bias", 0) + ours.get("reference", 0)
        assert float(together - theirs.get("bias", 0)) == pytest.approx(0, abs=1e-12 * float(r.ledger.scale))
        if level == "calls":
            assert all(float(lost.abs()) <= 1e-12 * float(r.ledger.scale) for lost in r.ledger.lost.values())
    if preset in ("zero", "epsilon", "z+ everywhere"):
        assert float(ours["reference"]) != 0
    assert any("less the reference output" in note for note in r.notes)


def test_zero_is_no_reference():
    r, plain = (lrp.explain(MODEL, X, target=2, reference_output=y) for y in (0.0, None))
    assert_same(r.input, plain.input)
    assert float(r.ledger.by_kind()["reference"]) == 0
    assert "reference" not in plain.ledger.by_kind()


@pytest.mark.parametrize("preset", PRESETS)
def test_one_reference_per_sample(preset: str):
    r = lrp.explain(MODEL, X, reference_output=Y_REF, composite=PRESETS[preset]())
    for i in range(3):
        alone = lrp.explain(MODEL, X[i : i + 1], reference_output=float(Y_REF[i]), composite=PRESETS[preset]())
        assert_same(r.input[i], alone.input[0])
        assert_same(r.explained[i : i + 1], alone.explained)
    assert torch.equal(r.explained, MODEL(X).detach().max(1).values - Y_REF)
    books = r.ledger.by_sample()
    assert float(books.residual.abs().max()) <= 1e-12 * float(books.scale.max())


def test_the_top_class_is_the_one_of_the_model():
    """A reference that takes the top class below the others does not change what is explained."""
    top = MODEL(X).argmax(1)
    r = lrp.explain(MODEL, X, reference_output=100.0)
    assert torch.equal(r.indices, top)
    assert_same(r.input, lrp.explain(MODEL, X, target=top, reference_output=100.0).input)


IMAGES = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
ONE, CONV = prepare(nn.Linear(10, 1), seed=3), prepare(nn.Conv2d(2, 3, 4), seed=4)
WORDS = prepare(nn.Linear(5, 6), seed=5)
SHAPES: dict[str, tuple[Any, Tensor, Any]] = {
    "(N,)": (lambda x: ONE(x)[:, 0], X, None),
    "(N, 1)": (ONE, X, None),
    "sigmoid": (lambda x: torch.sigmoid(ONE(x)), X, None),
    "softmax": (lambda x: torch.softmax(MODEL(x), 1), X, 1),
    "dropout": (lambda x: F.dropout(MODEL(x), training=False), X, 1),
    "convolution": (lambda x: CONV(x).flatten(1), IMAGES, Top()),
    "(N, T, V)": (lambda x: WORDS(x.view(3, 2, 5)), X, Token()),
    "matrix product": (lambda x: x @ ONE.weight.T, X, None),
    "cat of heads": (lambda x: torch.cat([ONE(x), MODEL(x)], 1), X, torch.tensor([0, 3, 0])),
    "part": (lambda x: (x, {"a": MODEL(x)}), X, At("1.a", 2)),
    "function": (lambda x: MODEL(x), X, lambda y: y[:, 3]),
    "sequence first": (lambda x: WORDS(x.view(2, 3, 5).transpose(0, 1)).transpose(0, 1), X, lambda y: y[1, :, 2]),
}


@pytest.mark.parametrize("preset", ["zero", "epsilon_plus", "z+ everywhere"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_way_of_picking_an_output(shape: str, preset: str):
    model, x, target = SHAPES[shape]
    plain = lrp.explain(model, x, target=target, composite=PRESETS[preset]())
    reference = Y_REF[: len(plain.explained)]
    r = lrp.explain(
        model, x, target=target, composite=PRESETS[preset](), reference_output=reference, ledger="calls", keep="all"
    )
    torch.testing.assert_close(r.explained, plain.explained - reference, rtol=1e-13, atol=1e-13)
    assert float(r.ledger.residual.abs()) <= 1e-12 * float(r.ledger.scale)
    if preset == "zero":
        assert_same(r.input, plain.input)
        assert float(r.ledger.by_kind()["reference"]) == pytest.approx(-float(reference.sum()), rel=1e-14)


@pytest.mark.parametrize("preset", PRESETS)
def test_several_targets_share_the_reference(preset: str):
    wanted = [1, Top(), 1, Class(torch.tensor([0, 2, 3]))]
    options = {"composite": PRESETS[preset](), "reference_output": Y_REF}
    r = lrp.explain(MODEL, X, target=Several(*wanted), **options)
    for single, target in zip(r.split(), wanted, strict=True):
        alone = lrp.explain(MODEL, X, target=target, **options)
        assert torch.equal(single.explained, alone.explained)
        assert_same(single.input, alone.input)
        assert float(single.ledger.residual.abs()) <= 1e-12 * float(single.ledger.scale)


def norm_behind(x: Tensor) -> Tensor:
    y = MODEL(x)
    return F.batch_norm(y, torch.zeros(4, dtype=y.dtype), torch.ones(4, dtype=y.dtype))


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "difference": (MODEL, {"target": Difference(0, 1)}, "computed by (target): sub"),
    "log odds": (MODEL, {"target": LogOdds(0)}, "computed by (target): sub"),
    "sum": (MODEL, {"target": lambda y: y.sum(1)}, "computed by (target): sum"),
    "activation behind": (lambda x: torch.tanh(MODEL(x)), {"target": 1}, "computed by (model): tanh"),
    "norm behind": (norm_behind, {"target": 1}, "computed by (model): batch_norm"),
    "bias by hand": (lambda x: x @ ONE.weight.T + ONE.bias, {}, "computed by (model): add"),
    "probability": (lambda x: torch.sigmoid(ONE(x)), {"through_output": True}, "computed by (model): sigmoid"),
    "no layer": (lambda x: x, {"target": 1}, "not one output of a linear layer"),
    "the same twice": (lambda x: MODEL(x[:1]).expand(3, 4), {"target": 1}, "not one output of a linear layer"),
    "one of several": (MODEL, {"target": Several(1, Difference(0, 1))}, "computed by (target): sub"),
    "text": (MODEL, {"reference_output": "0"}, "'0'"),
    "bool": (MODEL, {"reference_output": True}, "True"),
    "nan": (MODEL, {"reference_output": float("nan")}, "nan"),
    "shape": (MODEL, {"reference_output": torch.zeros(2)}, "tensor (2,)"),
    "integers": (MODEL, {"reference_output": torch.zeros(3, dtype=torch.long)}, "int64"),
    "by value": (lambda x: MODEL(x).sort(1).values, {"target": 3, "reference_output": 50.0}, "choose by value"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_has_no_last_linear_call_is_refused(what: str):
    model, options, seen = BAD[what]
    with pytest.raises(errors.TargetError) as caught:
        lrp.explain(model, X, **{"reference_output": 1.0, **options})
    assert seen in caught.value.seen
    assert caught.value.where == "reference_output"


def test_a_region_is_refused():
    with pytest.raises(errors.TargetError, match="reference_output"):
        lrp.explain(CONV, IMAGES, target=Region(torch.ones(1, 1), 0), reference_output=1.0)
