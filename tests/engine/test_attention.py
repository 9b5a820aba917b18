"""Fused attention and every way of writing it out give one map, and the books of both balance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import lrp
from lrp import on, presets, rules, targets
from lrp.errors import ModelError, TrainingModeError
from lrp.ops.attention import scaled_dot_product_attention
from tests.cases.attention import BIAS, BLIND, LOWEST, SEEN, SPELLINGS, K, M, Q, V, added, explained, fused
from tests.cases.networks import signed
from tests.engine.checks import assert_balanced, assert_blameless, assert_same

COMPOSITES: dict[str, Callable[[], lrp.Composite | None]] = {
    "attnlrp": presets.attnlrp,
    "cp_lrp": presets.cp_lrp,
    "reslrp": presets.reslrp,
    "auto": lambda: None,
    "constant softmax": lambda: lrp.Composite([(on.softmax, rules.Constant())], strict=False),
    "weights take all": lambda: lrp.Composite([(on.product, rules.SignalTakesAll(signal=0))], strict=False),
}
each_composite = pytest.mark.parametrize("composite", COMPOSITES)
KEY_VALUE = [signed(2, 1, 5, 4, seed=90 + i) for i in range(2)]
MASKS: dict[str, dict[str, Any]] = {
    "none": {},
    "scale": {"scale": 0.3},
    "causal": {"is_causal": True},
    "boolean": {"attn_mask": SEEN},
    "infinite": {"attn_mask": added(SEEN, -torch.inf)},
    "lowest": {"attn_mask": added(SEEN, LOWEST)},
    "biases": {"attn_mask": BIAS},
    "boolean, a query without keys": {"attn_mask": BLIND},
    "infinite, a query without keys": {"attn_mask": added(BLIND, -torch.inf)},
    "lowest, a query without keys": {"attn_mask": added(BLIND, LOWEST)},
    "both, a query without keys": {"attn_mask": added(BLIND, LOWEST).masked_fill_(torch.arange(5) == 4, -torch.inf)},
}


def explain(attention: Callable[..., Tensor], inputs: Any = (Q, K, V), name: str = "attnlrp", **options: Any) -> Any:
    options = {"target": explained, "composite": COMPOSITES[name](), **options}
    return lrp.explain(attention, inputs, **options)


def assert_same_maps(ours: lrp.Relevance, truth: lrp.Relevance, tolerance: float = 1e-12) -> None:
    """Where one has nothing to say of an input, the other has zeros."""
    for one, other in zip(ours.input, truth.input, strict=True):
        found = [relevance for relevance in (one, other) if relevance is not None]
        if any(relevance.any() for relevance in found):
            assert_same(one, other, tolerance)
        assert all(relevance.isfinite().all() for relevance in found)


@each_composite
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("level", ["sinks", "calls"])
def test_fused_and_written_out_are_one(composite: str, mask: str, level: Any):
    ours = explain(lambda *x: F.scaled_dot_product_attention(*x, **MASKS[mask]), name=composite, ledger=level)
    truth = explain(lambda *x: scaled_dot_product_attention(*x, **MASKS[mask]), name=composite, ledger=level)
    assert torch.equal(ours.output, F.scaled_dot_product_attention(Q, K, V, **MASKS[mask]))
    assert_same_maps(ours, truth)
    for r in (ours, truth):
        assert_balanced(r)
        if level == "calls":
            assert_blameless(r)


@each_composite
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_has_the_map_of_the_fused_one(composite: str, biased: bool, spelling: str):
    if composite == "weights take all" and spelling in ("keys_first",):
        composite = "attnlrp"  # there the weights are the second operand
    bias = [BIAS] if biased else []
    ours = explain(lambda *x: SPELLINGS[spelling](*x, *bias), name=composite)
    assert_same_maps(ours, explain(lambda *x: fused(*x, *bias), name=composite))
    assert_balanced(ours)


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
def test_what_adds_up_is_kept_in_the_same_amounts(composite: str):
    ours, truth = (explain(attention, name=composite) for attention in (fused, SPELLINGS["matmul"]))
    rows = [sum(float(row.amount) for row in r.ledger.rows if row.kind == "softmax") for r in (ours, truth)]
    assert rows[0] == pytest.approx(rows[1], rel=1e-12)
    assert (rows[0] != 0) == (composite == "attnlrp")


@each_composite
@pytest.mark.parametrize("mask", ["none", "boolean", "lowest, a query without keys"])
def test_keys_and_values_shared_by_heads(composite: str, mask: str):
    def repeated(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return scaled_dot_product_attention(q, k.expand(-1, 3, -1, -1), v.expand(-1, 3, -1, -1), **MASKS[mask])

    inputs = (Q, *KEY_VALUE)
    shared = explain(
        lambda *x: F.scaled_dot_product_attention(*x, enable_gqa=True, **MASKS[mask]), inputs, name=composite
    )
    assert_same_maps(shared, explain(repeated, inputs, name=composite))
    assert_balanced(shared)


@each_composite
@pytest.mark.parametrize("constant", ["query", "key", "value", "query and key"])
def test_constants_among_the_operands(composite: str, constant: str):
    given = {"query": Q, "key": K, "value": V}
    fixed = {name: given.pop(name) for name in constant.split(" and ")}
    parameters = {name: torch.nn.Parameter(tensor) for name, tensor in fixed.items()}
    ours = explain(lambda **x: F.scaled_dot_product_attention(**x, **parameters), given, name=composite)
    truth = explain(lambda **x: scaled_dot_product_attention(**x, **fixed), given, name=composite)
    for name in given:
        if truth.input.get(name) is not None and truth.input[name].any():
            assert_same(ours.input[name], truth.input[name])
    assert_balanced(ours)
    assert all(parameter.grad is None for parameter in parameters.values())


def test_one_tensor_as_query_key_and_value():
    x = signed(2, 3, 4, 4, seed=92)
    for name in COMPOSITES:
        ours = explain(lambda t: F.scaled_dot_product_attention(t, t, t), x, name=name, ledger="calls")
        truth = explain(lambda t: scaled_dot_product_attention(t, t, t), x, name=name)
        assert_same(ours.input, truth.input)
        assert_blameless(ours)


def test_factors_are_counted_through_attention():
    def scaled(attention: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda q, k, v, gate: attention(q * gate, k, v * gate[:, :, :1]) * gate

    inputs = (Q, K, V, signed(2, 3, 4, 4, seed=93))
    ours, truth = (explain(scaled(attention), inputs) for attention in (fused, scaled_dot_product_attention))
    assert_same_maps(ours, truth)
    assert_balanced(ours)


def test_denominators_among_the_operands_are_constants():
    def divided(attention: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda q, k, v: attention(q, (k.abs() + 1).rsqrt(), v)

    ours, truth = (explain(divided(attention)) for attention in (fused, scaled_dot_product_attention))
    assert_same_maps(ours, truth)
    assert ours.input[1] is None or not ours.input[1].any()
    assert_balanced(ours)


def test_a_bias_made_of_data_gets_its_share():
    inputs = (Q, K, V, BIAS.expand(2, -1, -1, -1).clone())
    ours, truth = (explain(attention, inputs, ledger="calls") for attention in (fused, SPELLINGS["matmul"]))
    assert ours.input[3].any()
    assert_same_maps(ours, truth)
    assert_blameless(ours)


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp", "constant softmax"])
def test_several_targets_at_once(composite: str):
    parts = [lambda z, i=i: (z * M)[:, i].sum((1, 2)) for i in range(3)]
    several = explain(fused, name=composite, target=targets.Several(*parts))
    for index, part in enumerate(parts):
        alone = explain(fused, name=composite, target=part)
        for together, single in zip(several.input, alone.input, strict=True):
            if single is not None and single.any():
                assert_same(together[index], single)
    assert_balanced_each(several)


def assert_balanced_each(r: lrp.Relevance) -> None:
    assert r.ledger is not None
    assert float((r.ledger.residual.abs() / r.ledger.scale).max()) < 1e-12


def test_the_plan_says_what_was_done():
    rows = {row.operation: row for row in explain(fused).plan}
    row = rows["scaled_dot_product_attention"]
    assert (row.family, row.rule, row.note) == ("attention", "Taylor()", "fused")
    row = next(iter(explain(fused, name="cp_lrp").plan))
    assert (row.rule, row.note) == ("SignalTakesAll()", "fused; its weights count as constants")
    plan = explain(fused, name="constant softmax").plan
    assert [row.rule for row in plan if row.operation == "softmax"] == ["Constant()"]


def test_the_selector_means_fused_attention_and_its_parts():
    chosen = lrp.Composite([(on.attention, rules.Constant())])
    ours = explain(fused, composite=chosen)
    assert_same_maps(ours, explain(fused, name="constant softmax"))
    stopped = explain(lambda q, k, v: fused(q, k, v) + q, composite=lrp.Composite([(on.attention, rules.Stop())]))
    assert_same(stopped.input[0], Q * M)


def test_entries_for_parts_of_a_fused_call_are_used():
    chosen = lrp.Composite([(on.softmax, rules.Constant()), (on.product, rules.SignalTakesAll())])
    assert_same_maps(explain(fused, composite=chosen), explain(fused, name="cp_lrp"))


def test_rules_of_linear_calls_meet_the_products_with_constants():
    composite = lrp.Composite([(on.linear, rules.Gamma(1.0))])
    ours = explain(lambda q, v: fused(q, K, v), (Q, V), composite=composite)
    truth = explain(lambda q, v: scaled_dot_product_attention(q, K, v), (Q, V), composite=composite)
    assert_same_maps(ours, truth)
    plain = explain(lambda q, v: fused(q, K, v), (Q, V))
    assert not torch.allclose(ours.input[0], plain.input[0])


def test_active_dropout_is_refused():
    with pytest.raises(TrainingModeError, match="drops weights"):
        explain(lambda *x: F.scaled_dot_product_attention(*x, dropout_p=0.1))


def test_differences_to_a_reference_are_refused_by_name():
    with pytest.raises(ModelError, match="scaled_dot_product_attention"):
        lrp.explain(fused, (Q, K, V), target=explained, reference="zero")


def test_auto_takes_attnlrp_for_attention_however_written():
    for attention in (fused, SPELLINGS["einsum"], SPELLINGS["keys_first"]):
        r = explain(attention, name="auto")
        assert r.composite.name == "attnlrp"
    gated = lrp.explain(lambda x: x * torch.softmax(x, 1), signed(2, 3), target=lambda z: z[:, 0])
    assert gated.composite.name == "zero"


def test_auto_gives_a_gated_product_beside_attention_to_its_signal():
    def gated(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return fused(q, k, v) * torch.sigmoid(q)

    rows = [row for row in explain(gated, name="auto").plan if row.operation == "mul"]
    assert "SignalTakesAll()" in [row.rule for row in rows]
