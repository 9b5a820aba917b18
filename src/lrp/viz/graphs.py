"""Figures of graphs: nodes and edges in the colours of their relevance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrp.errors import InputError
from lrp.relevance import Relevance, named_inputs
from lrp.viz.figure import color_bar, dress, explained, figure, finish, plain, scale_of, short, shown
from lrp.viz.parts import part_of, single
from lrp.viz.photo import array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["graph"]

Array = NDArray[np.float64]


def graph(
    r: Relevance,
    edges: Any,
    names: Sequence[str] | None = None,
    *,
    positions: Any = "spring",
    weights: str | None = None,
    sample: int = 0,
    input: str | None = None,
    cmap: str = "RdBu_r",
    percentile: float = 100,
    title: str | None = None,
) -> Figure:
    """Draw the nodes of a graph in the colours of their relevance; edges too, where they have some.

    Args:
        r: a result with an input of shape (V, F), one graph, or (N, V, F), or without F; features are added up.
        edges: the numbers of the nodes that each edge joins, (2, E).
        names: the nodes' names; none are written for more than 60 nodes without them.
        positions: where nodes stand, (V, 2); or `"spring"` (edges pull, nodes push) or `"circular"`.
        weights: the name of an input with one number for each edge, (E,), whose relevance colours the edges.
        sample, input, title: as in `image`, one sample; `input` names that of the nodes.
        cmap: as in `image`.
        percentile: the size of relevance that gets the full colour.

    Raises:
        InputError: edges, positions or names that do not fit the nodes; weights that do not fit the edges.
        MissingExtraError: matplotlib is not installed.
    """
    r = single(r, "graph")
    found = named_inputs(r.input)
    if weights is not None and weights not in found:
        cure = "one of " + ", ".join(map(repr, found))
        raise InputError("there is no relevance of such an input", where="weights", seen=weights, cure=cure)
    others = [name for name in found if name != weights]
    input = others[0] if input is None and len(others) == 1 else input
    part = part_of(r, "graph", sample, input)
    relevance = array(part.relevance)
    nodes = relevance if relevance.ndim == 1 else relevance.sum(1)
    ends = np.asarray(array(edges), dtype=int)
    count = len(nodes)
    if ends.ndim != 2 or ends.shape[0] != 2 or (ends.size and not 0 <= ends.min() <= ends.max() < count):
        seen = f"shape {ends.shape}, {count} nodes"
        raise InputError("edges are the numbers of two nodes each, (2, E)", where="edges", seen=seen)
    if names is not None and len(names) != count:
        raise InputError("each node has one name", where="names", seen=f"{len(names)} names, {count} nodes")
    joined = None if weights is None else array(found[weights]).reshape(-1)
    if joined is not None and len(joined) != ends.shape[1]:
        seen = f"{len(joined)} numbers, {ends.shape[1]} edges"
        raise InputError("each edge has one number", where="weights", seen=seen)
    places = _places(positions, ends, count)
    scale = scale_of([nodes] if joined is None else [nodes, joined], percentile, cmap)
    inks = scale.palette
    fig = figure(7, 6, cmap)
    axes = fig.subplots()
    dress(axes, cmap, spines=())
    axes.set(xticks=[], yticks=[], aspect="equal")
    for number, (a, b) in enumerate(ends.T):
        axes.plot(*places[[a, b]].T, color=inks.faint, linewidth=1.2 if joined is None else 4.5, zorder=1)
        if joined is not None and np.isfinite(joined[number]):
            axes.plot(*places[[a, b]].T, color=scale.rgba(joined[number : number + 1])[0], linewidth=3, zorder=2)
    dots = float(np.clip(6000 / count, 40, 500))
    odd = ~np.isfinite(nodes)
    fill = scale.rgba(nodes)
    axes.scatter(places[~odd, 0], places[~odd, 1], s=dots, c=fill[~odd], edgecolors=inks.ink, linewidths=0.8, zorder=3)
    if odd.any():
        axes.scatter(
            places[odd, 0], places[odd, 1], s=dots, facecolor=inks.paper, edgecolor=inks.faint, hatch="xxxx", zorder=3
        )
    if names is not None or count <= 60:
        for node, (x, y) in enumerate(places):
            bright = fill[node, :3] @ [0.299, 0.587, 0.114] > 0.55 or odd[node]
            words = short(str(names[node]) if names is not None else str(node), 12)
            axes.text(
                x, y, plain(words), ha="center", va="center", fontsize=8, color="black" if bright else "white", zorder=4
            )
    axes.margins(0.1)
    color_bar(fig, axes, scale, label="relevance")
    total = float(nodes.sum()) + (0.0 if joined is None else float(joined.sum()))
    said = "Nodes and edges" if joined is not None else "Nodes"
    sentences = [explained(r, part.sample), shown(total, part.explained), f"{said}: red supports, blue opposes."]
    return finish(fig, cmap, title, [*sentences, scale.words])


def _places(positions: Any, ends: NDArray[np.int_], count: int) -> Array:
    """Where the nodes stand, (V, 2).

    Raises:
        InputError: neither a layout nor two numbers for each node.
    """
    angles = 2 * np.pi * np.arange(count) / max(1, count)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if isinstance(positions, str):
        if positions not in ("spring", "circular"):
            cure = "'spring', 'circular', or an array (V, 2)"
            raise InputError("there is no such layout", where="positions", seen=positions, cure=cure)
        return circle if positions == "circular" else _spring(circle, ends)
    given = array(positions)
    if given.shape != (count, 2) or not np.isfinite(given).all():
        seen = f"shape {given.shape}, {count} nodes"
        raise InputError("each node stands at two numbers, (V, 2)", where="positions", seen=seen)
    return given


def _spring(places: Array, ends: NDArray[np.int_], rounds: int = 200) -> Array:
    """Nodes that push each other away and are pulled together by edges (Fruchterman and Reingold 1991)."""
    count = len(places)
    if count > 2000:
        return places
    joined = np.zeros((count, count))
    joined[ends[0], ends[1]] = joined[ends[1], ends[0]] = 1
    distance = np.sqrt(4 / max(1, count))
    for step in np.linspace(0.2, 0.002, rounds):
        apart = places[:, None] - places[None]
        length = np.maximum(np.linalg.norm(apart, axis=-1), 1e-2)
        force = distance**2 / length**2 - joined * length / distance
        moved = (apart * force[..., None]).sum(1)
        places = places + moved * np.minimum(1, step / np.maximum(np.linalg.norm(moved, axis=1), 1e-9))[:, None]
    return places - places.mean(0)
