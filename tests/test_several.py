"""Several targets at once: the numbers of single explanations, from one forward and one batched backward pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp
from lrp import errors, presets
from lrp.targets import At, Class, Difference, LogOdds, Several, Top
from tests.cases.networks import CASES
from tests.engine.checks import assert_same

MODEL, X = CASES["mlp"].build(), CASES["mlp"].inputs()
PRESETS: dict[str, Callable[[], lrp.Composite]] = {
    "zero": presets.zero,
    "epsilon_plus": presets.epsilon_plus,
    "epsilon_plus_flat": presets.epsilon_plus_flat,
}


def sixteen(classes: int) -> list[Any]:
    """Classes, ranks, differences, log odds and functions, until there are sixteen."""
    found: list[Any] = [Top(), Top(2), torch.tensor([1, 0, 3]), lambda y: y.sum(1), lambda y: y[:, 1] * 2]
    found += [Difference(0, 1), Difference(3, 2), LogOdds(1), LogOdds(torch.tensor([0, 2, 1]))]
    return [*found, *(k % classes for k in range(7))]


def singles(model: nn.Module, x: Any, targets: list[Any], **options: Any) -> list[lrp.Relevance]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "target|the sources' relevance is", lrp.LRPWarning)
        return [lrp.explain(model, x, target=target, **options) for target in targets]


def together(model: nn.Module, x: Any, targets: list[Any], **options: Any) -> lrp.Relevance:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "target .* the sources' relevance is", lrp.LRPWarning)
        return lrp.explain(model, x, target=Several(*targets), **options)


def close(ours: Tensor, theirs: Tensor, scale: float) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= 1e-12 * scale


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("network", ["mlp", "vgg_bn", "resnet18_small", "depthwise_net"])
def test_sixteen_targets_are_sixteen_explanations(network: str, preset: str):
    case = CASES[network]
    model, x = case.build(), case.blank_inputs()[..., :16, :16] if network != "mlp" else case.blank_inputs()
    targets = sixteen(classes={"mlp": 4, "depthwise_net": 5}.get(network, 10))
    options = {"composite": PRESETS[preset](), "keep": "all"}
    each = singles(model, x, targets, **options)
    for level in ("sinks", "calls"):
        r = together(model, x, targets, ledger=level, **options)
        assert r.input.shape == (16, *x.shape)
        assert r.explained.shape == r.indices.shape == (16, 3)
        assert (level == "calls") == (r.ledger.lost is not None)
        for ours, alone in zip(r.split(), each, strict=True):
            assert_equal_results(ours, alone)


def assert_equal_results(ours: lrp.Relevance, alone: lrp.Relevance) -> None:
    scale = float(alone.ledger.scale)
    assert torch.equal(ours.explained, alone.explained)
    assert (ours.indices is None) == (alone.indices is None)
    assert ours.indices is None or torch.equal(ours.indices, alone.indices)
    close(ours.input, alone.input, scale)
    assert set(alone.layers) <= set(ours.layers)
    for name in alone.layers:
        close(ours[name], alone[name], scale)
        close(ours[name, "in"], alone[name, "in"], scale)
    books, single = ours.ledger, alone.ledger
    for part in ("explained", "sources", "residual", "kept", "scale", "magnitude", "size"):
        close(getattr(books, part), getattr(single, part), scale)
    assert abs(float(books.residual)) <= 1e-12 * scale
    for kind, amount in single.by_kind().items():
        close(books.by_kind()[kind], amount, scale)
    torch.testing.assert_close(books.amplification, single.amplification, rtol=1e-9, atol=0)
    if books.lost is not None:
        assert all(abs(float(lost)) <= 1e-12 * scale for lost in books.lost.values())


@pytest.mark.parametrize("network", CASES)
def test_every_network_carries_several_targets(network: str):
    case = CASES[network]
    model, x = case.build(), case.inputs()
    for preset in PRESETS.values():
        r = together(model, x, [0, 1, 2], composite=preset())
        for ours, alone in zip(r.split(), singles(model, x, [0, 1, 2], composite=preset()), strict=True):
            assert_same(ours.input, alone.input)
            assert float(ours.ledger.residual.abs()) <= 1e-12 * float(ours.ledger.scale)


def test_by_sample_has_an_axis_of_targets_and_one_of_samples():
    targets = [0, Top(), LogOdds(2)]
    books = together(MODEL, X, targets, ledger="calls").ledger
    samples = books.by_sample()
    assert samples.explained.shape == samples.residual.shape == samples.amplification.shape == (3, 3)
    assert all(row.amount.shape == (3, 3) for row in samples.rows)
    assert all(lost.shape == (3, 3) for lost in samples.lost.values())
    for k, alone in enumerate(singles(MODEL, X, targets)):
        single = alone.ledger.by_sample()
        for part in ("explained", "sources", "kept", "magnitude"):
            torch.testing.assert_close(getattr(samples, part)[k], getattr(single, part), rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(books.split()[k].by_sample().kept, single.kept, rtol=1e-12, atol=1e-13)
    one = together(MODEL, X[:1], targets).ledger.by_sample()
    assert one.explained.shape == (3, 1)


def test_one_target_of_several_has_the_axis_too():
    r = lrp.explain(MODEL, X, target=Several(1))
    assert r.input.shape == (1, 3, 10)
    assert torch.equal(r.input[0], lrp.explain(MODEL, X, target=1).input)
    assert r.several
    assert len(r.split()) == 1


def test_a_result_of_one_target_is_its_own_split():
    r = lrp.explain(MODEL, X, target=1)
    assert not r.several
    assert r.split() == [r]


def test_indices_are_none_where_no_target_is_a_class():
    assert lrp.explain(MODEL, X, target=Several(Difference(0, 1), LogOdds(2))).indices is None


def test_reductions_see_one_target_at_a_time():
    case = CASES["conv1d_net"]
    keep = {"0": lrp.channels, "3": lrp.total, "1": lambda t: t[:, 0]}
    r = together(case.build(), case.inputs(), [0, 1], keep=keep)
    for ours, alone in zip(r.split(), singles(case.build(), case.inputs(), [0, 1], keep=keep), strict=True):
        for path in keep:
            torch.testing.assert_close(ours[path], alone[path], rtol=1e-12, atol=1e-13)


def test_totals_and_top_have_an_axis_of_targets():
    def model(a: Tensor, b: Tensor) -> Tensor:
        return MODEL(a * 2 + b[:, :10])

    x = (X, torch.arange(36.0, dtype=torch.float64).reshape(3, 12) / 36)
    r, each = together(model, x, [0, Top()]), singles(model, x, [0, Top()])
    shares = r.totals()
    assert shares["0"].relevance.shape == shares["1"].share.shape == (2, 3)
    for k, alone in enumerate(each):
        for name, share in alone.totals().items():
            torch.testing.assert_close(shares[name].relevance[k], share.relevance)
            torch.testing.assert_close(shares[name].share[k], share.share)
    groups = torch.arange(10) // 5
    torch.testing.assert_close(
        r.totals({"0": groups})["0"].relevance, torch.stack([a.totals({"0": groups})["0"].relevance for a in each])
    )
    top = r.top(3)
    assert [[len(sample) for sample in target] for target in top] == [[3, 3, 3], [3, 3, 3]]
    assert [[[item[:2] for item in sample] for sample in target] for target in top] == [
        [[item[:2] for item in sample] for sample in alone.top(3)] for alone in each
    ]


def test_saved_and_loaded(tmp_path: Path):
    r = together(MODEL, X, [0, Difference(1, 2), "c"], keep="all", ledger="calls", labels=list("abcd"))
    r.save(tmp_path / "r.safetensors")
    loaded = lrp.Relevance.load(tmp_path / "r.safetensors")
    assert str(loaded) == str(r)
    assert loaded._repr_html_() == r._repr_html_()
    assert loaded.several
    for mine, other in zip(loaded.split(), r.split(), strict=True):
        assert torch.equal(mine.input, other.input)
        assert str(mine) == str(other)
        assert float(mine.ledger.residual) == float(other.ledger.residual)
    loaded.save(tmp_path / "again.safetensors")


def test_printed_result_names_every_target():
    r = together(MODEL, X, [0, Difference(1, 2)], keep="all")
    text = str(r)
    assert "target 0     class 0: 0, 0, 0\n" in text
    assert "target 1     class 1 minus class 2\n" in text
    assert "explained 1" in text
    assert "2 targets" in repr(r)
    assert "class 1 minus class 2" in r._repr_html_()
    assert str(r.target) == "class 0; class 1 minus class 2"


def test_one_forward_pass():
    calls = 0

    def model(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return MODEL(x)

    lrp.explain(model, X, target=Several(*range(4)), composite=presets.zero())
    assert calls == 1


def test_a_final_softmax_is_stepped_over_for_those_that_explain_logits():
    def model(x: Tensor) -> Tensor:
        return torch.softmax(MODEL(x), 1)

    r = together(model, X, [1, lambda p: p[:, 1]])
    with torch.no_grad():
        logits = MODEL(X)
    torch.testing.assert_close(r.explained, torch.stack([logits[:, 1], torch.softmax(logits, 1)[:, 1]]))
    assert any("softmax was stepped over" in note for note in r.notes)


def test_a_part_of_the_output_each():
    r = together(lambda x: (MODEL(x), {"b": MODEL(2 * x)}), X, [At("0", 1), At("1.b", Top())])
    assert_same(r.split()[0].input, lrp.explain(MODEL, X, target=1).input)
    assert_same(r.split()[1].input, lrp.explain(lambda x: MODEL(2 * x), X).input)


def test_one_target_that_no_source_reaches_is_named():
    with pytest.raises(errors.DetachedError, match=r"\(target 1\)"):
        lrp.explain(lambda x: (MODEL(x), MODEL(x).detach()), X, target=Several(At("0", 1), At("1", 1)))


def test_warnings_name_the_target():
    def model(x: Tensor) -> Tensor:
        return torch.stack([x[:, 0], x[:, 0] * 1000 - x[:, 1] * 999], 1)

    with pytest.warns(lrp.LRPWarning, match=r"target 1 \(class 1\): the sources' relevance is 2e\+03") as caught:
        r = lrp.explain(model, torch.ones(1, 2, dtype=torch.float64), target=Several(0, 1))
    assert [str(warning.message) for warning in caught] == list(r.notes)
    assert caught[0].filename == __file__


class Looks(torch.autograd.Function):
    """Its backward looks at a value, which no batched pass can."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, m: Tensor) -> Tensor:
        return m * 2 if float(m.sum()) > -1e9 else m


def test_what_cannot_be_batched_says_so():
    undo = lrp.register("LooksBackward", lrp.rules.Zero())
    try:

        def model(x: Tensor) -> Tensor:
            return MODEL(Looks.apply(x))

        assert lrp.explain(model, X, target=1).input.shape == X.shape
        with pytest.raises(errors.ModelError, match="several targets at once") as caught:
            lrp.explain(model, X, target=Several(0, 1))
    finally:
        undo()
    assert "one at a time" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Several(), "at least one"),
        (lambda: Several(0, Several(1)), "several targets within several"),
        (lambda: Several([0, 1]), "a list is no target"),
        (lambda: Several(0, 1.5), "a float is no target"),
        (lambda: At("0", Several(0, 1)), "one part has one target"),
        (lambda: lrp.explain(MODEL, X, target=Several(0, 4)), "out of range: 4"),
        (lambda: lrp.explain(MODEL, X, target=Several(0, lambda y: y[:2, 0])), "of the same samples"),
        (lambda: lrp.explain(MODEL, X, target=[0, 1]), "Several"),
    ],
    ids=["empty", "nested", "list", "float", "in a part", "range", "samples", "plain list"],
)
def test_bad_sets_of_targets(make: Callable[[], Any], words: str):
    with pytest.raises(errors.TargetError, match=words):
        make()


def test_equal_targets_give_equal_results():
    r = together(MODEL, X, [Class(1), 1, "b"], labels=["a", "b", "c", "d"])
    assert_same(r.input[0], r.input[1])
    assert_same(r.input[0], r.input[2])
