"""Targets: where relevance starts.

A target picks one number per sample out of what the model returned:

    (N,) and (N, 1)        the value itself, whatever its sign
    (N, C)                 a class: an index, a name, `Class`, `Top`, `Difference`, `LogOdds`
    (N, C, *spatial)       `Region`: a class, summed over a part of the picture
    (N, T, V)              `Token`: an entry of the vocabulary at one position
    a mapping or object    its `logits`; else `At(path, target)`
    several at once        `Several`: one forward and one backward pass, a leading axis in everything

A function of the output that gives `(N,)` is a target too: it runs like the model's last lines, under their rules. The
operations of the targets above belong to the question, not to the model, and are carried out by LRP-0: the map of a
difference is the difference of two maps, whatever the composite.
"""

from __future__ import annotations

from lrp.targets.base import Context, Target
from lrp.targets.classes import Class, Difference, LogOdds, Top
from lrp.targets.parts import Region, Token
from lrp.targets.several import At, Call, Several, Start, as_target, pick

__all__ = [
    "At",
    "Call",
    "Class",
    "Context",
    "Difference",
    "LogOdds",
    "Region",
    "Several",
    "Start",
    "Target",
    "Token",
    "Top",
    "as_target",
    "pick",
]
