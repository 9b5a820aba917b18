"""How Sphinx makes these pages: `make docs`."""

from __future__ import annotations

import re
from typing import Any

from lrp import __version__

project = "lrp"
author = "The lrp authors"
release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "lrp"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["print.css"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 180
nb_execution_show_tb = True
nb_merge_streams = True

highlight_language = "text"
default_role = "literal"  # docstrings write code between single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
# Types in signatures: the pages of other projects are not looked up, and what is not public has no page.
nitpick_ignore_regex = [("py:.*", r"(?!lrp\.(presets|rules|targets|errors)\.\w+$).*")]


def literal_blocks(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Let text that docstrings indent, such as a tree or a table, keep its lines."""
    text = "\n".join(lines)
    lines[:] = re.sub(r"\n\n(?=    \S)", "\n\n::\n\n", text).split("\n")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", literal_blocks, priority=400)  # before napoleon
