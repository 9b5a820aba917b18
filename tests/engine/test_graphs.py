"""Message passing by edges gives the maps of the same layers on a dense adjacency matrix (tests/cases/graphs.py)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import presets
from tests.cases.graphs import DENSE, adjacency, pooled
from tests.cases.networks import prepare, signed
from tests.engine.checks import assert_balanced, assert_blameless, assert_same

NODES, WIDTH, HEADS = 6, 4, 2
X = signed(NODES, WIDTH, seed=41)
EDGES = torch.tensor([[0, 1, 2, 2, 3, 4, 5, 0, 3], [1, 0, 0, 1, 5, 5, 3, 2, 4]])
WEIGHTS = signed(EDGES.size(1), seed=42).abs() + 0.2
GRAPH = torch.tensor([0, 0, 0, 1, 1, 1])
COMPOSITES = {name: getattr(presets, name) for name in ("zero", "attnlrp", "cp_lrp", "epsilon", "excitation_backprop")}


def looped(edges: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    loops = torch.arange(NODES)
    return torch.cat([edges, torch.stack([loops, loops])], 1), torch.cat([weights, torch.ones(NODES).double()])


def summed(messages: Tensor, to: Tensor, how: str) -> Tensor:
    empty = messages.new_zeros(NODES, *messages.shape[1:])
    if how == "index_add":
        return empty.index_add(0, to, messages)
    place = to.view(-1, *[1] * (messages.dim() - 1)).expand_as(messages)
    return (
        empty.scatter_add_(0, place, messages)
        if how == "scatter_add"
        else empty.scatter_reduce(0, place, messages, how)
    )


class GCN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin, self.bias = nn.Linear(WIDTH, WIDTH, bias=False), nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        (source, to), weights = looped(edges, weights)
        scale = summed(weights, to, "scatter_add").pow(-0.5)
        weights = scale[source] * weights * scale[to]
        return summed(weights[:, None] * self.lin(x)[source], to, "index_add") + self.bias


class GIN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.nn, self.eps = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)), 0.5

    def forward(self, x: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        return self.nn(summed(weights[:, None] * x[edges[0]], edges[1], "sum") + (1 + self.eps) * x)


class SAGE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin_l, self.lin_r = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        total = summed(weights[:, None] * x.index_select(0, edges[0]), edges[1], "scatter_add")
        degree = summed(torch.ones(edges.size(1)).double(), edges[1], "scatter_add")
        return self.lin_l(total / degree.clamp(min=1)[:, None]) + self.lin_r(x)


class GAT(nn.Module):
    negative_slope, heads = 0.2, HEADS

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.bias = nn.Linear(WIDTH, WIDTH, bias=False), nn.Parameter(torch.ones(WIDTH))
        self.att_src, self.att_dst = (nn.Parameter(torch.ones(HEADS, WIDTH // HEADS)) for _ in range(2))

    def forward(self, x: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        (source, to), _ = looped(edges, weights)
        values = self.lin(x).unflatten(1, (HEADS, -1))
        scores = (values * self.att_src).sum(-1)[source] + (values * self.att_dst).sum(-1)[to]
        scores = F.leaky_relu(scores, self.negative_slope)
        e = (scores - scores.detach().max()).exp()
        alpha = e / summed(e, to, "scatter_add")[to]
        return summed(alpha[..., None] * values[source], to, "index_add").flatten(1) + self.bias


class Network(nn.Module):
    """Two layers, by edges or dense, a pool and a head."""

    def __init__(self, kind: type[nn.Module], pool: str, dense: bool) -> None:
        super().__init__()
        self.layers, self.head = nn.ModuleList([kind(), kind()]), nn.Linear(WIDTH, 3)
        self.kind, self.pool, self.dense = kind.__name__, pool, dense

    def forward(self, x: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        for layer in self.layers:
            x = DENSE[self.kind](layer, x, adjacency(edges, NODES, weights)) if self.dense else layer(x, edges, weights)
            x = x.relu()
        return self.head(pooled(x, GRAPH, self.pool))


def explain(kind: type[nn.Module], pool: str, composite: str, *, dense: bool) -> lrp.Relevance:
    model = prepare(Network(kind, pool, dense), seed=45)
    given = {"x": X, "edges": EDGES, "weights": WEIGHTS}
    return lrp.explain(model, given, target=1, composite=COMPOSITES[composite](), ledger="calls")


@pytest.mark.parametrize("composite", ["zero", "attnlrp", "cp_lrp"])
@pytest.mark.parametrize("pool", ["sum", "mean", "max"])
@pytest.mark.parametrize("kind", [GCN, GIN, SAGE, GAT])
def test_edges_and_a_dense_matrix_give_one_map(kind: type[nn.Module], pool: str, composite: str):
    ours, truth = (explain(kind, pool, composite, dense=dense) for dense in (False, True))
    assert_same(ours.explained, truth.explained)
    assert_same(ours.input["x"], truth.input["x"])
    if kind is GAT:
        assert ours.input["weights"] is None
    else:
        assert_same(ours.input["weights"], truth.input["weights"])
    assert ours.input["edges"] is None, "the degrees of nodes are no table that edges look up"
    assert_balanced(ours)
    assert_blameless(ours)


def test_a_weight_is_a_source_like_a_node():
    """One layer `h_i = sum w_ij x_j`: an edge and its sender get half each."""

    def model(x: Tensor, weights: Tensor) -> Tensor:
        return summed(weights[:, None] * x[EDGES[0]], EDGES[1], "index_add").sum(0)[None]

    r = lrp.explain(model, (X, WEIGHTS), target=1)
    parts = WEIGHTS * X[EDGES[0], 1] / 2
    assert_same(r.input[1], parts)
    assert_same(r.input[0][:, 1], torch.zeros(NODES).double().index_add(0, EDGES[0], parts))


@pytest.mark.parametrize("how", ["amax", "mean"])
def test_the_largest_or_the_mean_of_messages(how: str):
    def model(x: Tensor) -> Tensor:
        messages = x[EDGES[0]]
        place = EDGES[1][:, None].expand_as(messages)
        return x.new_zeros(NODES, WIDTH).scatter_reduce(0, place, messages, how, include_self=False)

    def by_hand(x: Tensor) -> Tensor:
        each = [x[EDGES[0][EDGES[1] == node]] for node in range(NODES)]
        return torch.stack([rows.amax(0) if how == "amax" else rows.mean(0) for rows in each])

    ours, truth = (lrp.explain(f, X, target=2, ledger="calls") for f in (model, by_hand))
    assert_same(ours.input, truth.input)
    assert_blameless(ours)


def test_nothing_put_at_no_place_changes_nothing():
    """torch_geometric writes the weights of the loops that a graph has, often none, over those it adds."""
    loops = EDGES[0] == EDGES[1]

    def model(weights: Tensor) -> Tensor:
        added = torch.ones(NODES, dtype=weights.dtype)
        added[EDGES[0][loops]] = weights[loops]
        return torch.cat([weights, added])[None]

    assert_same(lrp.explain(model, WEIGHTS, target=2).input, WEIGHTS * (torch.arange(len(WEIGHTS)) == 2))


SPARSE: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "@": lambda a, x: a @ x,
    "matmul": torch.matmul,
    "mm": torch.mm,
    "sparse.mm": torch.sparse.mm,
    "sparse.addmm": lambda a, x: torch.sparse.addmm(torch.ones(NODES, WIDTH).double(), a, x),
}


def in_layout(a: Tensor, layout: str) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return a.to_sparse_coo() if layout == "coo" else a.to_sparse_csr()


@pytest.mark.parametrize("composite", ["zero", "epsilon", "excitation_backprop"])
@pytest.mark.parametrize("layout", ["coo", "csr"])
@pytest.mark.parametrize("product", SPARSE)
def test_a_sparse_matrix_is_as_a_dense_one(product: str, layout: str, composite: str):
    a = adjacency(EDGES, NODES, WEIGHTS)
    sparse = in_layout(a, layout)
    w, bias = signed(WIDTH, WIDTH, seed=44), torch.full((NODES, WIDTH), float(product == "sparse.addmm")).double()
    chosen = COMPOSITES[composite]()
    ours = lrp.explain(lambda x: SPARSE[product](sparse, x @ w).relu(), X, target=1, composite=chosen, ledger="calls")
    truth = lrp.explain(lambda x: (a @ (x @ w) + bias).relu(), X, target=1, composite=chosen, ledger="calls")
    assert_same(ours.input, truth.input)
    assert_balanced(ours)
    assert_blameless(ours)
    for kind, amount in truth.ledger.by_kind().items():
        assert float(ours.ledger.by_kind().get(kind, 0.0)) == pytest.approx(float(amount), abs=1e-12)


def test_a_sparse_input_is_a_constant():
    sparse = in_layout(adjacency(EDGES, NODES, WEIGHTS), "coo")

    def model(x: Tensor, a: Tensor) -> Tensor:
        return torch.sparse.mm(a, x)

    r = lrp.explain(model, (X, sparse), target=1)
    assert r.input[1] is None
    assert_balanced(r)
    with pytest.raises(lrp.errors.InputError, match="a sparse tensor is a constant"):
        lrp.explain(model, {"x": X, "a": sparse}, target=1, sources=["a"])


@pytest.mark.parametrize("product", [lambda a, x: a @ x, torch.sparse.mm, lambda a, x: a.to_dense() @ x])
def test_a_sparse_matrix_of_data_is_refused_by_name(product: Callable[[Tensor, Tensor], Tensor]):
    def model(x: Tensor, weights: Tensor) -> Tensor:
        sparse = torch.sparse_coo_tensor(EDGES.flip(0), weights, (NODES, NODES), check_invariants=False)
        return product(sparse, x)

    with pytest.raises(lrp.errors.UncoveredError, match="sparse_coo_tensor"):
        lrp.explain(model, (X, WEIGHTS), target=1)
