"""Figures of signals: traces, channels by time, and sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrp.errors import InputError
from lrp.relevance import Relevance
from lrp.viz.figure import Scale, color_bar, dress, explained, figure, finish, number, plain, scale_of, short, shown
from lrp.viz.heatmap import PERCENTILE
from lrp.viz.parts import Part, part_of
from lrp.viz.photo import array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["audio", "eeg", "signal"]

Array = NDArray[np.float64]

COLUMNS = 1000
"""The most steps of time that are coloured; of longer signals neighbours are added up."""


def signal(
    r: Relevance,
    names: Sequence[str] | None = None,
    *,
    rate: float | None = None,
    sample: int = 0,
    input: str | None = None,
    cmap: str = "RdBu_r",
    percentile: float = PERCENTILE,
    title: str | None = None,
) -> Figure:
    """Draw a signal with the relevance of each step of time as the colour behind its trace.

    Args:
        r: a result with an input of shape (N, T), or (N, C, T) for up to 16 channels, one below the other.
        names: the channels' names.
        rate: steps a second; None: steps are counted.
        sample, input, cmap, percentile, title: as in `image`, one sample.

    Raises:
        InputError: no input is a signal, more than 16 channels, another number of names.
        MissingExtraError: matplotlib is not installed.
    """
    part = part_of(r, "signal", sample, input)
    relevance = np.atleast_2d(array(part.relevance))
    if len(relevance) > 16:
        raise InputError(
            "too many channels for traces", where="viz.signal", seen=f"{len(relevance)}", cure="viz.eeg(r)"
        )
    labels = _names(names, len(relevance))
    summed, block = _blocks(relevance)
    scale = scale_of([summed], percentile, cmap, odd=_odd(relevance))
    rows = len(relevance)
    fig = figure(9, (1.0 if rows > 1 else 2.2) * rows + 1.2, cmap)
    axes = fig.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    values = None if part.values is None else np.atleast_2d(array(part.values))
    for row, panel in enumerate(axes):
        _trace(panel, None if values is None else values[row], summed[row], relevance.shape[1], rate, scale)
        if rows > 1:
            panel.set_ylabel(plain(short(labels[row], 14)), rotation=0, ha="right", va="center")
            panel.set_yticks([])
    axes[-1].set_xlabel("seconds" if rate else "step")
    color_bar(fig, axes, scale, label="relevance")
    return finish(fig, cmap, title, [*_said(part), scale.words, _added(block)])


def eeg(
    r: Relevance,
    names: Sequence[str] | None = None,
    *,
    rate: float | None = None,
    sample: int = 0,
    input: str | None = None,
    cmap: str = "RdBu_r",
    percentile: float = PERCENTILE,
    title: str | None = None,
) -> Figure:
    """Draw channels by time, with the sums of each channel at the right and of each step of time below.

    Args:
        r: a result with an input of shape (N, C, T): channels of an EEG, or the bands of a spectrogram.
        names, rate, sample, input, cmap, percentile, title: as in `signal`.

    Raises:
        InputError: no input has channels and time, another number of names.
        MissingExtraError: matplotlib is not installed.
    """
    part = part_of(r, "eeg", sample, input)
    relevance = array(part.relevance)
    count, steps = relevance.shape
    labels = _names(names, count)
    summed, block = _blocks(relevance)
    scale = scale_of([summed], percentile, cmap, odd=_odd(relevance))
    fig = figure(9, float(np.clip(0.2 * count, 1.5, 6)) + 2.2, cmap)
    ratios: dict[str, Any] = {"width_ratios": [6, 1], "height_ratios": [4, 1]}
    (grid, right), (below, corner) = fig.subplots(2, 2, gridspec_kw=ratios)
    corner.set_axis_off()
    end = steps / (rate or 1)
    _stripes(grid, summed, (0, end, count - 0.5, -0.5), scale)
    shown_rows = range(0, count, -(-count // 30))
    grid.set_yticks(list(shown_rows), [plain(short(labels[n], 14)) for n in shown_rows])
    grid.tick_params(labelbottom=False)
    finite = np.nan_to_num(summed, posinf=0, neginf=0)
    inks = scale.palette
    by_channel, by_time = finite.sum(1), finite.sum(0)
    dress(right, cmap, spines=(), title="sum")
    right.barh(range(count), by_channel, color=[inks.bar(v) for v in by_channel], height=0.8)
    right.axvline(0, color=inks.faint, linewidth=0.8)
    right.set(ylim=(count - 0.5, -0.5), yticks=[], xticks=[])
    dress(below, cmap, spines=("bottom",))
    width = end / len(by_time)
    at = (np.arange(len(by_time)) + 0.5) * width
    below.bar(at, by_time, width=width, color=[inks.bar(v) for v in by_time])
    below.axhline(0, color=inks.faint, linewidth=0.8)
    below.set(xlim=(0, end), yticks=[])
    below.set_ylabel("sum", rotation=0, ha="right", va="center")
    below.set_xlabel("seconds" if rate else "step")
    color_bar(fig, [grid, right], scale, label="relevance")
    return finish(fig, cmap, title, [*_said(part), scale.words, _added(block)])


def audio(
    r: Relevance,
    *,
    rate: float,
    sample: int = 0,
    input: str | None = None,
    cmap: str = "RdBu_r",
    percentile: float = PERCENTILE,
    title: str | None = None,
) -> Figure:
    """Draw sound: the waveform with relevance behind it, and its spectrogram below on the same time.

    Relevance belongs to samples of the waveform; the spectrogram is of the sound alone and has none.

    Args:
        r: a result with an input of shape (N, T) or (N, 1, T). A model that reads a spectrogram: `eeg`.
        rate: samples a second.
        sample, input, cmap, percentile, title: as in `signal`.

    Raises:
        InputError: no input is sound, or the result does not hold the input.
        MissingExtraError: matplotlib is not installed.
    """
    part = part_of(r, "audio", sample, input)
    relevance = np.atleast_2d(array(part.relevance))
    if len(relevance) != 1:
        raise InputError("sound has one channel here", where="viz.audio", seen=str(relevance.shape), cure="viz.signal")
    if part.values is None:
        raise InputError("the result does not hold its input", where="viz.audio", cure="save it with values=True")
    if not rate > 0:
        raise InputError("the rate is the number of samples a second", where="rate", seen=str(rate))
    wave = array(part.values).reshape(-1)
    summed, block = _blocks(relevance, 200)
    scale = scale_of([summed], percentile, cmap, odd=_odd(relevance))
    fig = figure(9, 4.6, cmap)
    above, below = fig.subplots(2, 1, sharex=True)
    _trace(above, wave, summed[0], len(wave), rate, scale)
    above.set_ylabel("waveform")
    dress(below, cmap)
    power = _spectrogram(wave)
    extent = (0, len(wave) / rate, 0, rate / 2000)
    below.imshow(power, aspect="auto", origin="lower", extent=extent, cmap="Greys", interpolation="nearest")
    below.set_ylabel("kHz")
    below.set_xlabel("seconds")
    color_bar(fig, [above], scale, label="relevance")
    sentences = [
        *_said(part),
        scale.words,
        _added(block),
        "Below: the sound's spectrogram, in decibels down to \N{MINUS SIGN}80.",
    ]
    return finish(fig, cmap, title, sentences)


def _names(names: Sequence[str] | None, count: int) -> list[str]:
    if names is not None and len(names) != count:
        seen = f"{len(names)} names, {count} channels"
        raise InputError("each channel has one name", where="names", seen=seen)
    return [str(name) for name in names] if names is not None else [f"channel {n}" for n in range(count)]


def _blocks(relevance: Array, most: int = COLUMNS) -> tuple[Array, int]:
    """Relevance (C, T) with so many neighbours in time added up that `most` remain, and how many."""
    block = -(-relevance.shape[1] // most)
    starts = np.arange(0, relevance.shape[1], block)
    return (np.add.reduceat(relevance, starts, axis=1) if block > 1 else relevance), block


def _stripes(axes: Axes, summed: Array, extent: tuple[float, float, float, float], scale: Scale) -> None:
    """Colours (C, T) over an extent, hatched where they are not known."""
    dress(axes, scale.cmap, spines=("left", "bottom"))
    axes.imshow(scale.rgba(summed), aspect="auto", extent=extent, interpolation="nearest")
    if not np.isfinite(summed).all():
        axes.patch.set(hatch="xxxx", edgecolor=scale.palette.faint, linewidth=0)


def _trace(axes: Axes, wave: Array | None, summed: Array, steps: int, rate: float | None, scale: Scale) -> None:
    """A trace upon the colours of its relevance; of a long one the span of each column."""
    finite = None if wave is None else wave[np.isfinite(wave)]
    low, high = (0.0, 1.0) if finite is None or not len(finite) else (float(finite.min()), float(finite.max()))
    room = 0.08 * (high - low) or 0.5
    end = steps / (rate or 1)
    _stripes(axes, summed[None], (0, end, low - room, high + room), scale)
    if wave is not None:
        at = (np.arange(steps) + 0.5) / (rate or 1)
        axes.plot(at, wave, color=scale.palette.ink, linewidth=1.0 if steps <= 2000 else 0.4)
    axes.set(xlim=(0, end), ylim=(low - room, high + room))


def _spectrogram(wave: Array) -> Array:
    """Power (frequencies, windows) in decibels below the largest, no less than -80, of windows of up to 512 samples."""
    size = min(512, max(16, len(wave) // 8), len(wave))
    step = max(1, size // 4, (len(wave) - size) // COLUMNS)
    windows = np.lib.stride_tricks.sliding_window_view(np.nan_to_num(wave), size)[::step]
    power = np.abs(np.fft.rfft(windows * np.hanning(size + 2)[1:-1], axis=1)).T ** 2
    largest = power.max() or 1.0
    return np.asarray(10 * np.log10(np.maximum(power / largest, 1e-8)))


def _said(part: Part) -> list[str]:
    return [explained(part.r, part.sample), shown(part.sum, part.explained), "Red supports, blue opposes."]


def _odd(relevance: Array) -> int:
    return int((~np.isfinite(relevance)).sum())


def _added(block: int) -> str:
    return f"Each column adds up {number(block)} steps of time." if block > 1 else ""
