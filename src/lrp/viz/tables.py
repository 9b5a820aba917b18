"""Figures of tables: features as bars, as steps from zero to the output, and as dots over samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrp.errors import InputError
from lrp.relevance import Relevance, named_inputs
from lrp.viz.colors import palette
from lrp.viz.figure import dress, explained, figure, finish, number, plain, short, shown
from lrp.viz.parts import books, numbers, parts, single
from lrp.viz.photo import array
from lrp.viz.words import aim

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bars", "beeswarm", "waterfall"]

Array = NDArray[np.float64]


def bars(
    r: Relevance,
    names: Sequence[str] | None = None,
    *,
    sample: int = 0,
    most: int = 15,
    input: str | None = None,
    cmap: str = "RdBu_r",
    title: str | None = None,
) -> Figure:
    """Draw the relevance of each feature of one sample as signed bars, largest first, with names and values.

    Args:
        r: a result with inputs of shape (N,), (N, F) or (N, A, B); several such inputs are shown together.
        names: the features' names, in the order of the inputs.
        sample: which sample.
        most: the most features that are shown; the others are added up.
        input: the name of one input, where others are not to be shown.
        cmap, title: as in `image`.

    Raises:
        InputError: an input has more axes (name one that has not), or another number of names.
        MissingExtraError: matplotlib is not installed.
    """
    r = single(r, "bars")
    table = _features(r, "bars", names, input, numbers(sample, len(r.explained), 1))
    rows = _largest(table, most)
    fig = figure(7, 0.3 * len(rows) + 1.5, cmap)
    axes = fig.subplots()
    chosen = palette(cmap)
    dress(axes, cmap, spines=("bottom",))
    amounts = [amount for _, amount in rows]
    drawn = np.nan_to_num(amounts, posinf=0, neginf=0)
    axes.barh(range(len(rows)), drawn, color=[chosen.bar(a) for a in amounts], height=0.7)
    _labelled(axes, rows, cmap)
    for row, (amount, at) in enumerate(zip(amounts, drawn, strict=True)):
        _write(axes, at, row, amount, cmap)
    axes.set_xlabel("relevance")
    odd = int((~np.isfinite(table.relevance)).sum())
    sentences = [explained(r, table.samples[0]), shown(float(table.relevance.sum()), _whole(r, table))]
    sentences += ["Red supports, blue opposes; nothing is clipped.", _odd(odd)]
    return finish(fig, cmap, title, sentences)


def waterfall(
    r: Relevance,
    names: Sequence[str] | None = None,
    *,
    sample: int = 0,
    most: int = 10,
    input: str | None = None,
    cmap: str = "RdBu_r",
    title: str | None = None,
) -> Figure:
    """Draw how the features, and what the ledger's rows kept, add up from zero to the explained output.

    Args:
        r, names, sample, most, input, cmap, title: as in `bars`.

    Raises:
        InputError: as in `bars`, or relevance that is not finite.
        LRPError: one of several samples of a loaded ledger, which holds the totals alone.
        MissingExtraError: matplotlib is not installed.
    """
    r = single(r, "waterfall")
    table = _features(r, "waterfall", names, input, numbers(sample, len(r.explained), 1))
    if not np.isfinite(table.relevance).all():
        cure = "viz.bars, which marks them; or explain in a wider dtype"
        raise InputError("steps that are NaN or infinite lead nowhere", where="viz.waterfall", cure=cure)
    whole = _whole(r, table)
    kept = books(r, table.samples[0])
    rows = _largest(table, most)
    reached = sum(amount for _, amount in rows)
    if kept is not None:
        rows += [(f"kept: {kind}", float(amount)) for kind, amount in kept.by_kind().items()]
        others = float(kept.sources) - reached
        if abs(others) > 1e-4 * float(kept.scale):
            rows.append(("other sources", others))
    rest = whole - sum(amount for _, amount in rows)
    if abs(rest) > 1e-3 * abs(whole):
        rows.append(("not in the books" if kept is None else "residual", rest))
    ends = np.cumsum([amount for _, amount in rows])
    starts = np.concatenate([[0.0], ends[:-1]])
    fig = figure(7, 0.3 * (len(rows) + 1) + 1.5, cmap)
    axes = fig.subplots()
    chosen = palette(cmap)
    dress(axes, cmap, spines=("bottom",))
    for row, ((_, amount), start, end) in enumerate(zip(rows, starts, ends, strict=True)):
        axes.barh(row, amount, left=start, color=chosen.bar(amount), height=0.7)
        axes.plot([end, end], [row - 0.35, row + 1.35], color=chosen.faint, linewidth=0.8)
        _write(axes, end, row, amount, cmap, signed=True)
    axes.barh(len(rows), whole, color=chosen.faint, height=0.7)
    _write(axes, whole, len(rows), whole, cmap)
    _labelled(axes, [*rows, ("explained", whole)], cmap)
    axes.set_xlabel("relevance, added up from above")
    sentences = [explained(r, table.samples[0]), shown(reached, whole)]
    return finish(fig, cmap, title, [*sentences, "Red raises the output, blue lowers it; nothing is clipped."])


def beeswarm(
    r: Relevance,
    names: Sequence[str] | None = None,
    *,
    samples: Sequence[int] | None = None,
    most: int = 12,
    input: str | None = None,
    cmap: str = "RdBu_r",
    title: str | None = None,
) -> Figure:
    """Draw the relevance of each feature in every sample as a dot, coloured by the feature's value.

    Args:
        r: a result of several samples.
        samples: which; None: all.
        most: the most features that are shown, those of largest mean size.
        names, input, cmap, title: as in `bars`.

    Raises:
        InputError: as in `bars`.
        MissingExtraError: matplotlib is not installed.
    """
    r = single(r, "beeswarm")
    count = len(r.explained)
    table = _features(r, "beeswarm", names, input, numbers(samples, count, count))
    relevance = np.where(np.isfinite(table.relevance), table.relevance, np.nan)
    size = np.nan_to_num(np.abs(table.relevance), posinf=0, neginf=0).mean(0)
    chosen = np.argsort(-size, kind="stable")[:most]
    fig = figure(7, 0.42 * len(chosen) + 1.6, cmap)
    axes = fig.subplots()
    inks = palette(cmap)
    dress(axes, cmap, spines=("bottom",))
    axes.axvline(0, color=inks.faint, linewidth=0.8)
    span = np.nanmax(np.abs(relevance)) or 1.0
    dots = None
    for row, feature in enumerate(chosen):
        x = relevance[:, feature]
        y = row + _spread(x / span)
        values = None if table.values is None else table.values[:, feature]
        if values is None:
            axes.scatter(x, y, s=14, color=inks.ink, linewidths=0)
        else:
            dots = axes.scatter(x, y, s=14, c=_ranks(values), cmap="cividis", vmin=0, vmax=1, linewidths=0)
    axes.set_yticks(range(len(chosen)), [plain(short(table.names[n])) for n in chosen])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(chosen) - 0.4, -0.6)
    axes.set_xlabel("relevance")
    if dots is not None:
        bar = fig.colorbar(dots, ax=axes, fraction=0.04, pad=0.02, aspect=30)
        bar.set_ticks([0, 1], labels=["smallest", "largest"])
        bar.ax.tick_params(labelsize=8, colors=inks.ink, length=0)
        bar.outline.set_visible(False)
        bar.set_label("value of the feature, by rank", fontsize=8, color=inks.ink)
    total, whole = float(table.relevance.sum()), float(r.explained[table.samples].sum())
    sentences = [
        f"{len(table.samples)} samples. Explained: {aim(r, None)}, by {r.composite.name}.",
        shown(total, whole),
    ]
    left_out = len(table.names) - len(chosen)
    sentences += [f"{left_out} features with less relevance are left out." if left_out else "", "Nothing is clipped."]
    return finish(fig, cmap, title, [*sentences, _odd(int((~np.isfinite(table.relevance)).sum()))])


@dataclass(frozen=True)
class _Table:
    """Features of the chosen samples: relevance and values, (samples, features)."""

    names: list[str]
    samples: list[int]
    relevance: Array
    values: Array | None


def _features(r: Relevance, view: str, names: Sequence[str] | None, input: str | None, samples: list[int]) -> _Table:
    """The features of one input, or of all."""
    inputs = [input] if input is not None else list(named_inputs(r.input))
    labels: list[str] = []
    relevance, values = [], []
    for name in inputs:
        found = parts(r, view, name, samples)
        prefix = name if len(inputs) > 1 or name != "input" else "feature "
        shape = found[0].relevance.shape
        labels += [prefix + _place(index, prefix) for index in np.ndindex(*shape)] if shape else [name]
        relevance.append(np.stack([array(part.relevance).reshape(-1) for part in found]))
        values.append([None if part.values is None else array(part.values).reshape(-1) for part in found])
    if names is not None and len(names) != len(labels):
        seen = f"{len(names)} names, {len(labels)} features"
        raise InputError("each feature has one name", where="names", seen=seen)
    known = [[v for v in each if v is not None] for each in values]
    whole = all(len(each) == len(samples) for each in known)
    together = np.concatenate([np.stack(each) for each in known], axis=1) if whole else None
    return _Table(
        [str(n) for n in names] if names is not None else labels, samples, np.concatenate(relevance, 1), together
    )


def _place(index: tuple[int, ...], prefix: str) -> str:
    words = ", ".join(map(str, index))
    return words if prefix.endswith(" ") else f"[{words}]"


def _largest(table: _Table, most: int) -> list[tuple[str, float]]:
    """The features of the first sample, largest first and odd ones before them, with the sum of the others."""
    relevance = table.relevance[0]
    order = np.argsort(-np.nan_to_num(np.abs(relevance), nan=np.inf, posinf=np.inf), kind="stable")
    rows = []
    for n in order[:most]:
        value = "" if table.values is None else f" = {number(float(table.values[0, n]))}"
        rows.append((short(table.names[n], 34) + value, float(relevance[n])))
    if len(order) > most:
        rows.append((f"{len(order) - most} others", float(relevance[order[most:]].sum())))
    return rows


def _whole(r: Relevance, table: _Table) -> float:
    return float(r.explained[table.samples[0]])


def _labelled(axes: Axes, rows: Sequence[tuple[str, Any]], cmap: str) -> None:
    axes.axvline(0, color=palette(cmap).faint, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [plain(name) for name, _ in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.12)


def _write(axes: Axes, at: float, row: int, amount: float, cmap: str, *, signed: bool = False) -> None:
    """A number at the end of a bar."""
    words = ("+" if signed and amount > 0 else "") + number(amount)
    side = 1 if amount >= 0 or not np.isfinite(amount) else -1
    axes.annotate(
        words,
        (at, row),
        xytext=(4 * side, 0),
        textcoords="offset points",
        fontsize=8,
        color=palette(cmap).ink,
        va="center",
        ha="left" if side > 0 else "right",
    )


def _spread(x: Array) -> Array:
    """Heights from -0.35 to 0.35 that keep dots of one row apart: those that share a place are stacked."""
    heights = np.zeros(len(x))
    places = np.round(np.nan_to_num(x) * 40)
    for place in np.unique(places):
        dots = np.flatnonzero(places == place)
        steps = np.arange(len(dots))
        heights[dots] = np.where(steps % 2, 1, -1) * ((steps + 1) // 2)
    return heights * min(0.12, 0.35 / max(1.0, np.abs(heights).max()))


def _ranks(values: Array) -> Array:
    """Values as ranks from 0 to 1, equal ones alike."""
    _, ranks = np.unique(values, return_inverse=True)
    return ranks / max(1, ranks.max())


def _odd(count: int) -> str:
    return f"{count} {'value is' if count == 1 else 'values are'} NaN or infinite, and no bar or dot." if count else ""
