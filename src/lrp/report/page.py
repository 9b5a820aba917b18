"""One self-contained page about a result, or several results of one model."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from lrp.errors import InputError
from lrp.relevance import Relevance
from lrp.report import books, made
from lrp.report.grids import palette
from lrp.report.panels import MOST, Sample, overview, samples_of
from lrp.report.style import frame, template
from lrp.report.words import share, without_folders
from lrp.text import TextRelevance
from lrp.viz.heatmap import PERCENTILE
from lrp.writing import write_whole

__all__ = ["Result", "page", "write"]

Result = Relevance | TextRelevance


def write(result: Result | Sequence[Result], path: str | PathLike[str], **options: Any) -> None:
    """Write the page that `page` makes to a file, whole or not at all.

    Raises:
        InputError: the file name does not end in .html or .htm, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError("a report is saved as .html", seen=path.name, cure='r.report("relevance.html")')
    write_whole(path, page(result, **options).encode())


def page(
    result: Result | Sequence[Result],
    *,
    picture: Any = None,
    names: Any = None,
    labels: Sequence[str] | None = None,
    samples: Sequence[str] | None = None,
    command: str | Sequence[str] | None = None,
    title: str | None = None,
) -> str:
    """Return the HTML of a page that shows a result; `Relevance.report` says what the other arguments are.

    Args:
        result: a result; or several of one model, composite and target, each of one sample, which has its own ledger.

    Raises:
        MissingExtraError: Jinja2 is not installed.
        InputError: names or pictures that do not fit; several results that are not of one sample each.
    """
    filled_in = template()
    given = [result] if isinstance(result, Result) else list(result)
    texts = [one if isinstance(one, TextRelevance) else None for one in given]
    results = [one.relevance if isinstance(one, TextRelevance) else one for one in given]
    count = sum(r.explained.shape[-1] for r in results)
    shapes = {tuple(r.explained.shape) for r in results}
    if not results or (len(results) > 1 and (count > len(results) or len(shapes) > 1)):
        seen = f"explained outputs of shape {', '.join(map(str, sorted(shapes)))}" if shapes else "no result"
        raise InputError("several results on a page are of one sample each, and of the same targets", seen=seen)
    shown: list[Sample] = []
    for r, text in zip(results[:MOST], texts, strict=False):
        shown += samples_of(r, len(shown), picture=picture, names=names, labels=labels or (), text=text)
    targets = _targets(results[0], shown)
    titles = [str(name) for name in samples or range(1, count + 1)]
    if len(titles) != count:
        seen = f"{len(titles)} names, {count} samples"
        raise InputError("names of samples are as many as the samples", where="report(samples=...)", seen=seen)
    return filled_in.render(
        title=without_folders(title or f"Relevance for {targets[0] if len(targets) == 1 else 'several targets'}"),
        **frame("tables.js", "page.js"),
        palette=base64.b64encode(palette()).decode(),
        percentile=PERCENTILE,
        samples=shown,
        names=titles,
        overviews=overview(shown, titles),
        count=count,
        targets=targets,
        layers=[view.name for view in shown[0].panels[0].layers],
        kept=len(results[0].layers),
        notes=list(dict.fromkeys(without_folders(note).rstrip(".") for r in results for note in r.notes)),
        books=books.of(results[:MOST]),
        plan=books.plan(results[0].plan),
        identical=results[0].plan.identical_to_gradient,
        composite=results[0].composite,
        made=made.facts(results[0]),
        command=without_folders(command) if command else made.lines(results[0], texts[0] is not None),
        share=share,
    )


def _targets(r: Relevance, samples: Sequence[Sample]) -> list[str]:
    """What is explained, in words: the samples' words where they are alike, else the target's own."""
    words = zip(*([panel.target for panel in sample.panels] for sample in samples), strict=True)
    return [
        each[0] if len(set(each)) == 1 else str(single.target) for each, single in zip(words, r.split(), strict=True)
    ]
