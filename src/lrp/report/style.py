"""The templates of pages, their style and scripts, and the policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lrp.extras import imported
from lrp.report.views import SHADES
from lrp.viz.colors import colors, letters
from lrp.viz.words import number

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["frame", "template"]

FOLDER = Path(__file__).parent


def template(name: str = "page.html") -> Template:
    """Return a page's template, which escapes whatever it is given but the style and the script.

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
    return environment.get_template(name)


def frame(*scripts: str) -> dict[str, str]:
    """Return the style, the script out of these files, and the content security policy that `frame.html` sets.

    The policy allows this style and this script, by their hashes, and pictures as data.
    """
    style = (FOLDER / "page.css").read_text("utf-8") + _shades()
    script = "\n".join((FOLDER / name).read_text("utf-8") for name in scripts)
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    policy = "default-src 'none'; img-src data:; style-src 'sha256-{}'; script-src 'sha256-{}'".format(*hashes)
    return {"style": style, "script": script, "policy": policy}


def _shades() -> str:
    """The colours of tokens as classes, each with black or white letters, whichever can be read on it; the legend."""
    rules, shades = [], np.round(colors(np.linspace(-1, 1, 2 * SHADES + 1))).astype(int)
    for shade, color in enumerate(shades, start=-SHADES):
        rules.append(f".shade{shade} {{ background: rgb{tuple(color.tolist())}; color: {letters(color)}; }}")
    steps = ", ".join(f"rgb{tuple(color.tolist())}" for color in shades[:: SHADES // 5])
    return "\n".join(["", *rules, f".colors {{ background: linear-gradient(to right, {steps}); }}", ""])
