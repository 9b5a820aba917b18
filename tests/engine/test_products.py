"""Products of data factors: every factor gets its share, however the product is written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import on, presets
from lrp.rules import SignalTakesAll, Uniform
from tests.cases.networks import prepare, signed
from tests.engine.checks import assert_balanced, assert_same, normal

X = normal(3, 5, seed=1)
A, B, C = (prepare(nn.Linear(5, 4), seed=20 + i) for i in range(3))
HEAD = normal(2, 4, seed=2)


def three(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return A(x), torch.tanh(B(x)), C(x)


def _chained(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    y = a * b
    y *= c
    return y


CHAINS = {
    "a * (b * c)": lambda a, b, c: a * (b * c),
    "c * b * a": lambda a, b, c: c * b * a,
    "(a * c) * b": lambda a, b, c: torch.mul(a, c).mul(b),
    "y *= c": _chained,
    "scaled on the way": lambda a, b, c: a * (2 * (b * c)) / 2,
    "reshaped on the way": lambda a, b, c: a * (b * c)[:, None].squeeze(1),
    "sliced on the way": lambda a, b, c: a * torch.cat([(b * c)[:, :2], (b * c)[:, 2:]], 1),
    "expanded": lambda a, b, c: (a[:, None] * (b * c).unsqueeze(1))[:, 0],
}


def explained(product: object) -> lrp.Relevance:
    r = lrp.explain(lambda x: F.linear(product(*three(x)), HEAD), X, composite=presets.zero())
    assert_balanced(r)
    return r


@pytest.mark.parametrize("chain", CHAINS)
def test_association_and_order_do_not_matter(chain: str):
    assert_same(explained(CHAINS[chain]).input, explained(lambda a, b, c: (a * b) * c).input)


def test_each_of_three_factors_gets_a_third():
    a, b, c = (normal(3, 4, seed=30 + i) for i in range(3))
    r = lrp.explain(lambda a, b, c: a * b * c, (a, b, c), target=1, composite=presets.zero())
    for relevance in r.input:
        assert_same(relevance[:, 1], (a * b * c)[:, 1] / 3)
        assert relevance[:, 0].abs().max() == 0


def test_a_sum_starts_the_count_anew():
    a, b = normal(3, 4, seed=30), normal(3, 4, seed=31)
    r = lrp.explain(lambda a, b: (a * b + a) * b, (a, b), target=0, composite=presets.zero())
    z = ((a * b + a) * b)[:, 0]
    through_product = (a * b * b)[:, 0] / 2 / 2
    assert_same(r.input[0][:, 0], through_product + (a * b)[:, 0] / 2)
    assert_same(r.input[1][:, 0], through_product + z / 2)


def test_square_in_place():
    given = explained(lambda a, b, c: (a * b).clone().mul_(c))
    assert_same(given.input, explained(lambda a, b, c: a * b * c).input)
    y = explained(lambda a, b, c: (lambda y: y.mul_(y))(a * b))
    assert_same(y.input, explained(lambda a, b, c: (a * b) * (a * b)).input)


MATRIX = {
    "@": lambda q, k: q @ k.transpose(1, 2),
    "bmm": lambda q, k: torch.bmm(q, k.transpose(1, 2)),
    "matmul": lambda q, k: torch.matmul(q, k.mT),
    "F.linear": lambda q, k: torch.stack([F.linear(q[i], k[i]) for i in range(len(q))]),
    "written out": lambda q, k: (q[:, :, None] * k[:, None]).sum(-1),
    "F.linear of rows": lambda q, k: torch.stack([F.linear(k[i], q[i]).T for i in range(len(q))]),
}


@pytest.mark.parametrize("spelling", MATRIX)
def test_matrix_product_of_two_data_tensors(spelling: str):
    q, k = normal(2, 3, 4, seed=32), normal(2, 5, 4, seed=33)

    def ours(q: Tensor, k: Tensor) -> Tensor:
        return MATRIX[spelling](q, k).flatten(1)

    r = lrp.explain(ours, (q, k), target=7, composite=presets.zero())
    parts = (q[:, :, None] * k[:, None]).flatten(1, 2)[:, 7] / 2
    assert_same(r.input[0][:, 7 // 5], parts)
    assert_same(r.input[1][:, 7 % 5], parts)
    assert_balanced(r)


@pytest.mark.parametrize("spelling", MATRIX)
def test_matrix_product_counts_the_factors_of_its_operands(spelling: str):
    a, b, k = normal(2, 3, 4, seed=34), normal(2, 3, 4, seed=35), normal(2, 5, 4, seed=36)

    def ours(a: Tensor, b: Tensor, k: Tensor) -> Tensor:
        return MATRIX[spelling](a * b, k).flatten(1)

    r = lrp.explain(ours, (a, b, k), target=7, composite=presets.zero())
    parts = ((a * b)[:, :, None] * k[:, None]).flatten(1, 2)[:, 7] / 3
    for relevance, row in zip(r.input, (7 // 5, 7 // 5, 7 % 5), strict=True):
        assert_same(relevance[:, row], parts)


def test_made_weights_with_a_made_bias():
    """A hypernetwork: weight and bias both come from the data."""
    x, w, b = normal(2, 4, seed=37), normal(3, 4, seed=38), normal(3, seed=39)
    r = lrp.explain(lambda x, w, b: F.linear(x, w, b), (x, w, b), target=1, composite=presets.zero())
    assert_same(r.input[0], x * w[1] / 2)
    assert_same(r.input[1][1], (x * w[1]).sum(0) / 2)
    assert float(r.input[2][1]) == pytest.approx(2 * float(b[1]))
    assert_balanced(r)


def test_a_denominator_counts_as_a_constant():
    x = normal(3, 5, seed=40)
    weight = normal(2, 5, seed=41)

    def norm(x: Tensor) -> Tensor:
        return F.linear(x / (x * x).mean(1, keepdim=True), weight)

    r = lrp.explain(norm, x, target=0, composite=presets.zero())
    assert_same(r.input, x / (x * x).mean(1, keepdim=True) * weight[0])


def test_a_constant_over_data_is_refused():
    with pytest.raises(lrp.errors.UncoveredError, match="not finite"):
        lrp.explain(lambda x: 1 / x, normal(3, 2), composite=presets.zero())


def test_glu_is_its_parts():
    weight = normal(3, 4, seed=42)
    x = normal(2, 8, seed=43)
    given = lrp.explain(lambda x: F.linear(F.glu(x), weight), x, composite=presets.zero())
    clean = lrp.explain(lambda x: F.linear(x[:, :4] * torch.sigmoid(x[:, 4:]), weight), x, composite=presets.zero())
    assert_same(given.input, clean.input)
    assert torch.equal(given.output, F.linear(F.glu(x), weight))


def concatenated(first: Tensor, rest: Tensor) -> Tensor:
    return torch.cat([first, rest], 1)


def put(first: Tensor, rest: Tensor) -> Tensor:
    whole = torch.cat([rest[:, :1], rest], 1)
    whole[:, :1] = first
    return whole


def copied(first: Tensor, rest: Tensor) -> Tensor:
    whole = torch.cat([rest[:, :1], rest], 1)
    whole[:, :1].copy_(first)
    return whole


def into_a_buffer(first: Tensor, rest: Tensor) -> Tensor:
    whole = rest.new_full((len(rest), rest.shape[1] + 1), 3.0)
    whole[:, 1:] = rest
    whole[:, :1] = first
    return whole


def through_a_view(first: Tensor, rest: Tensor) -> Tensor:
    whole = torch.zeros(len(rest), rest.shape[1] + 1, dtype=rest.dtype)
    seen = whole[:]
    whole[:, 1:].copy_(rest)
    whole[:, :1].copy_(first)
    return seen


PARTS = {
    "products": (lambda x: x * x, [(on.product, Uniform())]),
    "gates": (torch.sigmoid, [(on.product, SignalTakesAll())]),
    "denominators": (lambda x: x.norm(dim=1, keepdim=True).expand_as(x).reciprocal(), []),
}


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("whole", [put, copied, into_a_buffer, through_a_view])
def test_what_is_put_together_of_parts_is_as_if_concatenated(kind: str, whole: Callable[[Tensor, Tensor], Tensor]):
    part, entries = PARTS[kind]
    x, signal = signed(2, 3, seed=1), signed(2, 3, seed=2)

    def model(whole: Callable[[Tensor, Tensor], Tensor], x: Tensor, signal: Tensor) -> Tensor:
        return (whole(part(x[:, -1:] * 2), part(x[:, 1:])) * signal).sum(1)

    ours, truth = (
        lrp.explain(lambda x, signal, w=w: model(w, x, signal), (x, signal), composite=lrp.Composite(entries))
        for w in (whole, concatenated)
    )
    for a, b in zip(ours.input, truth.input, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert_same(a, b)
    assert_balanced(ours)


def test_constants_beside_gates_are_no_signal():
    x, signal = signed(2, 3, seed=1), signed(2, 4, seed=2)
    r = lrp.explain(
        lambda x, signal: F.pad(torch.sigmoid(x), (1, 0), value=1.0) * signal,
        (x, signal),
        target=lambda y: y.sum(1),
        composite=lrp.Composite([(on.product, SignalTakesAll())]),
    )
    assert r.input[0] is None or not r.input[0].any()
    assert_same(r.input[1], F.pad(torch.sigmoid(x), (1, 0), value=1.0) * signal)
