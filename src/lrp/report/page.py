"""One self-contained page about a result."""

from __future__ import annotations

import base64
import hashlib
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lrp
from lrp import presets
from lrp.composite import Composite
from lrp.errors import InputError, MissingExtraError
from lrp.relevance import Relevance
from lrp.report import books
from lrp.report.grids import palette
from lrp.report.panels import samples_of
from lrp.report.views import SHADES
from lrp.report.words import exact, number, share, size, without_folders
from lrp.targets import Several
from lrp.text import TextRelevance
from lrp.viz.colors import colors
from lrp.viz.heatmap import PERCENTILE
from lrp.writing import write_whole

__all__ = ["page", "write"]

FOLDER = Path(__file__).parent


def write(result: Relevance | TextRelevance, path: str | PathLike[str], **options: Any) -> None:
    """Write the page of `page` to a file, whole or not at all.

    Raises:
        InputError: the file name does not end in .html or .htm, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError("a report is saved as .html", seen=path.name, cure='r.report("relevance.html")')
    write_whole(path, page(result, **options).encode())


def page(
    result: Relevance | TextRelevance,
    *,
    picture: Any = None,
    names: Any = None,
    labels: Sequence[str] | None = None,
    command: str | Sequence[str] | None = None,
    title: str | None = None,
) -> str:
    """Return the HTML of a page that shows a result; `Relevance.report` says what the arguments are.

    Raises:
        MissingExtraError: Jinja2 is not installed.
        InputError: names or pictures that do not fit.
    """
    try:
        import jinja2
    except ImportError as error:
        cure = 'pip install "lrp[report]"'
        raise MissingExtraError("a report needs a package", where="jinja2", seen=str(error), cure=cure) from error
    from markupsafe import Markup

    text = result if isinstance(result, TextRelevance) else None
    r = result.relevance if isinstance(result, TextRelevance) else result
    names = [token.text for token in text.tokens] if text and names is None else names
    labels, singles = labels or (), r.split()
    samples = samples_of(r, picture=picture, names=names, labels=labels, text=text)
    words = zip(*([panel.target for panel in sample.panels] for sample in samples), strict=True)
    targets = [
        each[0] if len(set(each)) == 1 else str(single.target) for each, single in zip(words, singles, strict=True)
    ]
    style = (FOLDER / "page.css").read_text("utf-8") + _shades()
    script = (FOLDER / "page.js").read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(exact=exact, number=number, size=size)
    return environment.get_template("page.html").render(
        title=without_folders(
            title or f"Relevance for {targets[0] if len(targets) == 1 else f'{len(targets)} targets'}"
        ),
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        palette=base64.b64encode(palette()).decode(),
        percentile=PERCENTILE,
        samples=samples,
        count=r.explained.shape[-1],
        targets=targets,
        layers=[view.name for view in samples[0].panels[0].layers],
        notes=[without_folders(note).rstrip(".") for note in r.notes],
        books=[(books.ledger(single), books.kept(single), books.flow(single)) for single in singles],
        cautions=[_caution(single) for single in singles],
        plan=books.plan(r.plan),
        identical=r.plan.identical_to_gradient,
        composite=r.composite,
        made=_made(r),
        command=without_folders(command) if command else _lines(r, text),
        share=share,
    )


def _policy(style: str, script: str) -> str:
    """Nothing but what stands in the page itself: its style and its script by their hashes, pictures as data."""
    hashes = (base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script))
    return "default-src 'none'; img-src data:; style-src 'sha256-{}'; script-src 'sha256-{}'".format(*hashes)


def _shades() -> str:
    """The colours of tokens as classes, each with black or white letters, whichever can be read on it; the legend."""
    rules, shades = [], np.round(colors(np.linspace(-1, 1, 2 * SHADES + 1))).astype(int)
    for shade, color in enumerate(shades, start=-SHADES):
        linear = np.where(color <= 10, color / 3294.6, ((color / 255 + 0.055) / 1.055) ** 2.4)  # sRGB
        luminance = float(linear @ [0.2126, 0.7152, 0.0722])
        letters = "#000" if luminance > 0.179 else "#fff"
        rules.append(f".shade{shade} {{ background: rgb{tuple(color.tolist())}; color: {letters}; }}")
    steps = ", ".join(f"rgb{tuple(color.tolist())}" for color in shades[:: SHADES // 5])
    return "\n".join(["", *rules, f".colors {{ background: linear-gradient(to right, {steps}); }}", ""])


def _caution(r: Relevance) -> str:
    """What a reader of the map must know."""
    if r.ledger is None:
        return "no ledger was kept, so nothing says whether the numbers add up"
    amplification = float(r.ledger.amplification.sum())
    if amplification > 100:
        return (
            f"the inputs' relevance is {amplification:.3g} times the explained output in absolute size: "
            "large amounts of both signs cancel, and the map may be noise"
        )
    return ""


def _made(r: Relevance) -> dict[str, str]:
    why = f": {r.composite.why}" if r.composite.why else ""
    return {
        "composite": f"{r.composite.name}{why}",
        "target": "; ".join(str(single.target) for single in r.split()),
        "numbers": f"{str(r.explained.dtype).removeprefix('torch.')} on {r.explained.device.type}",
        "versions": f"lrp {lrp.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def _lines(r: Relevance, text: TextRelevance | None) -> str:
    """Python lines that make such a page again, as far as the result knows them."""
    call = "explain_text(model, tokenizer, text" if text else "explain(model, inputs"
    targets = r.target.targets if isinstance(r.target, Several) else [r.target]
    if text or any(isinstance(target, str | tuple) or "<" in repr(target) for target in targets):
        call += ", target=..."  # the result knows it in words alone
    elif str(r.target) != "top class":
        words = ", ".join(repr(target) for target in targets)
        call += f", target=Several({words})" if len(targets) > 1 else f", target={words}"
    if "(auto)" not in r.composite.why:
        call += f", composite={_composite(r.composite)}"
    if r.layers:
        call += f", keep={list(r.layers)!r}"
    return f'import lrp\nfrom lrp.targets import *\n\nr = lrp.{call})\nr.report("relevance.html")'


def _composite(composite: Composite) -> str:
    """A composite as code: the preset of its name where it is that, with the values it has by default."""

    def words(entries: Iterable[tuple[Any, Any]]) -> list[tuple[str, str]]:
        return [(str(selector), str(rule)) for selector, rule in entries]

    name = composite.name
    if name in presets.__all__ and words(getattr(presets, name)().entries) == words(composite.entries):
        return f"lrp.presets.{name}()"
    return f"lrp.Composite([...], name={name!r})"
