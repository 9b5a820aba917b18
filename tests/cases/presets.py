"""Every preset, as tests call it: what `lrp.presets` gains is tested without a line here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import lrp
from lrp import presets

__all__ = ["ALL_PRESETS"]

_ARGUMENTS = {"epsilon_gamma_box": {"low": -6.0, "high": 6.0}}
"""Bounds that the inputs of all test networks keep."""

ALL_PRESETS: dict[str, Callable[[], lrp.Composite | None]] = {
    name: partial(getattr(presets, name), **_ARGUMENTS.get(name, {})) for name in presets.__all__ if name != "auto"
}
ALL_PRESETS["auto"] = lambda: None
