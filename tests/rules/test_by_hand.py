"""Numbers worked out by hand: each test's comments hold the whole calculation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lrp
from lrp import on, rules
from lrp.rules.linear import InputRule
from tests.ops.driving import assert_books_balance, drive, kept


def tensor(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def close(numbers: object) -> object:
    """Equal up to rounding."""
    return pytest.approx(numbers, rel=1e-14, abs=1e-14)


# --- one layer in exact fractions -------------------------------------------------------------------------------------

W, B, X = [[3, 4], [5, 6]], [7, 8], [1, 2]
R = [Fraction(1, 3), Fraction(2, 3)]


def in_fractions(bias_in_denominator: bool) -> list[Fraction]:
    """`R_i = sum_j x_i w_ji / z_j R_j`, Bach et al. 2015, with row j of W belonging to output j."""
    totals = [sum(w * x for w, x in zip(row, X, strict=True)) for row in W]
    z = [total + b * bias_in_denominator for total, b in zip(totals, B, strict=True)]
    return [sum(Fraction(X[i] * W[j][i], z[j]) * R[j] for j in range(2)) for i in range(2)]


def test_the_fractions_are_lrp_0_with_the_bias_in_the_denominator() -> None:
    # z = (3 + 8 + 7, 5 + 12 + 8) = (18, 25)
    # R_1 = 3/18 1/3 + 5/25 2/3 = 1/18 + 2/15 = 17/90
    # R_2 = 8/18 1/3 + 12/25 2/3 = 4/27 + 8/25 = 316/675
    assert in_fractions(bias_in_denominator=True) == [Fraction(17, 90), Fraction(316, 675)]
    # leaving the bias out, z = (11, 17), is another map, which hands on everything
    assert in_fractions(bias_in_denominator=False) == [Fraction(161, 561), Fraction(400, 561)]


@pytest.mark.parametrize("rule", [rules.Zero(), rules.Epsilon(0.0)], ids=str)
@pytest.mark.parametrize("spelling", ["linear", "matmul and add"])
def test_exact_fractions(rule: rules.Rule, spelling: str) -> None:
    w, b = tensor(*W), tensor(*B)

    def layer(x: Tensor) -> Tensor:
        return F.linear(x, w, b) if spelling == "linear" else x @ w.T + b

    # relevance (1/3, 2/3) at the output (18, 25) is the multiplier (1/54, 2/75)
    r = drive(layer, tensor(X), tensor([1 / 54, 2 / 75]), [(on.linear, rule)])
    assert r.explained.tolist() == close([1.0])
    assert r.input.tolist()[0] == close([17 / 90, 316 / 675])
    # the biases keep 7/18 1/3 + 8/25 2/3 = 7/54 + 16/75 = 463/1350
    assert kept(r, "bias", "constant") == close(463 / 1350)
    assert Fraction(17, 90) + Fraction(316, 675) + Fraction(463, 1350) == 1
    assert_books_balance(r)


def test_exact_fractions_from_relevance_that_arrives() -> None:
    """The same through a layer above that hands 1/3 and 2/3 of a unit to the two outputs."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1, bias=False)).double().eval()
    with torch.no_grad():
        model[0].weight.copy_(tensor(*W))
        model[0].bias.copy_(tensor(*B))
        model[1].weight.copy_(tensor([1 / 54, 2 / 75]))
    r = lrp.explain(model, tensor(X), keep="0")
    assert r["0"].tolist()[0] == close([1 / 3, 2 / 3])
    assert r.input.tolist()[0] == close([17 / 90, 316 / 675])


# --- three neurons ----------------------------------------------------------------------------------------------------


def three_neurons() -> nn.Module:
    """Two hidden ReLU neurons and one output neuron.

    At x = (3, 2):  h1 = 2 3 - 1 2 + 1 = 5,  h2 = -1 3 + 4 2 - 2 = 3,  y = 2 h1 - 1 h2 + 1 = 8.
    """
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double().eval()
    with torch.no_grad():
        model[0].weight.copy_(tensor([2, -1], [-1, 4]))
        model[0].bias.copy_(tensor(1, -2))
        model[2].weight.copy_(tensor([2, -1]))
        model[2].bias.copy_(tensor(1))
    return model


# rule -> relevance of h, of x, and the ledger's rows by (layer, kind)
Expected = tuple[list[float], list[float], dict[tuple[str, str], float]]
BY_HAND: dict[rules.Rule, Expected] = {
    # y = 10 - 3 + 1: h gets (10, -3), the bias 1
    # 10 of h1 = 6 - 2 + 1 = 5 is (12, -4) and 2 for the bias; -3 of h2 = -3 + 8 - 2 = 3 is (3, -8) and 2
    rules.Zero(): ([10, -3], [15, -12], {("2", "bias"): 1, ("0", "bias"): 4}),
    # y: 8 / (8 + 1) for each unit: h gets (80/9, -24/9), the bias 8/9, epsilon 8/9
    # h1: 80/9 / (5 + 1) = 40/27 a unit: x gets (80/9, -80/27), the bias 40/27, epsilon 40/27
    # h2: -24/9 / (3 + 1) = -2/3 a unit: x gets (2, -16/3), the bias 4/3, epsilon -2/3
    rules.Epsilon(1.0): (
        [80 / 9, -24 / 9],
        [98 / 9, -224 / 27],
        {
            ("2", "bias"): 8 / 9,
            ("2", "stabiliser"): 8 / 9,
            ("0", "bias"): 40 / 27 + 4 / 3,
            ("0", "stabiliser"): 40 / 27 - 2 / 3,
        },
    ),
    # y: the positive parts 10 + 1 and epsilon 1, 8 / 12 a unit: h gets (20/3, 0), the bias 2/3, epsilon 2/3
    # h1: the positive parts 6 + 1 and epsilon 1, 20/3 / 8 a unit: x gets (5, 0), the bias 5/6, epsilon 5/6
    # h2 has no relevance to hand on
    rules.ZPlus(1.0): (
        [20 / 3, 0],
        [5, 0],
        {
            ("2", "bias"): 2 / 3,
            ("2", "stabiliser"): 2 / 3,
            ("0", "bias"): 5 / 6,
            ("0", "stabiliser"): 5 / 6,
        },
    ),
    # y > 0: 10 and the bias 1 count twice, 20 - 3 + 2 and epsilon 1, 8 / 20 a unit: h gets (8, -6/5), the bias 4/5
    # h1 > 0: 12 - 2 + 2 and epsilon 1, 8 / 13 a unit: x gets (96/13, -16/13), the bias 16/13
    # h2 > 0: -3 + 16 - 2 and epsilon 1, -6/5 / 12 = -1/10 a unit: x gets (3/10, -16/10), the bias 2/10
    rules.Gamma(1.0, 1.0): (
        [8, -6 / 5],
        [96 / 13 + 3 / 10, -16 / 13 - 16 / 10],
        {
            ("2", "bias"): 4 / 5,
            ("2", "stabiliser"): 2 / 5,
            ("0", "bias"): 16 / 13 + 2 / 10,
            ("0", "stabiliser"): 8 / 13 - 1 / 10,
        },
    ),
    # y: 16 over 10 + 1 + 1 is 4/3: h1 gets 40/3, bias and epsilon 4/3; -8 over -3 - 1 is 2: h2 gets -6, epsilon -2
    # h1: 80/3 over 6 + 1 + 1 is 10/3: x1 gets 20, bias and epsilon 10/3; -40/3 over -2 - 1 is 40/9: x2 gets -80/9
    # h2: -12 over 8 + 1 is -4/3: x2 gets -32/3; 6 over -3 - 2 - 1 is -1: x1 gets 3, the bias 2, epsilon 1
    rules.AlphaBeta(2, 1, 1.0): (
        [40 / 3, -6],
        [23, -80 / 9 - 32 / 3],
        {
            ("2", "bias"): 4 / 3,
            ("2", "stabiliser"): 4 / 3 - 2,
            ("2", "one-sided"): 0,
            ("0", "bias"): 10 / 3 + 2,
            ("0", "stabiliser"): 10 / 3 - 40 / 9 - 4 / 3 + 1,
            ("0", "one-sided"): 0,
        },
    ),
    # Flat below, LRP-0 above: 10 and -3 over 2 inputs and epsilon 1: each input 10/3 - 3/3, epsilon as much
    rules.Flat(1.0): ([10, -3], [7 / 3, 7 / 3], {("2", "bias"): 1, ("0", "stabiliser"): 7 / 3}),
    # squared weights: 10 over 4 + 1 + 1 is 5/3 a unit: (20/3, 5/3); -3 over 1 + 16 + 1 is -1/6: (-1/6, -16/6)
    rules.WSquare(1.0): ([10, -3], [13 / 2, -1], {("2", "bias"): 1, ("0", "stabiliser"): 5 / 3 - 1 / 6}),
    # x = (3, 2) in a box from 0 to 4: h1 is 2 (3 - 0) and -1 (2 - 4), 10 over 6 + 2 + 1 is 10/9 a unit
    # h2 is -1 (3 - 4) and 4 (2 - 0), -3 over 1 + 8 + 1 is -3/10 a unit
    rules.Box(0, 4, 1.0): (
        [10, -3],
        [60 / 9 - 3 / 10, 20 / 9 - 24 / 10],
        {("2", "bias"): 1, ("0", "stabiliser"): 10 / 9 - 3 / 10},
    ),
}


@pytest.mark.parametrize("level", ["sinks", "calls"])
@pytest.mark.parametrize("rule", BY_HAND, ids=str)
def test_three_neurons(rule: rules.Rule, level: str) -> None:
    hidden, inputs, rows = BY_HAND[rule]
    entries = [("0", rule)] if isinstance(rule, InputRule) else [(on.linear, rule)]
    r = lrp.explain(three_neurons(), tensor([3, 2]), composite=lrp.Composite(entries), keep="1", ledger=level)
    assert r.explained.tolist() == [8]
    assert r["1"].tolist()[0] == close(hidden)
    assert r.input.tolist()[0] == close(inputs)
    assert {(row.where, row.kind): float(row.amount) for row in r.ledger.rows} == close(rows)
    assert sum(inputs) + sum(rows.values()) == close(8)
    assert_books_balance(r)


def test_zplus_where_nothing_is_positive_keeps_all() -> None:
    # z = -1 2 + 3 -1 - 4 = -9 has no positive part; z+ = 0, so all of R = -9 stays with the stabiliser
    for epsilon in (0.0, 1e-6, 1.0):

        def layer(x: Tensor) -> Tensor:
            return F.linear(x, tensor([-1, 3]), tensor(-4))

        r = drive(layer, tensor([2, -1]), tensor([1]), [(on.linear, rules.ZPlus(epsilon))])
        assert r.input.tolist() == [[0, 0]]
        assert kept(r, "stabiliser") == close(-9)
        assert kept(r, "bias") == 0


def test_epsilon_takes_the_sign_of_the_output() -> None:
    # z = 1 - 3 = -2, st(z) = -2 - 0.5: R = -2 goes as 1 / -2.5 and -3 / -2.5 of it, epsilon keeps -0.5 / -2.5
    r = drive(lambda x: F.linear(x, tensor([1, -1])), tensor([1, 3]), tensor([1]), [(on.linear, rules.Epsilon(0.5))])
    assert r.input.tolist()[0] == close([0.8, -2.4])
    assert kept(r, "stabiliser") == close(-0.4)
    # z = 1 - 1 = 0 has no relevance to hand on, and sign(0) = +1 keeps the division finite
    r = drive(lambda x: F.linear(x, tensor([1, -1])), tensor([1, 1]), tensor([1]), [(on.linear, rules.Epsilon(0.5))])
    assert r.input.tolist() == [[0, 0]]


@pytest.mark.parametrize("sign", [1, -1])
def test_gamma_raises_what_has_the_sign_of_the_output(sign: int) -> None:
    # z = -3 2 + 1 -1 + 1 = -6: -6 and -1 count twice, the bias 1 once: -12 - 2 + 1 = -13
    # R = -6 is 6/13 a unit: x gets (-72/13, -12/13), the bias 6/13; with the signs turned, the same turned
    w, b = sign * tensor([-3, 1]), sign * tensor(1)
    r = drive(lambda x: F.linear(x, w, b), tensor([2, -1]), tensor([1]), [(on.linear, rules.Gamma(1, 0))])
    assert r.input.tolist()[0] == close([-sign * 72 / 13, -sign * 12 / 13])
    assert kept(r, "bias") == close(sign * 6 / 13)
    # with x mirrored too, the weights that it meets are mirrored
    r = drive(lambda x: F.linear(x, -w, b), tensor([-2, 1]), tensor([1]), [(on.linear, rules.Gamma(1, 0))])
    assert r.input.tolist()[0] == close([-sign * 72 / 13, -sign * 12 / 13])


@pytest.mark.parametrize("epsilon", [0.0, 1e-6, 1.0])
def test_alpha_beta_where_nothing_is_negative_hands_on_alpha_of_it(epsilon: float) -> None:
    # z = 1 3 + 2 1 = 5: 10 over 5 + epsilon, and -5 has nobody to go to
    r = drive(
        lambda x: F.linear(x, tensor([1, 2])),
        tensor([3, 1]),
        tensor([1]),
        [(on.linear, rules.AlphaBeta(2, 1, epsilon))],
    )
    assert r.input.tolist()[0] == close([30 / (5 + epsilon), 20 / (5 + epsilon)])
    assert kept(r, "one-sided") == close(-5)
    assert kept(r, "stabiliser") == close(10 * epsilon / (5 + epsilon))
    assert_books_balance(r)


@pytest.mark.parametrize("epsilon", [0.0, 1e-6, 1.0])
def test_alpha_beta_where_nothing_is_positive(epsilon: float) -> None:
    # z = -1 3 - 2 = -5: -(-5) over -5 - epsilon; the stabiliser keeps alpha of it, -10, beside its part of the other
    r = drive(
        lambda x: F.linear(x, tensor([-1]), tensor(-2)),
        tensor([3]),
        tensor([1]),
        [(on.linear, rules.AlphaBeta(2, 1, epsilon))],
    )
    assert r.input.tolist()[0] == close([15 / (5 + epsilon)])
    assert kept(r, "bias") == close(10 / (5 + epsilon))
    assert kept(r, "one-sided") == 0
    assert kept(r, "stabiliser") == close(-10 + 5 * epsilon / (5 + epsilon))
    assert_books_balance(r)


def test_box_has_bounds_by_channel_and_none_where_padding_is() -> None:
    # two channels with weights 2 and -1 at each of two places; box (1, 3) for the first, (-1, 1) for the second
    # x = ((2, 3), (0, 1)): the first is 2 (x - 1) = (2, 4), the second -(x - 1) = (1, 0)
    # with one padded place on either side the outputs see 3, 7 and 4: z = (4, 9, 5), R = (4, 9, 5) for m = 1
    # 4/3 a unit for the first place, 5/4 for the last, 9/7 in the middle for both
    w = tensor([[2, 2], [-1, -1]])
    x = tensor([[2, 3], [0, 1]])
    shares = [4 / 3 + 9 / 7, 5 / 4 + 9 / 7]
    expected = [[2 * shares[0], 4 * shares[1]], [shares[0], 0]]
    for low, high in [
        ((1, -1), (3, 1)),
        (torch.tensor([[1.0], [-1.0]]), torch.tensor([3.0, 1.0])),
        ([[[1, 1], [-1, -1]]], ((3,), (1,))),
    ]:
        r = drive(
            lambda x: F.conv1d(x, w, tensor(0).view(1), padding=1),
            x,
            torch.ones(1, 1, 3, dtype=torch.float64),
            [(on.first, rules.Box(low, high, 0.0))],
        )
        assert r.explained.tolist() == [18]
        assert r.input[0].tolist() == [close(row) for row in expected]


FEATURES: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: F.linear(x, tensor([1, -2])),
    "x @ w": lambda x: x @ tensor([1, -2]).T,
    "w @ x": lambda x: tensor([1, -2]) @ x.T,
}


@pytest.mark.parametrize("name", FEATURES)
def test_box_takes_the_features_of_linear_calls(name: str) -> None:
    # features in (0, 4) and (-1, 1): 1 (3 - 0) and -2 (0.5 - 1) are 3 and 1 of z = 2: R = 2 goes as 3/2 and 1/2
    r = drive(FEATURES[name], tensor([3, 0.5]), tensor([1]), [(on.first, rules.Box((0, -1), (4, 1), 0.0))])
    assert r.input.tolist()[0] == close([3 / 2, 1 / 2])


def test_relative_epsilon_means_the_same_at_any_scale() -> None:
    # z = (3, 4), root mean square 5/sqrt(2); one half of it: st(z) = 3 + 5/sqrt(8), 4 + 5/sqrt(8)
    half = 5 / math.sqrt(8)
    expected = [9 / (3 + half), 16 / (4 + half)]
    for scale in (1e-9, 1.0, 1e9):
        for others in ([], [[7, 7]]):  # another sample changes nothing
            x = scale * tensor([3, 4], *others)
            rule = rules.Epsilon(0.5, relative=True)
            r = drive(lambda x: x @ torch.eye(2).double(), x, torch.ones_like(x) / scale, [(on.linear, rule)])
            assert r.input[0].tolist() == close(expected)
    # nothing but zeros: nothing to hand on, and no NaN
    r = drive(lambda x: x @ torch.eye(2).double(), tensor([0, 0]), tensor([1, 1]), [(on.linear, rule)])
    assert r.input.tolist() == [[0, 0]]


def test_relative_epsilon_is_not_for_sums() -> None:
    with pytest.raises(lrp.errors.CompositeError, match="matched no op call"):
        drive(torch.add, (tensor(3), tensor(-1)), tensor(0.5), [(on.sum, rules.Epsilon(0.1, relative=True))])


def test_relative_epsilon_of_batch_norm_is_by_channel() -> None:
    # batch norm that doubles: z = (6, 8) over channels, (2, 2) at the second place
    x = tensor([[3, 1], [4, 1]]).view(1, 2, 2)
    rule = rules.Epsilon(0.5, relative=True)

    def norm(x: Tensor) -> Tensor:
        return F.batch_norm(x, torch.zeros(2).double(), torch.full((2,), 0.25).double(), eps=0)

    def folded(x: Tensor) -> Tensor:
        return norm(F.conv1d(x, torch.eye(2).double()[..., None]))

    for function, selector in ((norm, on.norm), (folded, on.conv)):
        r = drive(function, x, torch.ones_like(x), [(selector, rule)])
        half, place = 5 / math.sqrt(2), 1.0
        expected = [[36 / (6 + half), 4 / (2 + place)], [64 / (8 + half), 4 / (2 + place)]]
        assert r.input[0].tolist() == [close(row) for row in expected]


# --- sums and products ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [rules.Zero(), rules.Epsilon(0.0)], ids=str)
def test_negative_evidence_stays_negative(rule: rules.Rule) -> None:
    # 3 + (-1) = 2 shares R = 1 as 3/2 and -1/2; by absolute values it would be 3/4 and 1/4
    r = drive(torch.add, (tensor(3), tensor(-1)), tensor(0.5), [(on.sum, rule)])
    assert [each.tolist() for each in r.input] == [[1.5], [-0.5]]


def test_a_product_is_halved() -> None:
    # 2 3 = 6: 3 each
    r = drive(torch.mul, (tensor(2), tensor(3)), tensor(1))
    assert [each.tolist() for each in r.input] == [[3], [3]]


NESTED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "(a b) c": lambda a, b, c: (a * b) * c,
    "a (b c)": lambda a, b, c: a * (b * c),
    "in place": lambda a, b, c: (a * b).mul_(c),
}


@pytest.mark.parametrize("order", [*itertools.permutations((2, 3, 4))], ids=str)
@pytest.mark.parametrize("nesting", NESTED)
def test_a_product_of_three_gives_thirds_in_any_order(nesting: str, order: tuple[int, int, int]) -> None:
    # 2 3 4 = 24: 8 each
    r = drive(NESTED[nesting], tuple(tensor(each) for each in order), tensor(1), ledger="calls")
    assert [each.tolist() for each in r.input] == [close([8]), close([8]), close([8])]
    assert_books_balance(r)


def test_a_factor_that_occurs_twice_counts_twice() -> None:
    # 3 3 = 9: the two halves add up to 9, where the gradient would give 18
    assert drive(lambda x: x * x, tensor(3), tensor(1)).input.tolist() == [9]
    # 3 3 2 = 18: two thirds and one third
    r = drive(lambda x, y: x * x * y, (tensor(3), tensor(2)), tensor(1))
    assert [each.tolist() for each in r.input] == [close([12]), close([6])]
    # the count survives scaling, slicing and division by a constant: (5 3 3 / 2) 2 = 45
    r = drive(lambda x, y: (5 * (x * x).view(1, 1)[0] / 2) * y, (tensor(3), tensor(2)), tensor(1))
    assert [each.tolist() for each in r.input] == [close([30]), close([15])]


COUNTS: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], Tensor], list[float]]] = {
    # 4 relu(2 3) = 24: an activation starts anew, so c gets 12 and a and b share 12
    "relu(a b) c": (lambda a, b, c: torch.relu(a * b) * c, [6, 6, 12]),
    # 4 (2 3 + 1) = 28: a shift starts anew, c gets 14; of the other 14 the constant keeps 14/7
    "(a b + 1) c": (lambda a, b, c: (a * b + 1) * c, [6, 6, 14]),
    # 3 (2 3 + 2 4) = 42: two counts of two make three, b gets 14; of 28, 12 are of a b and 16 of a c
    "(a b + a c) b": (lambda a, b, c: (a * b + a * c) * b, [14, 20, 8]),
    # 3 (2 3 + 4) = 30: unequal counts start anew, b gets 15; of the other 15, 9 are of a b and 6 of c
    "(a b + c) b": (lambda a, b, c: (a * b + c) * b, [4.5, 19.5, 6]),
    # 4 (2 3) / 3 = 8: a denominator of data is a constant, and the count of three stays
    "a b / b c": (lambda a, b, c: a * b / b.clone() * c, [8 / 3, 8 / 3, 8 / 3]),
    # 4 2 3 = 24, through cat, slicing, mean and a cast: thirds
    "mean(cat(a b)) c": (lambda a, b, c: torch.cat([a * b, b * a])[:1].mean(0, keepdim=True).double() * c, [8, 8, 8]),
}


@pytest.mark.parametrize("name", COUNTS)
def test_what_the_count_of_factors_survives(name: str) -> None:
    function, expected = COUNTS[name]
    r = drive(function, (tensor(2), tensor(3), tensor(4)), tensor(1), ledger="calls")
    assert [float(each) for each in r.input] == close(expected)
    assert_books_balance(r)


# --- activations and softmax ------------------------------------------------------------------------------------------


def test_gate_and_pass() -> None:
    # sigmoid(ln 3) = 3/4: Gate hands on 3/4 - sigmoid(0) = 1/4 and keeps 1/2, Pass hands on all
    x = tensor(math.log(3))
    r = drive(torch.sigmoid, x, tensor(1), [(on.activation, rules.Gate())])
    assert (r.input.tolist(), kept(r, "shift")) == (close([1 / 4]), close(1 / 2))
    r = drive(torch.sigmoid, x, tensor(1), [(on.activation, rules.Pass())])
    assert (r.input.tolist(), kept(r, "shift")) == (close([3 / 4]), close(0))
    # an input of zero can carry nothing: both keep sigmoid(0)
    for rule in (rules.Gate(), rules.Pass()):
        r = drive(torch.sigmoid, tensor(0), tensor(1), [(on.activation, rule)])
        assert (r.input.tolist(), kept(r, "shift")) == ([0], close(1 / 2))
    # silu(ln 3) = 3/4 ln 3 and silu(0) = 0: all is handed on
    assert drive(F.silu, x, tensor(1)).input.tolist() == close([3 / 4 * math.log(3)])


def test_softmax() -> None:
    # softmax(0, ln 3) = (1/4, 3/4); R_z = (0, 3/4) where only the second output counts
    # R_x = x (R_z - s sum R_z) = (0, ln 3 (3/4 - 3/4 3/4)) = (0, 3/16 ln 3); the rest stays as softmax
    logs = math.log(3)
    r = drive(lambda x: torch.softmax(x, 1), tensor([0, logs]), tensor([0, 1]))
    assert r.input.tolist()[0] == close([0, 3 / 16 * logs])
    assert kept(r, "softmax") == close(3 / 4 - 3 / 16 * logs)
    assert_books_balance(r)
    # log softmax = (-ln 4, ln 3/4); m = (0, 1): m_x = m - p sum m = (-1/4, 1/4), R_x = (0, 1/4 ln 3)
    r = drive(lambda x: torch.log_softmax(x, 1), tensor([0, logs]), tensor([0, 1]))
    assert r.input.tolist()[0] == close([0, logs / 4])
    assert kept(r, "softmax") == close(math.log(3 / 4) - logs / 4)
