"""Figures of the books: where the explained output went, and the relevance at each layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lrp.errors import InputError
from lrp.ledger import Ledger
from lrp.relevance import Relevance, by_sample, named_inputs
from lrp.viz.colors import palette
from lrp.viz.figure import SMALL, dress, explained, figure, finish, number, percent, plain, short, shown
from lrp.viz.parts import books, layers_of, numbers, outermost, single

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["flow", "ledger"]


def ledger(
    r: Relevance, *, sample: int | None = None, most: int = 12, cmap: str = "RdBu_r", title: str | None = None
) -> Figure:
    """Draw where the explained output went: to the inputs, and what was kept, by kind and by module.

    Args:
        r: a result with a ledger.
        sample: which sample; None: all of them together.
        most: the most modules that are shown, those that kept most; the others are added up.
        cmap, title: as in `image`.

    Raises:
        InputError: the result holds no ledger.
        LRPError: one sample of a loaded ledger, which holds the totals alone.
        MissingExtraError: matplotlib is not installed.
    """
    r = single(r, "ledger")
    sample = None if sample is None else numbers(sample, len(r.explained), 1)[0]
    kept = books(r, sample)
    if kept is None:
        raise InputError("the result holds no ledger", where="viz.ledger", cure="explain without ledger=False")
    whole = float(kept.explained)
    sums = {name: float(t.double().sum()) for name, t in _sources(r, sample).items()}
    kinds = {kind: float(amount) for kind, amount in kept.by_kind().items()}
    left = [(name if len(sums) > 1 else "inputs", amount) for name, amount in sums.items()]
    left += [*kinds.items(), ("residual", float(kept.residual))]
    modules = _by_module(kept, most)
    rows = max(len(left), len(modules))
    fig = figure(9.5, 0.3 * rows + 1.7, cmap)
    one, other = fig.subplots(1, 2) if modules else (fig.subplots(), None)
    _bars(one, left, whole, rows, cmap, "where the explained value went")
    if other is not None:
        _bars(other, modules, whole, rows, cmap, "what modules kept, from input to output")
    sentences = [explained(r, sample), shown(sum(sums.values()), whole)]
    sentences += [f"{kind}: {_KINDS[kind]}." for kind in kinds]
    return finish(fig, cmap, title, [*sentences, "All bars on the left add up to the explained value."])


def flow(
    r: Relevance, *, sample: int | None = None, most: int = 30, cmap: str = "RdBu_r", title: str | None = None
) -> Figure:
    """Draw the relevance that passed each kept layer: what supports, what opposes, and their sum.

    Args:
        r: a result with kept layers (`keep="all"`).
        sample: which sample; None: all of them together.
        most: the most layers that are shown; of more, the outermost modules.
        cmap, title: as in `image`.

    Raises:
        LayerError: no layer was kept.
        InputError: a layer has no axis of samples, so that one of several cannot be told.
        MissingExtraError: matplotlib is not installed.
    """
    r = single(r, "flow")
    sample = None if sample is None else numbers(sample, len(r.explained), 1)[0]
    found = dict(reversed(layers_of(r).items()))
    chosen = outermost(list(found), most)
    entries = [(name, _sides(_of_sample(found[name], r, sample, name))) for name in chosen]
    sides = [_sides(relevance) for relevance in _sources(r, sample).values()]
    entries.append(("inputs", (sum(up for up, _ in sides), sum(down for _, down in sides))))
    whole = float(r.explained.sum() if sample is None else r.explained[sample])
    fig = figure(7.5, 0.24 * len(entries) + 1.6, cmap)
    axes = fig.subplots()
    chosen_colors = palette(cmap)
    dress(axes, cmap, spines=("bottom",))
    for row, (_, (up, down)) in enumerate(entries):
        axes.barh(row, up, color=chosen_colors.strong[0], height=0.7)
        axes.barh(row, down, color=chosen_colors.strong[1], height=0.7)
        axes.plot(up + down, row, "D", color=chosen_colors.paper, markeredgecolor=chosen_colors.ink, markersize=5)
    axes.axvline(0, color=chosen_colors.faint, linewidth=0.8)
    axes.axvline(whole, color=chosen_colors.ink, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(entries)), [plain(short(name, 40)) for name, _ in entries])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(entries) - 0.4, -0.6)
    axes.set_xlabel("relevance")
    left_out = f"{len(chosen)} of {len(found)} kept layers are shown." if len(chosen) < len(found) else ""
    total = sum(up + down for up, down in sides)
    sentences = [explained(r, sample), shown(total, whole), "From the output (above) to the inputs (below)."]
    sentences += ["Red: what supports; blue: what opposes; diamond: their sum; dashed: the explained value.", left_out]
    sentences.append("Layers side by side share the relevance; a module holds what its parts hold.")
    return finish(fig, cmap, title, sentences)


_KINDS = {
    "bias": "what biases added to the output",
    "stabiliser": "what the rules' small denominators were kept from zero with",
    "shift": "offsets of norms and activations",
    "constant": "parameters and constants, such as positions",
    "softmax": "what the rule for softmax does not hand on",
    "gate": "factors that count as constants",
    "stopped": "stopped by your rule",
    "detached": "computed from the input, then detached",
    "one-sided": "layers without one of the signs",
    "reference": "the reference output",
}


def _sources(r: Relevance, sample: int | None) -> dict[str, Tensor]:
    """The relevance of each source, of one sample or of all."""
    tensors = {n: by_sample(t, len(r.explained)) for n, t in {**named_inputs(r.input), **r.positions}.items()}
    return {name: t if sample is None else t[sample] for name, t in tensors.items()}


def _by_module(kept: Ledger, most: int) -> list[tuple[str, float]]:
    """What modules kept, in order of execution; the smaller ones added up."""
    sums: dict[str, float] = defaultdict(float)
    for row in kept.rows:
        sums[row.where or "(model)"] += float(row.amount)
    largest = set(sorted(sums, key=lambda name: -abs(sums[name]))[:most])
    shown_ = [(name, amount) for name, amount in sums.items() if name in largest]
    rest = len(sums) - len(shown_)
    if rest:
        shown_.append((f"{rest} others", sum(amount for name, amount in sums.items() if name not in largest)))
    return shown_


def _bars(axes: Axes, rows: Sequence[tuple[str, float]], whole: float, height: int, cmap: str, title: str) -> None:
    """Signed bars with their numbers and their share of the explained value, in a space of so many rows."""
    chosen = palette(cmap)
    dress(axes, cmap, spines=(), title=title)
    amounts = [amount for _, amount in rows]
    axes.barh(range(len(rows)), amounts, color=[chosen.bar(a) for a in amounts], height=0.7)
    axes.axvline(0, color=chosen.faint, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [plain(short(name, 32)) for name, _ in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    low, high = min([0.0, *amounts]), max([0.0, *amounts])
    span = high - low or 1.0
    for row, amount in enumerate(amounts):
        right = amount >= -0.005 * span  # the number of a bar too small to see stands at the right
        axes.text(
            amount + (0.02 if right else -0.02) * span,
            row,
            number(amount) + (f" ({percent(amount / whole)})" if whole else ""),
            color=chosen.ink,
            fontsize=SMALL,
            va="center",
            ha="left" if right else "right",
        )
    axes.set_xlim(low - (0.5 if low < -0.005 * span else 0.02) * span, high + 0.5 * span)
    axes.set_ylim(height - 0.4, -0.6)


def _of_sample(layer: Tensor, r: Relevance, sample: int | None, name: str) -> Tensor:
    if sample is None or len(r.explained) == 1:
        return layer
    if layer.shape[0] != len(r.explained):
        seen = f"{name}: {tuple(layer.shape)}"
        cure = "explain that sample alone, or all together with sample=None"
        raise InputError("the layer's first axis is not that of the samples", where="viz", seen=seen, cure=cure)
    return layer[sample]


def _sides(relevance: Any) -> tuple[float, float]:
    """What supports and what opposes, added up."""
    values = relevance.double()
    return float(values.clamp(min=0).sum()), float(values.clamp(max=0).sum())
