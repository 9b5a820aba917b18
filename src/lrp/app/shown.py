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
from lrp.report.words import explained, number
from lrp.viz.colors import colors
from lrp.viz.heatmap import PERCENTILE
from lrp.viz.photo import array

__all__ = ["problem", "shown"]

Array = NDArray[np.float64]

FEW = 64
"""As many numbers are listed; more of them are a picture."""
BEST = 5
WIDE = 1000
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
    scales = [scale_of(maps)] * len(maps) if shared else [scale_of([each]) for each in maps]
    columns = "".join(f"<section>{column(each, scale)}</section>" for each, scale in zip(answers, scales, strict=True))
    return f'<div class="lrp-answers">{columns}</div>{KEY}{ledger(answers)}'


def column(answer: Answer, scale: float) -> str:
    """Return what stands below one title."""
    r = answer.result
    facts = {
        "Explained": f"{number(float(r.explained))}, {explained(r, 0, answer.labels)}",
        "Preset": r.composite.name + (f": {r.composite.why}" if r.composite.why else ""),
        "Sum shown": f"{number(float(answer.relevance.sum()))}, at {answer.layer}",
        "Full colour": f"{number(scale)}, the {PERCENTILE:g}th percentile of sizes",
    }
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(words)}</dd></div>" for name, words in facts.items())
    notes = "".join(f'<p class="lrp-note">{escape(note)}</p>' for note in (*answer.notes, *strange(answer)))
    return f"<h2>{escape(answer.title)}</h2>{drawn(answer, scale)}<dl>{rows}</dl>{notes}{outputs(answer)}"


def drawn(answer: Answer, scale: float) -> str:
    """Return relevance as a picture: few numbers as bars, many as a map, beside the picture where there is one."""
    values = pixels(answer.relevance)
    if values.size <= FEW:
        return bars(answer, values.reshape(-1), scale)
    rgb = colors(np.nan_to_num(values) / scale)
    rgb[~np.isfinite(values)] = 0
    height, width = values.shape
    words = f"Relevance at {answer.layer} by {answer.title}, {width} x {height}: red supports, blue opposes"
    if answer.relevance.dim() < 3:
        return picture(Image.fromarray(np.round(rgb).astype(np.uint8)), words, "lrp-strip")
    maps = [picture(Image.fromarray(np.round(rgb).astype(np.uint8)), words)]
    if answer.picture is not None and answer.layer == INPUT:
        maps.insert(0, picture(answer.picture, "What the model was shown"))
    return f'<div class="lrp-maps">{"".join(maps)}</div>'


def picture(image: Image.Image, words: str, kind: str = "") -> str:
    """Return a picture inside the page."""
    data = base64.b64encode(viz.png_bytes(image)).decode()
    return f'<img class="{kind}" alt="{escape(words)}" src="data:image/png;base64,{data}">'


def bars(answer: Answer, values: Array, scale: float) -> str:
    """Return a table of numbers, the largest first, each with a bar."""
    features = answer.features if answer.layer == INPUT else ()
    names = features or [f"{answer.layer} {place}" for place in range(len(values))]
    lines = []
    for place in np.argsort(-np.abs(values), kind="stable"):
        share = min(abs(values[place]) / scale, 1)
        kind = "supports" if values[place] > 0 else "opposes"
        bar = f'<span class="lrp-bar {kind}" style="width: {50 * share:.1f}%"></span>'
        lines.append(
            f"<tr><th scope=row>{escape(names[place])}</th><td>{number(values[place])}</td><td>{bar}</td></tr>"
        )
    head = "<thead><tr><th scope=col>Number</th><th scope=col>Relevance</th><th scope=col>Size</th></tr></thead>"
    return f'<table class="lrp-bars">{head}<tbody>{"".join(lines)}</tbody></table>'


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


def strange(answer: Answer) -> list[str]:
    """Return what to say of numbers that are none."""
    count = int((~answer.relevance.isfinite()).sum())
    return [f"{count} numbers are NaN or infinite; they are black, or without a bar"] if count else []


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


def scale_of(maps: Sequence[Array]) -> float:
    """Return the size that gets the full colour, one for all maps."""
    sizes = np.concatenate([np.abs(each[np.isfinite(each)]) for each in maps])
    return (float(np.percentile(sizes, PERCENTILE)) or float(sizes.max())) or 1.0 if sizes.size else 1.0
