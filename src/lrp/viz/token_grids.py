"""Figures of tokens: which token of the answer came from which of the prompt, and layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lrp.errors import InputError, LayerError, nearest
from lrp.text import TextRelevance
from lrp.viz.figure import USUAL, color_bar, explained, figure, finish, number, plain, scale_of, short, show_map
from lrp.viz.fonts import legible
from lrp.viz.parts import layers_of, outermost
from lrp.viz.photo import array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["layers_by_tokens", "token_matrix"]

Array = NDArray[np.float64]


def token_matrix(
    results: Sequence[TextRelevance],
    names: Sequence[str] | None = None,
    *,
    cmap: str = "RdBu_r",
    percentile: float = 100,
    title: str | None = None,
) -> Figure:
    """Draw what each generated token (a row) came from: the tokens of the prompt and those generated before (columns).

    Args:
        results: one for each generated token, in order, each of the text as it was before it: with the prompt `text`
            and the tokens `made` that follow it, `explain_text(model, tokenizer, text + "".join(made[:n]),
            target=made[n])`.
        names: the generated tokens; None: the target of each result.
        cmap, percentile, title: as in `tokens`.

    Raises:
        InputError: no results, other texts than one that grows, another number of names.
        MissingExtraError: matplotlib is not installed.
    """
    if not results or not all(isinstance(t, TextRelevance) for t in results):
        raise InputError(
            "a matrix has one row for each generated token", where="results", cure="a list of TextRelevance"
        )
    longest = [piece.text for piece in max(results, key=lambda t: len(t.tokens)).tokens]
    for t in results:
        here = [piece.text for piece in t.tokens]
        if here != longest[: len(here)]:
            seen = f"{' '.join(here[-5:])} | {' '.join(longest[-5:])}"
            raise InputError("the results are not of one text that grows", where="results", seen=seen)
    if names is not None and len(names) != len(results):
        seen = f"{len(names)} names, {len(results)} results"
        raise InputError("each result has one name", where="names", seen=seen)
    values = np.zeros((len(results), len(longest)))
    read = np.zeros(values.shape, dtype=bool)
    for row, t in enumerate(results):
        values[row, : len(t.tokens)] = [piece.relevance for piece in t.tokens]
        read[row, : len(t.tokens)] = True
    labels = [
        f"{name}  ({number(float(t.relevance.explained[0]))})"
        for name, t in zip(names or [t.target for t in results], results, strict=True)
    ]
    composites = sorted({t.relevance.composite.name for t in results})
    sentences = [
        f"Each row: one generated token, its explained value and where it came from, by {', '.join(composites)}."
    ]
    sums = ", ".join(number(float(row.sum())) for row in values)
    sentences.append(f"Sums of the rows: {sums}. Grey: not yet written.")
    return _grid(values, labels, longest, cmap, percentile, title, sentences, read)


def layers_by_tokens(
    t: TextRelevance,
    layers: Sequence[str] | None = None,
    *,
    cmap: str = "RdBu_r",
    percentile: float = 100,
    title: str | None = None,
) -> Figure:
    """Draw the relevance of each token (columns) at each kept layer (rows), from the output down to the input.

    Args:
        t: a result with layers, such as `explain_text(..., keep=["model.layers.*"])`; of each, the features of a token
            are added up.
        layers: their module paths; None: the outermost modules, 40 at most.
        cmap, percentile, title: as in `tokens`.

    Raises:
        LayerError: no layer was kept that has one vector for each token, or none of this name.
        MissingExtraError: matplotlib is not installed.
    """
    r, count = t.relevance, len(t.tokens)
    found = {name: v for name, v in layers_of(r, axes=(3,)).items() if v.shape[:2] == (1, count)}
    if not found:
        raise LayerError("no layer that was kept has a vector for each token", cure='keep=["model.layers.*"], or "all"')
    unknown = [name for name in layers or () if name not in found]
    if unknown:
        raise LayerError("no such layer was kept", seen=", ".join(unknown), cure=nearest(unknown[0], list(found)))
    chosen = list(layers) if layers is not None else outermost(list(found), 40)[::-1]
    values = [array(found[name][0].double().sum(-1)) for name in chosen]
    values.append(np.array([piece.relevance for piece in t.tokens]))
    labels = [f"{short(n, 32)}  ({number(float(v.sum()))})" for n, v in zip([*chosen, "tokens"], values, strict=True)]
    left = len(found) - len(chosen)
    sentences = [
        explained(r, 0, t.target),
        "Sum of each layer in brackets.",
        f"{left} kept layers are left out." if left else "",
    ]
    return _grid(np.stack(values), labels, [piece.text for piece in t.tokens], cmap, percentile, title, sentences)


def _grid(
    values: Array,
    rows: Sequence[str],
    columns: Sequence[str],
    cmap: str,
    percentile: float,
    title: str | None,
    sentences: Sequence[str],
    read: NDArray[np.bool_] | None = None,
) -> Figure:
    """Coloured cells with words beside each row and below each column; what is not read is grey."""
    scale = scale_of([values if read is None else values[read]], percentile, cmap)
    colours = scale.rgba(values)
    if read is not None:
        colours[~read] = (0.85, 0.85, 0.85, 1)
    rows, columns = [legible(row) for row in rows], [short(legible(word), 20) for word in columns]
    labels = max(len(row) for row in rows)
    width = max(6.0, 0.28 * len(columns) + 0.075 * labels + 1.2)
    fig = figure(width, 0.27 * len(rows) + 0.09 * max(len(c) for c in columns) + 1.2, cmap)
    axes = fig.subplots()
    show_map(axes, colours, cmap, stretch=True)
    axes.set_xticks(range(len(columns)), [plain(word) for word in columns], rotation=90)
    axes.set_yticks(range(len(rows)), [plain(row) for row in rows])
    axes.tick_params(length=0, labelsize=USUAL)
    color_bar(fig, axes, scale, label="relevance of a token")
    return finish(fig, cmap, title, [*sentences, "Red supports, blue opposes.", scale.words])
