"""Recurrent layers by LRP-all: two steps of one unit worked by hand, larger ones by slow loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import lrp
from tests.cases.networks import signed

LN3 = math.log(3)  # sigmoid(LN3) = 3/4, sigmoid(-LN3) = 1/4, sigmoid(0) = 1/2


def unit(kind: type[nn.RNNBase], of_input: list[float], of_state: list[float], *biases: list[float]) -> nn.RNNBase:
    """A layer of one unit, with the weights of its gates in torch's order."""
    layer = kind(1, 1, bias=bool(biases)).double()
    given = [torch.tensor(weights, dtype=torch.float64) for weights in (of_input, of_state, *biases)]
    with torch.no_grad():
        for parameter, weights in zip(layer.parameters(), given, strict=True):
            parameter.copy_(weights.view_as(parameter))
    return layer


def explained(layer: nn.RNNBase, x: Tensor) -> lrp.Relevance:
    """The last output of each unit, summed, explained by LRP-all."""
    return lrp.explain(lambda x: layer(x)[0][-1].sum(1), x, composite=lrp.presets.lrp_all(), ledger="calls")


def close(*numbers: float) -> object:
    return pytest.approx(list(numbers), rel=1e-13)


def test_two_steps_of_an_lstm_by_hand():
    """Inputs x1 = 1 and x2 = -1, starting from zeros.

    gates   i1 = 3/4, i2 = 1/4 (weight ln 3); f1 = f2 = 1/2; o1 = 3/4, o2 = 1/4 (weight ln 3)
    step 1  a1 = 2 x1 + 0.5 = 2.5;          c1 = 3/4 tanh(a1);             h1 = 3/4 tanh(c1)
    step 2  a2 = 2 x2 - 3 h1 + 0.5;         c2 = 1/2 c1 + 1/4 tanh(a2);    h2 = 1/4 tanh(c2)

    h2's relevance is that of c2 (o2 gets nothing), which is shared by 1/2 c1 and 1/4 tanh(a2) as they add up to c2; a2
    hands on to 2 x2, -3 h1 and 0.5 as they add up to a2; h1's goes to c1, and all that c1 got to a1 (i1 gets nothing).
    """
    layer = unit(nn.LSTM, [LN3, 0, 2, LN3], [0, 0, -3, 0], [0, 0, 0.5, 0], [0, 0, 0, 0])
    a1 = 2.5
    c1 = 0.75 * math.tanh(a1)
    h1 = 0.75 * math.tanh(c1)
    a2 = -2 - 3 * h1 + 0.5
    c2 = 0.5 * c1 + 0.25 * math.tanh(a2)
    h2 = 0.25 * math.tanh(c2)

    to_a2 = h2 * 0.25 * math.tanh(a2) / c2
    to_c1 = h2 * 0.5 * c1 / c2 + to_a2 * -3 * h1 / a2
    r = explained(layer, torch.tensor([[[1.0]], [[-1.0]]], dtype=torch.float64))
    assert r.explained.tolist() == close(h2)
    assert r.input.flatten().tolist() == close(to_c1 * 2 / a1, to_a2 * -2 / a2)
    assert float(r.ledger.kept) == pytest.approx(to_c1 * 0.5 / a1 + to_a2 * 0.5 / a2)


def test_two_steps_of_a_gru_by_hand():
    """Inputs x1 = 1 and x2 = -1, starting from zeros.

    gates   r1 = r2 = 1/2; z1 = 1/4, z2 = 3/4 (weight -ln 3)
    step 1  a1 = 2 x1 + 0.5 + 1/2 (-3 * 0 + 0.2) = 2.6;         h1 = 3/4 tanh(a1)
    step 2  a2 = 2 x2 + 0.5 + 1/2 (-3 h1 + 0.2);                h2 = 1/4 tanh(a2) + 3/4 h1

    Both products that make h2 have a gate, z2 or 1 - z2, so h2 is shared by its two summands; a2 hands on to 2 x2,
    0.5, -3/2 h1 and 0.1 as they add up to a2; all of h1's goes to a1.
    """
    layer = unit(nn.GRU, [0, -LN3, 2], [0, 0, -3], [0, 0, 0.5], [0, 0, 0.2])
    a1 = 2.6
    h1 = 0.75 * math.tanh(a1)
    a2 = -2 + 0.5 + 0.5 * (-3 * h1 + 0.2)
    to_a2 = 0.25 * math.tanh(a2)
    to_h1 = 0.75 * h1 + to_a2 * -1.5 * h1 / a2
    r = explained(layer, torch.tensor([[[1.0]], [[-1.0]]], dtype=torch.float64))
    assert r.explained.tolist() == close(to_a2 + 0.75 * h1)
    assert r.input.flatten().tolist() == close(to_h1 * 2 / a1, to_a2 * -2 / a2)
    assert float(r.ledger.kept) == pytest.approx(to_h1 * 0.6 / a1 + to_a2 * 0.6 / a2)


def test_two_steps_of_a_plain_unit_by_hand():
    """a1 = 2 x1 = 2, h1 = tanh(2); a2 = 2 x2 - 3 h1 = -2 - 3 h1, h2 = tanh(a2): shared by -2 and -3 h1."""
    r = explained(unit(nn.RNN, [2], [-3]), torch.tensor([[[1.0]], [[-1.0]]], dtype=torch.float64))
    h1 = math.tanh(2)
    h2 = math.tanh(-2 - 3 * h1)
    assert r.input.flatten().tolist() == close(h2 * 3 * h1 / (2 + 3 * h1), h2 * 2 / (2 + 3 * h1))


# --- slow loops in relevance form -------------------------------------------------------------------------------------

Vector = list[float]
Matrix = list[Vector]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def dot(row: Vector, x: Vector) -> float:
    return sum(a * b for a, b in zip(row, x, strict=True))


def shared(relevance: Vector, z: Vector, weights: Matrix, x: Vector) -> Vector:
    """`R_i = sum_j x_i w_ji / z_j R_j`, without a stabiliser."""
    return [
        sum(x[i] * weights[j][i] / z[j] * relevance[j] for j in range(len(z)) if relevance[j]) for i in range(len(x))
    ]


def lstm_twin(w: Matrix, u: Matrix, b: Vector, xs: Matrix) -> Matrix:
    """The relevance of each input to the sum of the last outputs.

    At each step back: R(c_t) gathers what h_t and c_{t+1} hand on; the summands f_t c_{t-1} and i_t g_t share it, and
    hand it on to c_{t-1} and g_t, not to the gates; g_t's is shared by what its net input is made of.
    """
    n = len(u[0])
    h, c, steps = [0.0] * n, [0.0] * n, []
    for x in xs:
        net = [dot(w[j], x) + dot(u[j], h) + b[j] for j in range(4 * n)]
        i, f, o = ([sigmoid(a) for a in net[k * n : (k + 1) * n]] for k in (0, 1, 3))
        g = net[2 * n : 3 * n]
        new = [f[j] * c[j] + i[j] * math.tanh(g[j]) for j in range(n)]
        steps.append((x, h, c, i, f, g, new))
        h, c = [o[j] * math.tanh(new[j]) for j in range(n)], new
    relevance_h, relevance_c, found = h, [0.0] * n, []
    for x, h, c, i, f, g, new in reversed(steps):
        total = [a + b for a, b in zip(relevance_h, relevance_c, strict=True)]
        to_g = [total[j] * i[j] * math.tanh(g[j]) / new[j] for j in range(n)]
        relevance_c = [total[j] * f[j] * c[j] / new[j] for j in range(n)]
        found.append(shared(to_g, g, w[2 * n : 3 * n], x))
        relevance_h = shared(to_g, g, u[2 * n : 3 * n], h)
    return found[::-1]


def gru_twin(w: Matrix, u: Matrix, b: Vector, d: Vector, xs: Matrix) -> Matrix:
    """The same for a GRU: `(1 - z_t) n_t` and `z_t h_{t-1}` share; n_t's is shared by `w x`, b and `r (u h + d)`."""
    n = len(u[0])
    h, steps = [0.0] * n, []
    for x in xs:
        of_x = [dot(w[j], x) + b[j] for j in range(3 * n)]
        of_h = [dot(u[j], h) + d[j] for j in range(3 * n)]
        r, z = ([sigmoid(of_x[k * n + j] + of_h[k * n + j]) for j in range(n)] for k in (0, 1))
        net = [of_x[2 * n + j] + r[j] * of_h[2 * n + j] for j in range(n)]
        new = [(1 - z[j]) * math.tanh(net[j]) + z[j] * h[j] for j in range(n)]
        steps.append((x, h, r, z, net, new))
        h = new
    relevance, found = h, []
    for x, h, r, z, net, new in reversed(steps):
        to_net = [relevance[j] * (1 - z[j]) * math.tanh(net[j]) / new[j] for j in range(n)]
        direct = [relevance[j] * z[j] * h[j] / new[j] for j in range(n)]
        found.append(shared(to_net, net, w[2 * n :], x))
        gated = [[r[j] * weight for weight in u[2 * n + j]] for j in range(n)]
        through = shared(to_net, net, gated, h)
        relevance = [a + b for a, b in zip(direct, through, strict=True)]
    return found[::-1]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_relevance_is_that_of_a_slow_loop(kind: type[nn.RNNBase]):
    layer = kind(3, 4).double()
    with torch.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            parameter.copy_(0.6 * signed(*parameter.shape, seed=90 + number))
    x = signed(6, 1, 3, seed=95)
    w, u, b, d = (parameter.tolist() for parameter in layer.parameters())
    both = [one + other for one, other in zip(b, d, strict=True)]
    truth = lstm_twin(w, u, both, x[:, 0].tolist()) if kind is nn.LSTM else gru_twin(w, u, b, d, x[:, 0].tolist())
    ours = explained(layer, x).input[:, 0]
    torch.testing.assert_close(ours, torch.tensor(truth, dtype=torch.float64), rtol=1e-10, atol=1e-13)
    assert ours.abs().max() > 0.01
