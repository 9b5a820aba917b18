"""The result: layers, totals, and text."""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import errors, presets
from tests.cases.networks import CASES, prepare


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2, self.unused = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.unused(x)
        return self.fc2(self.act(self.fc1(x)))


MODEL = prepare(MLP(), seed=1)
X = torch.randn(3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
FULL = lrp.explain(MODEL, X, target=1, composite=presets.zero(), keep="all")


def close(ours: Tensor, truth: Tensor) -> None:
    torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-13)


def test_layers_run_from_output_to_input():
    assert list(FULL.layers) == ["fc2", "act", "fc1"]
    case = CASES["resnet18_small"]
    r = lrp.explain(case.build(), case.inputs(), keep="layer?")
    assert list(r.layers) == ["layer4", "layer3", "layer2", "layer1"]


def test_relevance_at_outputs_and_inputs_of_layers():
    hidden = MODEL.act(MODEL.fc1(X)).detach()
    weight = MODEL.fc2.weight.detach()
    close(FULL["fc2"][:, 1], FULL.explained)
    assert not FULL["fc2"][:, [0, 2]].any()
    close(FULL["act"], hidden * weight[1])
    close(FULL["fc1"], hidden * weight[1])
    close(FULL["fc2", "in"], FULL["act"])
    close(FULL["act", "in"], FULL["fc1", "out"])
    close(FULL["fc1", "in"], FULL.input)
    assert FULL["fc1"].shape == (3, 6)


def test_relevance_of_a_layer_and_what_came_after_add_up():
    biases = {row.where: float(row.amount) for row in FULL.ledger.rows}
    explained = float(FULL.explained.sum())
    assert float(FULL["act"].sum()) == pytest.approx(explained - biases["fc2"], rel=1e-12)
    assert float(FULL.input.sum()) == pytest.approx(explained - biases["fc2"] - biases["fc1"], rel=1e-12)


def test_keeping_changes_no_number_and_writes_behind_do_not_reach_it():
    bare = lrp.explain(MODEL, X, target=1, composite=presets.zero())
    assert torch.equal(bare.input, FULL.input)
    assert not bare.layers
    in_place = nn.Sequential(MODEL.fc1, nn.ReLU(inplace=True), MODEL.fc2)
    r = lrp.explain(in_place, X, target=1, composite=presets.zero(), keep="all")
    close(r["0"], FULL["fc1"])
    close(r["1"], FULL["act"])
    close(r["1", "in"], FULL["fc1"])


@pytest.mark.parametrize(
    ("keep", "names"),
    [
        ("fc1", ["fc1"]),
        (["fc1", "fc2"], ["fc2", "fc1"]),
        ("fc*", ["fc2", "fc1"]),
        (("act",), ["act"]),
        ([], []),
        ("all", ["fc2", "act", "fc1"]),
    ],
    ids=str,
)
def test_keep_by_pattern(keep: Any, names: list[str]):
    assert list(lrp.explain(MODEL, X, keep=keep).layers) == names


def test_keep_with_reductions():
    case = CASES["conv3d_net"]
    full = lrp.explain(case.build(), case.inputs(), keep="all")
    r = lrp.explain(case.build(), case.inputs(), keep={"4": lrp.channels, "0": lrp.total, "1": lambda t: t[:, 0]})
    close(r["4"], full["4"].sum((2, 3, 4)))
    close(r["4", "in"], full["4", "in"].sum((2, 3, 4)))
    close(r["0"], full["0"].sum((1, 2, 3, 4)))
    close(r["1"], full["1"][:, 0])
    assert r["4"].shape == (3, 8)


class Tuples(nn.Module):
    """A module that takes and returns more than one tensor."""

    def forward(self, x: Tensor, scale: float, y: Tensor) -> tuple[Tensor, None, list[Tensor]]:
        return x * scale, None, [y, y.argmax(1)]


Pair = namedtuple("Pair", "first second")


@dataclasses.dataclass
class Record:
    first: Tensor
    name: str


class Shapes(nn.Module):
    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.part = _Returns(kind)

    def forward(self, x: Tensor) -> Tensor:
        found = self.part(x)
        return (found["first"] if isinstance(found, dict) else found.first) * 2


class _Returns(nn.Module):
    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Any:
        return self.kind(x * 3)


class Middle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part, self.fc = Tuples(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, _, (b, _) = self.part(x * 1, 2.0, x + 1)
        return self.fc(a + b)


def test_relevance_has_the_structure_of_the_modules_output():
    r = lrp.explain(prepare(Middle(), seed=3), X, target=0, composite=presets.zero(), keep="all")
    a, none, (b, index) = r["part"]
    assert none is None
    assert index is None
    close(a + b, r["fc", "in"])
    left, scale, right = r["part", "in"]
    assert scale is None
    close(left, a)
    close(right, b)


@pytest.mark.parametrize(
    "kind",
    [lambda t: {"first": t, "name": "n"}, lambda t: Pair(t, None), lambda t: Record(t, "n")],
    ids=["dict", "named tuple", "dataclass"],
)
def test_relevance_at_a_structured_output(kind: Any):
    r = lrp.explain(Shapes(kind), X, target=0, composite=presets.zero(), keep="part")
    found = r["part"]
    first = found["first"] if isinstance(found, dict) else found[0] if isinstance(found, tuple) else found.first
    close(first[:, 0], 6 * X[:, 0])


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.fc(F.relu(self.fc(x))))


def test_a_module_called_twice_is_two_entries():
    model = prepare(Twice(), seed=4)
    r = lrp.explain(model, X, composite=presets.zero(), keep="all")
    assert list(r.layers) == ["head", "fc#1", "fc#0"]
    close(r["fc#1"], r["head", "in"])
    close(r["fc#0", "in"], r.input)
    for key in ("fc", ("fc", "in")):
        with pytest.raises(errors.LayerError, match="called 2 times") as caught:
            r[key]
        assert "fc#1, fc#0" in caught.value.seen
        assert 'r["fc#' in caught.value.cure


MISSING: dict[str, tuple[Any, list[str]]] = {
    "typo": ("fc11", ["no module 'fc11'", "'fc1'"]),
    "typo, in": (("fcl", "in"), ["no module 'fcl'", "'fc1'"]),
    "off the way": ("unused", ["no relevance at the output of module 'unused'", "way"]),
    "off the way, in": (("unused", "in"), ["no relevance at the input of module 'unused'"]),
    "side": (("fc1", "inside"), ["'in' and 'out'", "'inside'"]),
    "call": ("fc1#0", ["no module 'fc1#0'", "'fc1'"]),
}


@pytest.mark.parametrize("what", MISSING)
def test_missing_layer_says_why(what: str):
    key, words = MISSING[what]
    with pytest.raises(errors.LayerError) as caught:
        FULL[key]
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_layer_that_was_not_kept_says_so():
    r = lrp.explain(MODEL, X, keep="fc2")
    with pytest.raises(errors.LayerError, match="no relevance at the output of module 'fc1'") as caught:
        r["fc1"]
    assert caught.value.seen == "kept: fc2"
    assert 'keep=["fc1"]' in caught.value.cure


def test_totals_and_shares():
    r = lrp.explain(lambda image, age: image.sum((1, 2)) + 3 * age, {"image": X[:, :, None], "age": X[:, 0]})
    totals = r.totals()
    close(totals["image"].relevance, X.sum(1))
    close(totals["age"].relevance, 3 * X[:, 0])
    close(totals["image"].share + totals["age"].share, torch.ones(3, dtype=X.dtype))
    close(totals["age"].share, 3 * X[:, 0] / r.explained)


def test_totals_by_group():
    labels = torch.tensor([0, 7, 7, 0])
    r = lrp.explain(lambda x: x.sum(1), X, composite=presets.zero())
    groups = r.totals(labels)
    assert list(groups) == ["0", "7"]
    close(groups["7"].relevance, X[:, 1:3].sum(1))
    close(groups["0"].share, (X[:, 0] + X[:, 3]) / X.sum(1))
    pixels = lrp.explain(lambda x: x.sum((1, 2, 3)), X.view(3, 1, 2, 2), composite=presets.zero())
    by_row = pixels.totals(torch.tensor([[0, 0], [1, 1]]))
    close(by_row["1"].relevance, X[:, 2:].sum(1))
    two = lrp.explain(lambda a, b: (a + b).sum(1), {"a": X, "b": X}, composite=presets.zero())
    assert list(two.totals({"a": labels, "b": labels})) == ["a: 0", "a: 7", "b: 0", "b: 7"]
    with pytest.raises(errors.InputError, match="shaped like the input of one sample"):
        r.totals(torch.zeros(5, dtype=torch.long))


def test_top():
    x = torch.tensor([[1.0, -5.0, 2.0, 0.5], [0.0, 1.0, -3.0, 4.0]], dtype=torch.float64)
    r = lrp.explain(lambda x: x.sum(1), x, composite=presets.zero())
    first, second = r.top(2)
    assert [(item.input, item.at, item.relevance) for item in first] == [("input", (1,), -5.0), ("input", (2,), 2.0)]
    assert [item.at for item in second] == [(3,), (2,)]
    assert [len(items) for items in r.top()] == [4, 4]
    two = lrp.explain(lambda a, b: (2 * a + b.flatten(1)).sum(1), {"a": x, "b": x.view(2, 2, 2)})
    assert [(item.input, item.at) for item in two.top(3)[0]] == [("a", (1,)), ("b", (0, 1)), ("a", (2,))]


def test_text():
    text = str(FULL)
    for word in (
        "explained",
        "class 1: 1, 1, 1",
        "zero",
        "input",
        "fc2",
        "act",
        "fc1",
        "(3, 6) float64",
        "ledger",
        "bias",
    ):
        assert word in text
    assert repr(FULL) == "<lrp.Relevance of 3 samples by 'zero'>"
    assert len(text.splitlines()) < 20


def test_html_is_escaped():
    model = nn.Module()
    model.add_module("<b>&", nn.Linear(4, 2).double())
    model.forward = lambda **inputs: model.get_submodule("<b>&")(inputs["<script>"]).sigmoid()
    composite = lrp.Composite([("<b>&", lrp.rules.Epsilon())], name="<i>mine</i>")
    r = lrp.explain(model, {"<script>": X}, keep="all", composite=composite, target=lrp.targets.Class(1))
    page = r._repr_html_() + r.plan._repr_html_()
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;&amp;" in page
    assert "&lt;i&gt;mine" in page
    assert not any(tag in page for tag in ("<script", "<b>", "<i>"))
    assert "stepped over" in page


class Gated(nn.Module):
    """SiLU written by hand, beside its input."""

    def forward(self, h: Tensor) -> Tensor:
        return h * torch.sigmoid(h) + h


class ReadAndOverwritten(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        y = 2 * h
        return y + h.relu_()


@pytest.mark.parametrize(
    "middle",
    [(nn.ReLU(), Gated()), (nn.Unflatten(1, (4, 1)), ReadAndOverwritten(), nn.Flatten())],
    ids=["a step within one activation", "a view that is overwritten"],
)
def test_where_a_part_of_relevance_goes_around_a_layer_none_is_given(middle: tuple[nn.Module, ...]):
    """`v = relu(h); v * sigmoid(v)` is one activation of h, `+ v` reads v: a part alone would be measured at v."""
    model = prepare(nn.Sequential(nn.Linear(4, 4), *middle, nn.Linear(4, 2)), seed=3)
    x = torch.randn(2, 4, dtype=torch.float64)
    r = lrp.explain(model, x, target=1, composite=presets.zero(), keep="all")
    torch.testing.assert_close(r["0"].sum(), r[str(len(middle))].sum())
    with pytest.raises(errors.LayerError, match="overwritten later"):
        r["1"]


def test_values_are_the_inputs_in_their_structure():
    table = torch.ones(3, 2, dtype=torch.float64)
    ids = torch.tensor([[0, 2]])
    given = {"ids": ids, "x": (X.clone(), None), "name": "n"}

    def forward(ids: Tensor, x: tuple[Tensor, None], name: str) -> Tensor:
        return F.embedding(ids, table).sum((1, 2)) + x[0].mul_(2).sum()

    r = lrp.explain(forward, given)
    assert r.values["name"] is None
    assert r.values["x"][1] is None
    assert torch.equal(r.values["ids"], ids)
    given["x"][0].fill_(0)  # a picture made later shows what was explained
    assert torch.equal(r.values["x"][0], X)
    assert not r.values["x"][0].requires_grad
    assert lrp.explain(lambda x: x * 2, X, target=lrp.targets.Several(0, 1)).split()[1].values is not None
