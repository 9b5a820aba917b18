"""Graph networks with a dense adjacency matrix: each layer reads the weights of torch_geometric's layer of its name.

`edges[0]` sends to `edges[1]`. Every form is of matrix products, sums and masked softmax, without an index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["DENSE", "adjacency", "attended", "pooled"]

Layer = Callable[[Any, Tensor, Tensor], Tensor]
"""The weights, the nodes' features and `adjacency[i, j]`, the weight of the edge from `j` to `i`."""


def adjacency(edges: Tensor, nodes: int, weights: Tensor | None = None) -> Tensor:
    """The matrix of edges that occur once each; where weights are data, so is it."""
    weights = torch.ones(edges.size(1), dtype=torch.float64) if weights is None else weights
    return torch.zeros(nodes, nodes, dtype=weights.dtype).index_put((edges[1], edges[0]), weights)


def attended(scores: Tensor, adjacency: Tensor, values: Tensor) -> Tensor:
    """Attention to the neighbours and to oneself, of scores `(receiver, sender, heads)`: `(nodes, heads, width)`."""
    seen = (adjacency != 0) | torch.eye(len(adjacency), dtype=torch.bool)
    weights = scores.masked_fill(~seen[..., None], -torch.inf).softmax(1)
    return (weights.permute(2, 0, 1) @ values.transpose(0, 1)).transpose(0, 1)


def _gcn(layer: Any, x: Tensor, a: Tensor) -> Tensor:
    a = a + torch.eye(len(a), dtype=a.dtype)
    scale = a.sum(1).pow(-0.5)
    return (scale[:, None] * a * scale) @ (x @ layer.lin.weight.T) + layer.bias


def _gin(layer: Any, x: Tensor, a: Tensor) -> Tensor:
    return layer.nn(a @ x + (1 + layer.eps) * x)


def _sage(layer: Any, x: Tensor, a: Tensor) -> Tensor:
    degree = (a != 0).sum(1, keepdim=True).clamp(min=1)
    return layer.lin_l(a @ x / degree) + layer.lin_r(x)


def _gat(layer: Any, x: Tensor, a: Tensor) -> Tensor:
    values = (x @ layer.lin.weight.T).unflatten(1, (layer.heads, -1))
    sends, receives = (values * layer.att_src).sum(-1), (values * layer.att_dst).sum(-1)
    scores = F.leaky_relu(receives[:, None] + sends, layer.negative_slope)
    return attended(scores, a, values).flatten(1) + layer.bias


def _gatv2(layer: Any, x: Tensor, a: Tensor) -> Tensor:
    sends, receives = (line(x).unflatten(1, (layer.heads, -1)) for line in (layer.lin_l, layer.lin_r))
    scores = (F.leaky_relu(receives[:, None] + sends, layer.negative_slope) * layer.att).sum(-1)
    return attended(scores, a, sends).flatten(1) + layer.bias


DENSE: dict[str, Layer] = {"GCN": _gcn, "GIN": _gin, "SAGE": _sage, "GAT": _gat, "GATv2": _gatv2}


def pooled(x: Tensor, graph: Tensor, how: str) -> Tensor:
    """The sum, mean or largest of the nodes of each graph."""
    each = [x[graph == number] for number in range(int(graph.max()) + 1)]
    return torch.stack([nodes.amax(0) if how == "max" else getattr(nodes, how)(0) for nodes in each])
