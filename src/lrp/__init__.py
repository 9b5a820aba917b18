"""Layer-wise Relevance Propagation for any PyTorch model: which inputs, layers and neurons an output came from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrp import errors, presets, rules, targets
    from lrp.composite import Composite, on
    from lrp.errors import LRPError, LRPWarning
    from lrp.explainer import Explainer, explain
    from lrp.ops.table import register
    from lrp.recording import record
    from lrp.reductions import channels, total
    from lrp.relevance import Relevance
    from lrp.text import explain_text

__version__ = "0.1.0.dev0"

_HOMES = {
    "Composite": "lrp.composite",
    "Explainer": "lrp.explainer",
    "LRPError": "lrp.errors",
    "LRPWarning": "lrp.errors",
    "Relevance": "lrp.relevance",
    "channels": "lrp.reductions",
    "explain": "lrp.explainer",
    "explain_text": "lrp.text",
    "on": "lrp.composite",
    "record": "lrp.recording",
    "register": "lrp.ops.table",
    "total": "lrp.reductions",
}
_MODULES = ("errors", "presets", "rules", "targets")

__all__ = [
    "Composite",
    "Explainer",
    "LRPError",
    "LRPWarning",
    "Relevance",
    "channels",
    "errors",
    "explain",
    "explain_text",
    "on",
    "presets",
    "record",
    "register",
    "rules",
    "targets",
    "total",
]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, and the command line's help does not need it
    if name in _MODULES:
        return import_module(f"lrp.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lrp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
