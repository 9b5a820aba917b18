"""Compare torch_geometric's layers, unmodified, with the same networks on dense adjacency matrices (PyG environment).

Two layers, a pool over the nodes of each of two graphs and a linear head, random weights, float64. Relevance of the
nodes' features, and of edge weights where the layer takes them, under AttnLRP, CP-LRP and the default. Exit 1 where
the maps are more than 1e-10 of the largest entry apart, or the books are off by as much.

    python -m tests.agreement.live_graphs
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch_geometric
import torch_geometric.nn as pyg
from torch import Tensor, nn

import lrp
from lrp import presets
from tests.agreement.plain import filled
from tests.cases.graphs import DENSE, adjacency, pooled

LIMIT = 1e-10
NODES, FEATURES, HIDDEN, CLASSES = 9, 5, 8, 3
GRAPH = torch.tensor([0] * 4 + [1] * 5)
COMPOSITES = {"attnlrp": presets.attnlrp(), "cp_lrp": presets.cp_lrp(), "auto": None}


def random_edges(generator: torch.Generator) -> Tensor:
    """Edges within each graph, without loops, each at most once."""
    possible = (GRAPH[:, None] == GRAPH) & ~torch.eye(NODES, dtype=torch.bool)
    return (possible & (torch.rand(NODES, NODES, generator=generator) < 0.5)).nonzero().T


def layer(name: str, inputs: int) -> nn.Module:
    kind = getattr(pyg, f"{name}Conv")
    if name == "GIN":
        return kind(nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN)), train_eps=True)
    return kind(inputs, HIDDEN // 2, heads=2) if name.startswith("GAT") else kind(inputs, HIDDEN)


class Network(nn.Module):
    def __init__(self, name: str, pool: str) -> None:
        super().__init__()
        self.name, self.pool = name, pool
        self.layers = nn.ModuleList([layer(name, FEATURES), layer(name, HIDDEN)])
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor, edges: Tensor, **weights: Tensor) -> Tensor:
        for each in self.layers:
            x = each(x, edges, **weights).relu()
        pool = {"sum": pyg.global_add_pool, "mean": pyg.global_mean_pool, "max": pyg.global_max_pool}[self.pool]
        return self.head(pool(x, GRAPH))


class Dense(nn.Module):
    """The same network, its weights included, without an edge list."""

    def __init__(self, given: Network) -> None:
        super().__init__()
        self.given = given

    def forward(self, x: Tensor, edges: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        matrix = adjacency(edges, NODES, edge_weight)
        for each in self.given.layers:
            x = DENSE[self.given.name](each, x, matrix).relu()
        return self.given.head(pooled(x, GRAPH, self.given.pool))


def compared(name: str, pool: str, composite: Any, weighted: bool) -> dict[str, float]:
    generator = torch.Generator().manual_seed(len(name))
    given: dict[str, Tensor] = {
        "x": torch.randn(NODES, FEATURES, generator=generator, dtype=torch.float64),
        "edges": random_edges(generator),
    }
    if weighted:
        given["edge_weight"] = torch.rand(given["edges"].size(1), generator=generator, dtype=torch.float64) + 0.2
    network = filled(Network(name, pool), seed=30 + len(name))
    ours = lrp.explain(network, given, target=1, composite=composite)
    truth = lrp.explain(Dense(network), given, target=1, composite=composite)
    sources = ["x", "edge_weight"] if weighted else ["x"]
    size = max(float(truth.input[source].abs().max()) for source in sources)
    row = {source: float((ours.input[source] - truth.input[source]).abs().max()) / size for source in sources}
    return {**row, "books": float(ours.ledger.residual.abs() / ours.ledger.scale)}


def main() -> int:
    print(f"torch_geometric {torch_geometric.__version__} against dense adjacency, torch {torch.__version__}")
    worst = 0.0
    for name in DENSE:
        for pool in ("sum", "mean", "max"):
            for preset, composite in COMPOSITES.items():
                if preset == "auto" and name.startswith("GAT"):
                    continue  # by edges a weight times a message is no matrix product, by which attention is known
                for weighted in (False, True) if name == "GCN" else (False,):
                    row = compared(name, pool, composite, weighted)
                    worst = max(worst, *row.values())
                    print(
                        f"{name:6}{pool:5}{preset:8} " + ", ".join(f"{key} {value:.0e}" for key, value in row.items())
                    )
    print(f"worst {worst:.1e}, allowed {LIMIT:.0e}")
    return int(not worst <= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
