"""How a result was made: versions, composite, target, and the lines that make it again."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import torch

import lrp
from lrp import presets
from lrp.composite import Composite
from lrp.relevance import Relevance
from lrp.targets import Several

__all__ = ["facts", "lines"]


def facts(r: Relevance) -> dict[str, str]:
    """Return what was used, by name."""
    why = f": {r.composite.why}" if r.composite.why else ""
    return {
        "composite": f"{r.composite.name}{why}",
        "target": "; ".join(str(single.target) for single in r.split()),
        "numbers": f"{str(r.explained.dtype).removeprefix('torch.')} on {r.explained.device.type}",
        "versions": f"lrp {lrp.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def lines(r: Relevance, text: bool) -> str:
    """Return Python lines that make such a page again, as far as the result knows them."""
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
