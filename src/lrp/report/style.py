"""The page's template, its style and script, and the policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lrp.extras import imported
from lrp.report.views import SHADES
from lrp.report.words import number
from lrp.viz.colors import colors, letters

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["policy", "script", "style", "template"]

FOLDER = Path(__file__).parent


def template() -> Template:
    """Return the page's template, which escapes whatever it is given but the style and the script.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    jinja2 = imported("jinja2", "report", "a report needs a package", "jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment.get_template("page.html")


def style() -> str:
    """Return the page's CSS."""
    return (FOLDER / "page.css").read_text("utf-8") + _shades()


def script() -> str:
    """Return the page's JavaScript."""
    return (FOLDER / "page.js").read_text("utf-8")


def policy(style: str, script: str) -> str:
    """Return the content security policy: the page's own style and script, by their hashes, and pictures as data."""
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    return "default-src 'none'; img-src data:; style-src 'sha256-{}'; script-src 'sha256-{}'".format(*hashes)


def _shades() -> str:
    """The colours of tokens as classes, each with black or white letters, whichever can be read on it; the legend."""
    rules, shades = [], np.round(colors(np.linspace(-1, 1, 2 * SHADES + 1))).astype(int)
    for shade, color in enumerate(shades, start=-SHADES):
        rules.append(f".shade{shade} {{ background: rgb{tuple(color.tolist())}; color: {letters(color)}; }}")
    steps = ", ".join(f"rgb{tuple(color.tolist())}" for color in shades[:: SHADES // 5])
    return "\n".join(["", *rules, f".colors {{ background: linear-gradient(to right, {steps}); }}", ""])
