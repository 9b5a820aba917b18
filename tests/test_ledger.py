"""The ledger: both sides agree on every network, and each column is what it says."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import lrp
from lrp import presets, rules
from lrp.ledger import KINDS
from tests.cases.networks import CASES
from tests.cases.presets import ALL_PRESETS

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}

LEVELS = [(preset, torch.float64) for preset in ALL_PRESETS]
LEVELS += [(preset, torch.float32) for preset in ALL_PRESETS if preset != "auto"]

each_network = pytest.mark.parametrize("network", CASES)


@pytest.mark.parametrize(("preset", "dtype"), LEVELS, ids=[f"{preset}-{dtype}" for preset, dtype in LEVELS])
@each_network
def test_books_balance(network: str, preset: str, dtype: torch.dtype):
    """As a whole, and at every op call; the level of the books changes no number."""
    case = CASES[network]
    model, x = case.build().to(dtype), case.blank_inputs().to(dtype)
    maps = []
    for level in ("sinks", "calls", False):
        r = lrp.explain(model, x, composite=ALL_PRESETS[preset](), ledger=level, keep="all")
        maps.append((r.input, *r.layers.values()))
        if level:
            scale = float(r.ledger.scale)
            assert float(r.ledger.residual.abs()) <= TOLERANCE[dtype] * scale
            assert {row.kind for row in r.ledger.rows} <= set(KINDS)
        if level == "calls":
            assert r.ledger.lost
            assert all(float(lost.abs()) <= TOLERANCE[dtype] * scale for lost in r.ledger.lost.values())
        else:
            assert r.ledger is None or r.ledger.lost is None
    for sinks, calls, none in zip(*maps, strict=True):
        assert torch.equal(sinks, calls)
        assert torch.equal(sinks, none)


@pytest.mark.parametrize("preset", ["zero", "epsilon_plus_flat"])
@each_network
def test_by_sample_equals_single_runs(network: str, preset: str):
    case, level = CASES[network], "calls" if preset == "zero" else "sinks"
    model, x = case.build(), case.inputs()
    whole = lrp.explain(model, x, composite=ALL_PRESETS[preset](), ledger=level).ledger
    books = whole.by_sample()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the sources' relevance is", lrp.LRPWarning)  # one has an output near 0
        singles = [
            lrp.explain(model, x[i : i + 1], composite=ALL_PRESETS[preset](), ledger=level).ledger for i in range(3)
        ]
    tolerance = 1e-12 * float(whole.scale)
    for part in ("explained", "sources", "magnitude", "residual", "kept", "scale"):
        together = torch.stack([getattr(single, part) for single in singles])
        assert getattr(books, part).shape == (3,)
        torch.testing.assert_close(getattr(books, part), together, rtol=1e-12, atol=tolerance)
    for rows in zip(books.rows, *(single.rows for single in singles), strict=True):
        assert len({(row.call, row.where, row.kind) for row in rows}) == 1
        amounts = torch.stack([row.amount for row in rows[1:]])
        torch.testing.assert_close(rows[0].amount, amounts, rtol=1e-12, atol=tolerance)
    for row, sample in zip(whole.rows, books.rows, strict=True):
        torch.testing.assert_close(row.amount, sample.amount.sum(), rtol=1e-12, atol=tolerance)
    if level == "calls":
        assert books.lost.keys() == whole.lost.keys()
        assert all(lost.shape == (3,) for lost in books.lost.values())


def test_by_sample_of_one_sample_runs_nothing_again():
    calls = 0

    def model(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return 2 * x

    r = lrp.explain(model, torch.tensor([[1.0, 3.0]]))
    books, after = r.ledger.by_sample(), calls
    assert books.explained.tolist() == [6.0]
    assert calls == after


def test_by_sample_opens_books_whose_last_bits_another_run_rounds_otherwise():
    """Kernels of a GPU add in another order each time."""
    case = CASES["mlp"]
    model, rounding = case.build(), iter([0.0, 1e-15, -1e-15])
    r = lrp.explain(lambda x: model(x) * (1 + next(rounding)), case.inputs(), target=1)
    torch.testing.assert_close(r.ledger.by_sample().explained, r.explained)


def test_by_sample_of_a_changed_model_is_refused():
    model = nn.Linear(3, 2)
    r = lrp.explain(model, torch.randn(2, 3))
    model.weight.data.mul_(2)
    with pytest.raises(lrp.LRPError, match="changed since"):
        r.ledger.by_sample()


def test_three_neurons_by_hand():
    """Two inputs, one hidden ReLU, one output: 4 * relu(2 x0 - 1 x1 + 1) - 3 at x = (3, 2)."""
    first, last = nn.Linear(2, 1), nn.Linear(1, 1)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[2.0, -1.0]]))
        first.bias.fill_(1.0)
        last.weight.fill_(4.0)
        last.bias.fill_(-3.0)
    model = nn.Sequential(first, nn.ReLU(), last)
    r = lrp.explain(model, torch.tensor([[3.0, 2.0]]), composite=presets.zero())
    assert r.explained.tolist() == [17.0]
    assert r.input.tolist() == [[24.0, -8.0]]
    books = r.ledger
    assert [(row.call, row.where, row.kind, float(row.amount)) for row in books.rows] == [
        ("0: linear", "0", "bias", 4.0),
        ("2: linear", "2", "bias", -3.0),
    ]
    assert {name: float(amount) for name, amount in books.by_kind().items()} == {"bias": 1.0}
    assert (float(books.sources), float(books.kept), float(books.residual)) == (16.0, 1.0, 0.0)
    assert float(books.scale) == 39.0
    assert float(books.amplification) == pytest.approx(32 / 17)


def test_exact_fractions_of_epsilon_by_hand():
    """W = [[3, 4], [5, 6]], b = [7, 8], x = [1, 2]; relevance (1/3, 2/3) arriving at the output."""
    layer = nn.Linear(2, 2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0], [5.0, 6.0]]))
        layer.bias.copy_(torch.tensor([7.0, 8.0]))
    arriving = torch.tensor([1 / 3, 2 / 3], dtype=torch.float64) / torch.tensor([18.0, 25.0], dtype=torch.float64)
    r = lrp.explain(
        layer,
        torch.tensor([[1.0, 2.0]], dtype=torch.float64),
        target=lambda z: (z * arriving).sum(1),
        composite=presets.zero(),
    )
    expected = torch.tensor([[17 / 90, 316 / 675]], dtype=torch.float64)
    torch.testing.assert_close(r.input, expected, rtol=1e-15, atol=0)
    assert float(r.ledger.kept) == pytest.approx(1 - 17 / 90 - 316 / 675, rel=1e-14)


def test_rows_of_every_kind_have_their_formula():
    """bias and stabiliser of a layer, shift of an activation and of a norm, a constant, the entropy of a softmax."""
    x = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    weight = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    bias = torch.tensor([0.5, 1.0], dtype=torch.float64)

    def layer(x: Tensor) -> Tensor:  # z = (0.5, -4)
        return torch.nn.functional.linear(x, weight, bias)

    with_epsilon = lrp.Composite([(lrp.on.linear, rules.Epsilon(0.5))])

    def kept(model: Callable[[Tensor], Tensor], composite: lrp.Composite, target: int = 0) -> dict[str, float]:
        r = lrp.explain(model, x, target=target, composite=composite, through_output=True)
        assert float(r.ledger.residual.abs()) < 1e-14
        return {kind: float(amount) for kind, amount in r.ledger.by_kind().items()}

    assert kept(layer, presets.zero()) == {"bias": 0.5}
    assert kept(layer, with_epsilon) == pytest.approx({"bias": 0.25, "stabiliser": 0.25})
    assert kept(layer, with_epsilon, 1) == pytest.approx({"bias": 4 / 4.5, "stabiliser": -0.5 * 4 / 4.5})
    assert kept(torch.sigmoid, presets.zero()) == {"shift": 0.5}
    assert kept(lambda x: x + torch.tensor([3.0, 4.0], dtype=x.dtype), presets.zero(), 1) == {"constant": 4.0}
    assert kept(lambda x: x - 0.25, presets.zero(), 1) == {"constant": -0.25}
    p = torch.softmax(x, 1)[0]
    softmax = kept(lambda x: torch.softmax(x, 1), presets.zero())["softmax"]
    assert softmax == pytest.approx(float(p[0] - (p[0] * (x[0, 0] - (p * x[0]).sum()))))


def test_a_residual_warns_and_names_the_cure():
    class Broken(rules.Epsilon):
        def arriving(self, z: Tensor, m: Tensor, units: int | None) -> tuple[Tensor, dict[str, Callable[[], Tensor]]]:
            q, kept = super().arriving(z, m, units)
            return 0.5 * q, kept

    model = nn.Linear(3, 2, dtype=torch.float64)
    with pytest.warns(lrp.LRPWarning, match=r"do not balance: .* ledger=\"calls\" names the op call") as caught:
        lrp.explain(model, torch.randn(2, 3, dtype=torch.float64), composite=lrp.Composite([(lrp.on.linear, Broken())]))
    assert caught[0].filename == __file__


def test_what_a_coarser_type_on_the_way_rounds_is_no_warning():
    """As in language models in float64, which compute their norms in float32."""

    def model(x: Tensor) -> Tensor:
        for _ in range(20):
            x = x + torch.rms_norm(x.float(), (64,)).double()
        return x

    x = torch.randn(2, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    r = lrp.explain(model, x, target=0)
    assert 1e-9 < float(r.ledger.residual.abs() / r.ledger.scale) < 1e-6


def test_amplification_above_a_hundred_warns():
    """Large opposite contributions to a small output."""

    def model(x: Tensor) -> Tensor:
        return x[:, :1] * 1000 - x[:, 1:] * 999

    x = torch.ones(1, 2, dtype=torch.float64)
    with pytest.warns(lrp.LRPWarning, match="2e\\+03 times the explained output"):
        r = lrp.explain(model, x)
    (note,) = r.notes
    assert "2e+03 times the explained output" in note
    assert float(r.ledger.amplification) == pytest.approx(1999)
    assert float(r.ledger.residual) == pytest.approx(0, abs=1e-10)


def _noisy(x: Tensor) -> Tensor:
    return (x[:, :1] * 1000 - x[:, 1:] * 999)[:, 0]


def _recorded(x: Tensor) -> lrp.recording.Tape:
    with lrp.record() as tape:
        tape.y = _noisy(tape.source(x))
    return tape


@pytest.mark.parametrize("how", ["explain", "Explainer", "record"])
def test_warnings_point_at_the_users_line(how: str):
    x = torch.ones(1, 2, dtype=torch.float64)
    tape = _recorded(x)
    ways = {
        "explain": lambda: lrp.explain(_noisy, x),
        "Explainer": lambda: lrp.Explainer(_noisy)(x),
        "record": lambda: tape.relevance(tape.y),
    }
    with pytest.warns(lrp.LRPWarning) as caught:
        ways[how]()
    assert {warning.filename for warning in caught} == {__file__}


def test_printed_ledger_shows_both_sides():
    model, x = CASES["vgg_bn"].build(), CASES["vgg_bn"].inputs()
    r = lrp.explain(model, x, composite=presets.epsilon_plus(), ledger="calls")
    words = [line.split()[0] for line in str(r.ledger).splitlines()]
    assert words[:2] == ["explained", "sources"]
    assert words[2:-3] == list(r.ledger.by_kind())
    assert {"bias", "stabiliser"} <= set(words)
    assert words[-3:] == ["residual", "amplification", "lost"]
    assert len(str(r.ledger.by_sample()).splitlines()[0].split()) == 4


def test_a_dead_output_has_empty_books():
    layer = nn.Linear(2, 2, bias=False)
    r = lrp.explain(nn.Sequential(layer, nn.ReLU()), torch.zeros(1, 2))
    assert r.explained.tolist() == [0.0]
    assert float(r.ledger.scale) == 0
    assert "residual" in str(r)


def test_ledger_off_keeps_no_books():
    r = lrp.explain(nn.Linear(3, 2), torch.randn(2, 3), ledger=False)
    assert r.ledger is None
    assert "residual" not in str(r)
    assert r.plan.identical_to_gradient
