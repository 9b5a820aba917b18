"""Random composites as data: presets, and lists of (selector, rule) with any rule at any place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

import lrp
from lrp import on, presets, rules

PRESETS: dict[str, Callable[[], lrp.Composite] | None] = {
    "zero": presets.zero,
    "epsilon": presets.epsilon,
    "epsilon_plus": presets.epsilon_plus,
    "epsilon_plus_flat": presets.epsilon_plus_flat,
    "epsilon_gamma_box": lambda: presets.epsilon_gamma_box(-4.0, 4.0),
    "epsilon_alpha2_beta1": presets.epsilon_alpha2_beta1,
    "epsilon_alpha2_beta1_flat": presets.epsilon_alpha2_beta1_flat,
    "excitation_backprop": presets.excitation_backprop,
    "auto": None,
}
SELECTORS: dict[str, Any] = {
    "first": on.first,
    "last": on.last,
    "conv": on.conv,
    "linear": on.linear,
    "linear or conv": on.linear | on.conv,
    "neither first nor last": ~(on.first | on.last),
    "norm": on.norm,
    "sum": on.sum,
    "pool": on.pool,
    "product": on.product,
    "softmax": on.softmax,
    "activation": on.activation,
    "steps.0": "steps.0",
    "steps.1": "steps.1",
    "steps.*": "steps.*",
    "head": "head",
}
INPUT_RULES = (rules.Flat(0.1), rules.WSquare(0.1), rules.Box(-4.0, 4.0, 0.1))
"""Rules that give relevance to inputs that are zero; on hidden calls the run is in relevance form."""
RULES = (
    *(rules.Zero(), rules.Epsilon(0.1), rules.Epsilon(0.2, relative=True), rules.Gamma(0.5, 0.1), rules.ZPlus(0.1)),
    *(rules.AlphaBeta(2, 1, 0.1), rules.Pass(), rules.Gate(), rules.ResidualGamma(), rules.SignalTakesAll()),
    *(rules.Constant(), rules.Taylor()),
)


@dataclass(frozen=True)
class Recipe:
    """A composite as data: a preset by name, or entries of a selector's name and a rule."""

    entries: tuple[tuple[str, lrp.rules.Rule], ...] | str

    def build(self) -> lrp.Composite | None:
        if isinstance(self.entries, str):
            preset = PRESETS[self.entries]
            return preset and preset()
        return lrp.Composite([(SELECTORS[name], rule) for name, rule in self.entries], strict=False)


def recipes(*more: lrp.rules.Rule, passing: bool = True) -> st.SearchStrategy[Recipe]:
    """Presets, and lists of entries with these rules too; `passing=False`: none with `rules.Pass`, which hands
    relevance to units that are zero only in relevance form."""
    chosen = (*(rule for rule in RULES if passing or rule != rules.Pass()), *more)
    entry = st.tuples(st.sampled_from(list(SELECTORS)), st.sampled_from(chosen))
    named = st.sampled_from(list(PRESETS) if passing else ["zero"])
    return st.builds(Recipe, st.one_of(named, st.lists(entry, min_size=1, max_size=4).map(tuple)))
