"""Answers side by side as HTML: maps on one scale, numbers, and the ledger. Everything is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lrp import viz
from lrp.app.answers import INPUT, Answer
from lrp.engine.structure import tensors_in
from lrp.report.pictures import traces
from lrp.text import TextRelevance
from lrp.viz.colors import colors, letters
from lrp.viz.figure import Scale, scale_of
from lrp.viz.heatmap import PERCENTILE, laid_over
from lrp.viz.photo import array
from lrp.viz.words import aim, number

__all__ = ["problem", "shown"]

Array = NDArray[np.float64]

FEW = 64
"""As many numbers are listed; more of them are a picture."""
BEST = 5
WIDE, TALL = 1000, 40
"""The most columns of a signal, and the height of its picture in lines of text."""
KEY = (
    '<p class="lrp-key"><span class="supports"></span> Red supports, <span class="opposes"></span> blue opposes, '
    "white is zero.</p>"
)


def problem(words: str) -> str:
    """Return the HTML of an error."""
    return f'<div class="lrp-problem" role="alert"><pre>{escape(words)}</pre></div>'


def shown(answers: Sequence[Answer], *, shared: bool) -> str:
    """Return the HTML of one answer, or of several beside each other, on one scale for all or each on its own."""
    maps = [pixels(each.relevance) for each in answers]
    scales = [common(*maps)] * len(maps) if shared else [common(each) for each in maps]
    columns = "".join(
        f"<section>{column(each, colour)}</section>" for each, colour in zip(answers, scales, strict=True)
    )
    return f'<div class="lrp-answers">{columns}</div>{KEY}{ledger(answers)}'


def common(*maps: Array) -> Scale:
    """Return one scale for these maps."""
    return scale_of(maps, PERCENTILE, "RdBu_r", odd=0)


def column(answer: Answer, scale: Scale) -> str:
    """Return what stands below one title."""
    r = answer.result
    facts = {
        "Explained": f"{number(float(r.explained))}, {target(answer)}",
        "Preset": r.composite.name + (f": {r.composite.why}" if r.composite.why else ""),
        "Sum shown": f"{number(float(answer.relevance.sum()))}, at {answer.layer}",
        "Colours": scale.words,
    }
    if answer.text is not None:
        facts["Special"] = f"{number(answer.text.special)}, of tokens that are no words"
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(words)}</dd></div>" for name, words in facts.items())
    notes = "".join(f'<p class="lrp-note">{escape(note)}</p>' for note in (*r.notes, *remarks(answer)))
    return f"<h2>{escape(answer.title)}</h2>{drawn(answer, scale)}<dl>{rows}</dl>{notes}{outputs(answer)}"


def drawn(answer: Answer, scale: Scale) -> str:
    """Return relevance as a text in colours, as bars where it is few numbers, else as a map."""
    values = pixels(answer.relevance)
    shares = np.nan_to_num(scale.shares(values))
    if answer.text is not None and answer.layer == INPUT:
        return text(answer.text, shares[0])
    if values.size <= FEW:
        return bars(answer, values.reshape(-1), shares.reshape(-1))
    height, width = values.shape
    words = f"Relevance at {answer.layer} by {answer.title}, {width} x {height}: red supports, blue opposes"
    rgb = colors(shares)
    rgb[~np.isfinite(values)] = 0
    heatmap = picture(rgb, words)
    if answer.relevance.dim() < 3:
        lines = None if answer.given is None else traces(array(answer.given).reshape(-1, answer.given.shape[-1]))
        line = "" if lines is None else f'<img alt="{escape(lines.caption)}" src="{lines.uri}">'
        return f'<div class="lrp-signal" style="--height: {min(max(5, height), TALL)}rem">{heatmap}{line}</div>'
    if answer.picture is not None and answer.layer == INPUT:
        grey = np.asarray(answer.picture.convert("L"), dtype=np.float64)
        heatmap += picture(laid_over(shares, grey), "The same over the picture that the model was shown")
    return f'<div class="lrp-maps">{heatmap}</div>'


def picture(rgb: Array, words: str) -> str:
    """Return colours as a picture inside the page."""
    data = base64.b64encode(viz.png_bytes(Image.fromarray(np.round(rgb).astype(np.uint8)))).decode()
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{data}">'


def text(explained: TextRelevance, shares: Array) -> str:
    """Return words on their colours, in letters that can be read on them."""
    words = []
    for word, rgb in zip(explained.words, np.round(colors(shares)), strict=True):
        style = f"background: rgb({','.join(f'{level:.0f}' for level in rgb)}); color: {letters(rgb)}"
        words.append(f'<span style="{style}" title="{number(word.relevance)}">{escape(word.text)}</span>')
    return f'<p class="lrp-text">{" ".join(words)}</p>'


def bars(answer: Answer, values: Array, shares: Array) -> str:
    """Return a table of numbers, the largest first, each with a bar to the right (supports) or left of the middle."""
    names = answer.features if answer.features and answer.layer == INPUT else [f"[{n}]" for n in range(len(values))]
    given = np.empty(0) if answer.given is None else array(answer.given).reshape(-1)
    lines = []
    for place in np.argsort(-np.abs(values), kind="stable"):
        width = 50 * abs(shares[place])
        kind, start = ("supports", 50.0) if values[place] > 0 else ("opposes", 50 - width)
        bar = f'<span class="lrp-bar {kind}" style="margin-left: {start:.1f}%; width: {width:.1f}%"></span>'
        value = f"<td>{given[place]:.5g}</td>" if len(given) else ""
        lines.append(
            f"<tr><th scope=row>{escape(names[place])}</th>{value}<td>{number(values[place])}</td><td>{bar}</td></tr>"
        )
    value = "<th scope=col>Value</th>" if len(given) else ""
    head = f"<tr><th scope=col>Number</th>{value}<th scope=col>Relevance</th><th scope=col>Bar</th></tr>"
    return f'<table class="lrp-bars"><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table>'


def target(answer: Answer) -> str:
    """Return what was explained, in words."""
    return aim(answer.result, 0, answer.labels) if answer.text is None else answer.text.target


def outputs(answer: Answer) -> str:
    """Return the largest outputs of a classifier."""
    found = tensors_in(answer.result.output)
    if len(found) != 1 or found[0].dim() != 2 or found[0].shape[1] < 2:
        return ""
    best = found[0][0].topk(min(BEST, found[0].shape[1]))
    rows = "".join(
        f"<tr><th scope=row>{escape(named(index, answer.labels))}</th><td>{number(value)}</td></tr>"
        for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    )
    head = "<thead><tr><th scope=col>Class</th><th scope=col>Output</th></tr></thead>"
    return f"<table><caption>The largest outputs</caption>{head}<tbody>{rows}</tbody></table>"


def ledger(answers: Sequence[Answer]) -> str:
    """Return the books of all answers as one table: where the explained output went."""
    books = [each.result.ledger for each in answers]
    columns: list[dict[str, str]] = []
    for book in books:
        assert book is not None  # the app never asks for ledger=False
        kept = {f"kept as {kind}": number(float(amount)) for kind, amount in book.by_kind().items()}
        first = {"explained": number(float(book.explained)), "reached the input": number(float(book.sources))}
        last = {"residual": number(float(book.residual)), "amplification": number(float(book.amplification))}
        columns.append(first | kept | last)
    kinds = [kind for kind in dict.fromkeys(kind for each in columns for kind in each) if kind.startswith("kept")]
    order = ["explained", "reached the input", *kinds, "residual", "amplification"]
    head = "".join(f"<th scope=col>{escape(each.title)}</th>" for each in answers)
    rows = ""
    for kind in order:
        cells = "".join(f"<td>{each.get(kind, '0')}</td>" for each in columns)
        rows += f"<tr><th scope=row>{kind}</th>{cells}</tr>"
    return (
        '<table class="lrp-ledger"><caption>Ledger: where the explained output went</caption>'
        f"<thead><tr><th scope=col>Amount</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def named(index: int, labels: Sequence[str]) -> str:
    """Return a class by number, and by name where it has one."""
    return f"class {index}" + (f", {labels[index]}" if index < len(labels) else "")


def remarks(answer: Answer) -> list[str]:
    """Return what to say of a picture: what is averaged, and numbers that are none."""
    found = []
    if answer.relevance.dim() in (1, 2) and answer.relevance.shape[-1] > WIDE:
        found.append(f"each column is the mean of {-(-answer.relevance.shape[-1] // WIDE)} steps")
    count = int((~answer.relevance.isfinite()).sum())
    if count:
        found.append(f"{count} numbers are NaN or infinite; they are black, or without a bar")
    return found


def pixels(relevance: Tensor) -> Array:
    """Return relevance as rows and columns.

    Channels of a picture are added up, signs kept; steps of a long signal are averaged to at most `WIDE` columns.
    """
    values = array(relevance)
    if values.ndim == 3:
        return np.asarray(values.sum(axis=0))
    rows = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
    steps = -(-rows.shape[1] // WIDE)
    starts = np.arange(0, rows.shape[1], steps)
    return np.asarray(np.add.reduceat(rows, starts, axis=1) / np.diff([*starts, rows.shape[1]]))
