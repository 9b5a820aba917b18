"""Texts whose tokens are coloured, as HTML or for a terminal."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from lrp.errors import InputError, nearest
from lrp.text import Piece, TextRelevance
from lrp.viz.colors import letters
from lrp.viz.figure import Scale, explained, number, scale_of, shown

__all__ = ["tokens"]

FORMS = ("html", "terminal", "terminal256")
_HATCHED = "background:repeating-linear-gradient(45deg,#fff,#fff 3px,#999 3px,#999 5px)"


def tokens(
    t: TextRelevance,
    form: str = "html",
    *,
    words: bool = False,
    cmap: str = "RdBu_r",
    percentile: float = 100,
    title: str | None = None,
) -> str:
    """Return a text with the ground of each token in the colour of its relevance.

    Args:
        t: what `lrp.explain_text` gives.
        form: `"html"` (escaped, no script: send it, or `IPython.display.HTML` it); `"terminal"` (24-bit colours) or
            `"terminal256"`, to print.
        words: words instead of tokens; special tokens are then left out.
        cmap: as in `image`.
        percentile: the size of relevance that gets the full colour, as a percentile of the tokens'.
        title: words above.

    Raises:
        InputError: there is no such form or colour map, or a percentile outside (0, 100].
    """
    if form not in FORMS:
        raise InputError("there is no such form", where="form", seen=repr(form), cure=nearest(form, FORMS))
    pieces = list(t.words if words else t.tokens)
    scale = scale_of([np.array([piece.relevance for piece in pieces])], percentile, cmap)
    said = [explained(t.relevance, 0, t.target)]
    said.append(shown(sum(piece.relevance for piece in pieces), float(t.relevance.explained[0])))
    caption = " ".join([*said, "Red supports, blue opposes.", scale.words])
    if form == "html":
        return _html(pieces, scale, caption, title)
    coloured = " ".join(_terminal(piece, scale, form == "terminal256") for piece in pieces)
    return "\n".join([*([_printable(title)] if title else []), coloured, _printable(caption)])


def _html(pieces: Sequence[Piece], scale: Scale, said: str, title: str | None) -> str:
    paper, ink = scale.palette.paper, scale.palette.ink
    spans = []
    for piece in pieces:
        ground, black_or_white = _colours(piece.relevance, scale)
        style = f"background:rgb{ground};color:rgb{black_or_white}" if np.isfinite(piece.relevance) else _HATCHED
        text = html.escape(_printable(piece.text))
        value = number(piece.relevance)
        spans.append(f'<span style="{style};padding:.1em .2em;border-radius:.2em" title="{value}">{text}</span>')
    head = f"<strong>{html.escape(title)}</strong>" if title else ""
    return (
        f'<div style="background:{paper};color:{ink};padding:.5em;font-family:sans-serif;line-height:1.9">{head}'
        f'<p style="margin:0">{" ".join(spans)}</p>'
        f'<p style="margin:.5em 0 0;font-size:80%;line-height:1.4">{html.escape(said)}</p></div>'
    )


def _terminal(piece: Piece, scale: Scale, few: bool) -> str:
    text = _printable(piece.text)
    if not np.isfinite(piece.relevance):
        return f"\x1b[7m?{text}?\x1b[0m"
    ground, black_or_white = _colours(piece.relevance, scale)
    codes = [
        f"{layer};5;{_of_256(c)}" if few else f"{layer};2;{c[0]};{c[1]};{c[2]}"
        for layer, c in ((48, ground), (38, black_or_white))
    ]
    return f"\x1b[{codes[0]}m\x1b[{codes[1]}m{text}\x1b[0m"


def _colours(relevance: float, scale: Scale) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ground of a token, and black or white letters, whichever is read more easily on it."""
    ground = np.round(scale.rgba(np.array(relevance))[:3] * 255).astype(int)
    return tuple(ground.tolist()), (0, 0, 0) if letters(ground) == "#000" else (255, 255, 255)


def _of_256(colour: tuple[int, ...]) -> int:
    """The nearest colour in the cube of 6 x 6 x 6 that terminals know."""
    red, green, blue = (int(np.abs(np.array([0, 95, 135, 175, 215, 255]) - level).argmin()) for level in colour)
    return 16 + 36 * red + 6 * green + blue


def _printable(text: str) -> str:
    """Text without characters that would steer a terminal: they are written out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
