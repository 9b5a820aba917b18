"""What all figures share: paper and ink, one scale for every panel, the colour bar and the caption."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrp.errors import InputError
from lrp.extras import imported
from lrp.relevance import Relevance
from lrp.viz.colors import Palette, between, colors, palette
from lrp.viz.fonts import families, legible
from lrp.viz.words import aim

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Scale",
    "color_bar",
    "dress",
    "explained",
    "figure",
    "finish",
    "number",
    "percent",
    "plain",
    "scale_of",
    "short",
    "show_map",
    "shown",
]

Array = NDArray[np.float64]

SMALL, USUAL = 8, 9
"""Sizes of text, in points."""


@dataclass(frozen=True)
class Scale:
    """The colours of numbers, the same in all panels.

    Args:
        limit: the relevance of the full colours.
        percentile: what it is among the sizes shown.
        cmap: the colour map.
        odd: how many numbers are NaN or infinite; they are hatched.
        kind: "signed", "positive", "negative", or "size" for relevance without its sign.
    """

    limit: float
    percentile: float
    cmap: str
    odd: int
    kind: str = "signed"

    @property
    def palette(self) -> Palette:
        return palette(self.cmap)

    def shares(self, values: Array) -> Array:
        """Numbers divided by the limit, from -1 to 1; what is not finite stays NaN."""
        finite = np.where(np.isfinite(values), values, np.nan)
        if self.kind == "size":
            finite = np.abs(finite)
        elif self.kind != "signed":
            finite = np.clip(finite, *((0, None) if self.kind == "positive" else (None, 0)))
        return np.clip(finite / self.limit, -1, 1)

    def rgba(self, values: Array) -> Array:
        """The colours of numbers, from 0 to 1, (..., 4); what is not finite is transparent, so that hatching shows."""
        shares = self.shares(values)
        known = np.nan_to_num(shares)
        rgb = between(known, self.palette.size) if self.kind == "size" else colors(known, self.cmap)
        return np.concatenate([rgb / 255, np.isfinite(shares)[..., None]], axis=-1)

    @property
    def words(self) -> str:
        if self.limit == 1 and self.percentile == 0:
            return "All relevance shown is zero."
        share = "the largest" if self.percentile == 100 else f"the {self.percentile:g}th percentile of |relevance|; "
        text = f"Full colour at {number(self.limit)}, {share}"
        text += "." if self.percentile == 100 else "what is larger is clipped."
        if self.odd:
            text += f" Hatched: {self.odd} {'value is' if self.odd == 1 else 'values are'} NaN or infinite."
        return text


def scale_of(
    values: Sequence[Array], percentile: float, cmap: str, *, kind: str = "signed", odd: int | None = None
) -> Scale:
    """One scale for all numbers that a figure shows, symmetric about zero.

    Raises:
        InputError: a percentile outside (0, 100], no such colour map.
    """
    palette(cmap)
    if not 0 < percentile <= 100:
        raise InputError("a percentile lies above 0 and up to 100", where="percentile", seen=str(percentile))
    every = np.concatenate([np.abs(v).reshape(-1) for v in values])
    finite = every[np.isfinite(every)]
    odd = len(every) - len(finite) if odd is None else odd
    # Relevance in very few places has a percentile of zero: then the largest decides.
    limit = float(np.percentile(finite, percentile)) if len(finite) else 0.0
    largest = float(finite.max()) if len(finite) else 0.0
    if not limit and largest:
        limit, percentile = largest, 100
    return Scale(limit or 1.0, percentile if limit else 0, cmap, odd, kind)


def figure(width: float, height: float, cmap: str) -> Figure:
    """A new figure of this size in inches.

    Raises:
        InputError: there is no such colour map.
        MissingExtraError: matplotlib is not installed.
    """
    paper = palette(cmap).paper
    imported("matplotlib.figure", "viz", "figures need matplotlib", "lrp.viz")
    from lrp.viz.canvas import Canvas

    return Canvas(figsize=(width, height), dpi=100, facecolor=paper, layout="compressed")


def dress(axes: Axes, cmap: str, *, spines: Sequence[str] = ("left", "bottom"), title: str = "") -> None:
    """Give axes the paper and ink of the figure, whatever the user's defaults are; lines on these sides alone."""
    chosen = palette(cmap)
    axes.set_facecolor(chosen.paper)
    axes.grid(False)
    for side, line in axes.spines.items():
        line.set_visible(side in spines)
        line.set_color(chosen.faint)
        line.set_linewidth(0.8)
    axes.tick_params(colors=chosen.ink, labelsize=SMALL, width=0.8, length=3, color=chosen.faint)
    for words in (axes.xaxis.label, axes.yaxis.label):
        words.set_color(chosen.ink)
        words.set_fontsize(SMALL)
    if title:
        axes.set_title(plain(title), fontsize=USUAL, color=chosen.ink)


def show_map(axes: Axes, colours: Array, cmap: str, *, title: str = "", stretch: bool = False) -> None:
    """Show an array of colours (H, W, 3 or 4); where it is transparent the hatched ground is seen."""
    dress(axes, cmap, spines=("left", "right", "top", "bottom"), title=title)
    if stretch:
        axes.imshow(colours, aspect="auto", interpolation="nearest")
    else:
        axes.imshow(colours, interpolation="antialiased", interpolation_stage="rgba")
    axes.set_xticks([])
    axes.set_yticks([])
    if colours.shape[-1] == 4 and (colours[..., 3] == 0).any():
        axes.patch.set(hatch="xxxx", edgecolor=palette(cmap).faint, linewidth=0)


def color_bar(fig: Figure, axes: Any, scale: Scale, *, label: str = "relevance") -> None:
    """The colours and what they mean, at the right of the axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    span = {"signed": (-1, 1), "negative": (-1, 0)}.get(scale.kind, (0, 1))
    low, high = (side * scale.limit for side in span)
    steps = np.linspace(low, high, 1025)
    mappable = ScalarMappable(Normalize(low, high), ListedColormap(scale.rgba(steps)))
    bar = fig.colorbar(mappable, ax=axes, fraction=0.05, pad=0.02, aspect=25, shrink=0.9)
    bar.set_ticks(sorted({low, 0.0, high}), labels=[number(n) for n in sorted({low, 0.0, high})])
    bar.ax.tick_params(labelsize=SMALL, colors=scale.palette.ink, length=0)
    bar.outline.set_visible(False)
    bar.set_label(label, fontsize=SMALL, color=scale.palette.ink)


def finish(fig: Figure, cmap: str, title: str | None, sentences: Iterable[str]) -> Figure:
    """Set the title above and the caption below, in lines of the figure's width, and see to fonts for all words."""
    from matplotlib.text import Text

    ink = palette(cmap).ink
    letters = int(fig.get_figwidth() * 72 / (SMALL * 0.54))
    text = " ".join(sentence for sentence in sentences if sentence)
    fig.supxlabel(plain(textwrap.fill(text, letters)), fontsize=SMALL, color=ink, x=0.01, ha="left")
    if title:
        fig.suptitle(plain(title), fontsize=11, color=ink)
    for label in fig.findobj(Text):
        assert isinstance(label, Text)
        if others := families(label.get_text()):
            label.set_fontfamily([*label.get_fontfamily(), *others])
    return fig


def explained(r: Relevance, sample: int | None, words: str = "") -> str:
    """The sentence that says what was explained, of one sample or of all, and by which composite."""
    if sample is None and len(r.explained) > 1:
        value = f"{number(float(r.explained.sum()))} in all of {len(r.explained)} samples"
        return f"Explained: {words or aim(r, None)}, {value}, by {r.composite.name}."
    value = number(float(r.explained[sample or 0]))
    return f"Explained: {words or aim(r, sample or 0)}, {value}, by {r.composite.name}."


def shown(total: float, whole: float, what: str = "Sum shown") -> str:
    """The sentence that says what the relevance shown adds up to."""
    share = f", {percent(total / whole)} of the explained value" if whole and np.isfinite(total) else ""
    return f"{what}: {number(total)}{share}."


def percent(share: float) -> str:
    """A share in percent; very small ones are not told apart."""
    return f"{number(100 * share)} %" if abs(share) >= 1e-4 or share == 0 else "below 0.01 %"


def number(value: float) -> str:
    """A number in three digits."""
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}", 1) if value < 0 else f"{value:.3g}"


def plain(words: str) -> str:
    """Words as matplotlib shows them letter by letter: a dollar sign begins no formula."""
    return legible(words).replace("$", r"\$")


def short(words: str, most: int = 28) -> str:
    """Words cut in the middle, where they are too long for a label."""
    half = (most - 1) // 2
    return words if len(words) <= most else f"{words[:half]}\N{HORIZONTAL ELLIPSIS}{words[-half:]}"
