"""What of a result a picture shows: one input of one sample, and the books of that sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lrp.engine.structure import tensors_in
from lrp.errors import InputError, LayerError
from lrp.ledger import Ledger
from lrp.relevance import Relevance, by_sample, named_inputs

__all__ = ["Part", "books", "evenly", "layers_of", "numbers", "outermost", "part_of", "parts", "single"]

VIEWS = {
    "bars": (0, 1, 2),
    "waterfall": (0, 1, 2),
    "beeswarm": (0, 1, 2),
    "signal": (1, 2),
    "audio": (1, 2),
    "graph": (1, 2),
    "eeg": (2,),
    "image": (2, 3),
    "compare": (2, 3),
    "channels": (3,),
    "volume": (3, 4),
}
"""The numbers of axes of one sample that each view shows."""


@dataclass(frozen=True)
class Part:
    """One input of one sample.

    Args:
        r: the result, of one target.
        name: the input's name.
        sample: which sample.
        relevance: without the axis of samples.
        values: the input itself, likewise; None where the result does not hold it.
    """

    r: Relevance
    name: str
    sample: int
    relevance: Tensor
    values: Tensor | None

    @property
    def explained(self) -> float:
        return float(self.r.explained[self.sample])

    @property
    def sum(self) -> float:
        """The sum of the relevance shown."""
        return float(self.relevance.double().sum())


def single(r: Any, view: str) -> Relevance:
    """The result, if it has one target.

    Raises:
        InputError: it has several.
    """
    if not isinstance(r, Relevance):
        cure = "the result of lrp.explain; of lrp.explain_text its .relevance"
        raise InputError("a picture is made of a result", where=f"viz.{view}", seen=type(r).__name__, cure=cure)
    if r.several:
        seen = f"{len(r.explained)} targets"
        cure = "one of r.split(); or viz.compare(r) for all of them, side by side"
        raise InputError("this picture is of one target", where=f"viz.{view}", seen=seen, cure=cure)
    return r


def numbers(samples: Any, count: int, most: int) -> list[int]:
    """The samples meant: None for the first `most`, one number, or several; negative ones count from the end.

    Raises:
        InputError: there is no such sample.
    """
    if samples is None:
        return list(range(min(count, most)))
    chosen = list(samples) if isinstance(samples, Sequence | range) else [int(samples)]
    wrong = [n for n in chosen if not -count <= n < count]
    if wrong or not chosen:
        cure = f"numbers from 0 to {count - 1}"
        raise InputError("there is no such sample", where="samples", seen=str(wrong or chosen), cure=cure)
    return [n % count for n in chosen]


def parts(r: Relevance, view: str, input: str | None, samples: Sequence[int]) -> list[Part]:
    """The input that a view shows, of each sample.

    Raises:
        InputError: no input has a shape that the view shows, or several have.
    """
    found = named_inputs(r.input)
    values = named_inputs(r.values) if r.values is not None else {}
    count = len(r.explained)
    axes = {name: by_sample(tensor, count).dim() - 1 for name, tensor in found.items()}
    if input is not None and input not in found:
        raise InputError("there is no relevance of such an input", where="input", seen=input, cure=_listed(found))
    fitting = [name for name in ([input] if input else found) if axes[name] in VIEWS[view]]
    if not fitting:
        shapes = "; ".join(f"{name!r}: {tuple(found[name].shape)}" for name in ([input] if input else found))
        fit = [other for other, shown in VIEWS.items() if any(axes[n] in shown for n in ([input] if input else found))]
        cure = "views that do: " + (", ".join(f"viz.{name}" for name in fit) or "none; viz.ledger shows the books")
        raise InputError("the relevance has no shape that this view shows", where=f"viz.{view}", seen=shapes, cure=cure)
    if len(fitting) > 1:
        cure = f"input={fitting[0]!r}"
        raise InputError("several inputs could be shown", where=f"viz.{view}", seen=_listed(fitting), cure=cure)
    name = fitting[0]
    relevance = by_sample(found[name], count).detach().cpu()
    beneath = values.get(name)
    beneath = None if beneath is None else by_sample(beneath, count).detach().cpu()
    if beneath is not None and beneath.shape != relevance.shape:
        beneath = None
    return [Part(r, name, n, relevance[n], None if beneath is None else beneath[n]) for n in samples]


def part_of(r: Relevance, view: str, sample: int, input: str | None) -> Part:
    """The input that a view of one target and one sample shows.

    Raises:
        InputError: several targets, no such sample, no or several inputs that the view could show.
    """
    r = single(r, view)
    return parts(r, view, input, numbers(sample, len(r.explained), 1))[0]


def books(r: Relevance, sample: int | None) -> Ledger | None:
    """The ledger of one sample, amounts of shape `()`; of all where `sample` is None.

    Raises:
        LRPError: the result was loaded, and its ledger holds the totals of several samples.
    """
    if r.ledger is None or sample is None or len(r.explained) == 1:
        return r.ledger
    return r.ledger.by_sample().split()[sample]


def layers_of(r: Relevance, axes: Sequence[int] = ()) -> dict[str, Tensor]:
    """The first tensor of each kept layer, from the input to the output; those with one of these numbers of axes.

    Raises:
        LayerError: no layer was kept.
    """
    if not r.layers:
        raise LayerError("the result holds no layers", cure='explain again with keep="all", or keep=["layer4*"]')
    found = {}
    for name, kept in list(r.layers.items())[::-1]:
        tensors = tensors_in(kept)
        if tensors and (not axes or tensors[0].dim() in axes):
            found[name] = tensors[0].detach().cpu()
    return found


def outermost(names: Sequence[str], most: int) -> list[str]:
    """The modules of the outer levels, as many levels as give no more than `most`; of one level, evenly spaced ones."""
    levels = sorted({name.count(".") for name in names})
    within = [[name for name in names if name.count(".") <= level] for level in levels]
    fitting = [chosen for chosen in within if 1 < len(chosen) <= most]
    return fitting[-1] if fitting else evenly(names, most)


def evenly(names: Sequence[str], most: int) -> list[str]:
    """No more than `most` names, evenly spaced, with the first and the last."""
    count = min(most, len(names))
    return [names[round(i * (len(names) - 1) / max(1, count - 1))] for i in range(count)]


def _listed(names: Any) -> str:
    return "one of " + ", ".join(repr(name) for name in names)
