"""One backward pass: measures relevance where it was asked for, and the amounts that op calls kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from lrp.engine.calls import POSITION, Entry, OpCall, Probe, edge_of
from lrp.engine.run import Run
from lrp.engine.verify import verify
from lrp.errors import ModelError

__all__ = ["Measured", "Row", "prepare", "propagate", "total"]


GAINS = (4096, 64)
"""Seeds of the backward pass in float16, largest first."""


@dataclass(frozen=True)
class Row:
    """One row of the ledger: what one op call kept.

    Args:
        call: the op call in words.
        where: the module path; of a constant that a module returned the path of that module.
        kind: why it stayed, one of `lrp.ledger.KINDS`.
        amount: how much, a total of the batch of shape `()`, or `(N,)` by sample; with several targets `(K,)`, or
            `(K, N)`.
    """

    call: str
    where: str
    kind: str
    amount: Tensor


@dataclass(frozen=True)
class Measured:
    """What one backward pass gave; with several targets everything has a leading axis K.

    Args:
        sources, probes: relevance at each; None off the way.
        rows: what op calls kept.
        positions: relevance at each positional embedding by its name, `(N, T, D)`.
        lost: at ledger level "calls", what each op call lost.
        cut: the absolute relevance that went to detached data, element by element; None where there is none.
    """

    sources: list[Tensor | None]
    probes: list[Tensor | None]
    rows: list[Row]
    positions: dict[str, Tensor]
    lost: dict[str, Tensor] | None
    cut: Tensor | None = None


def prepare(run: Run, explained: Tensor, beyond: Set[str]) -> list[OpCall]:
    """Check that everything on the way was seen and covered, or is `beyond`; returns the op calls on the way."""
    value = run.value(explained)
    if value is not None and value.readers is not None:
        value.readers.note(False)
    return verify(
        *(edge_of(explained), run.leaves, run.intervals, run.strangers, beyond), relevance_form=run.relevance_form
    )


def propagate(
    run: Run,
    explained: Tensor,
    seed: Tensor,
    on_the_way: Sequence[OpCall],
    probes: Sequence[Probe],
    *,
    retain: bool = False,
) -> Measured:
    """Send relevance from the explained output to the sources.

    Args:
        run: the forward pass.
        explained: `(N,)`, or `(K, N)` for several targets, which are propagated side by side.
        seed: `(N,)`, which samples are propagated: 1 or 0 each.
        on_the_way: the op calls between target and sources.
        probes: where relevance is wanted beside the sources.
        retain: keep the graph for another pass.
    """
    several = explained.dim() == 2
    if run.relevance_form:
        seed = seed * explained.detach()
    measures = _Measures()
    for probe in (*run.sources, *probes):
        measures.want(probe)
    calls = {id(call) for call in on_the_way}
    entries = [entry for entry in run.entries if id(entry.call) in calls]
    measured_calls = on_the_way if run.books == "calls" else []
    for call in measured_calls:
        for probe in (*call.arrived, *call.handed):
            measures.want(probe)
    leaves = [entry.leaf for entry in entries]
    wanted: list[Any] = [*measures.edges.values(), *leaves]
    found = _within_range(explained, wanted, seed, retain, {c.dtype for c in on_the_way} | {explained.dtype})
    kept = found[len(measures.edges) :]
    measures.multipliers = dict(zip(measures.edges, found, strict=False))
    lost = _lost(measured_calls, entries, kept, measures, several) if run.books == "calls" else None
    return Measured(
        [measures.relevance(probe) for probe in run.sources],
        [measures.relevance(probe) for probe in probes],
        _rows(entries, kept, several),
        _positions(entries, kept),
        lost,
        _cut(entries, kept, several),
    )


def _within_range(
    explained: Tensor, wanted: Sequence[Any], seed: Tensor, retain: bool, dtypes: Set[torch.dtype | None]
) -> Sequence[Tensor | None]:
    """The multipliers at `wanted`; on the way through float16 they are larger, as it has nothing below 6e-8.

    What arrives is linear in the seed. A gain under which it goes beyond 65504 somewhere is too large.
    """
    for gain in GAINS if torch.float16 in dtypes else ():
        found = _backward(explained, wanted, seed * gain, retain=True)
        if all(bool(torch.isfinite(m).all()) for m in found if m is not None):
            return [None if m is None else wide(m) / gain for m in found]
    return _backward(explained, wanted, seed, retain)


def _backward(explained: Tensor, wanted: Sequence[Any], seed: Tensor, retain: bool) -> Sequence[Tensor | None]:
    """The multipliers at `wanted`; those of several targets by one batched pass."""
    several = explained.dim() == 2
    if several:
        each = torch.eye(len(explained), dtype=seed.dtype, device=seed.device)
        seed = each.unsqueeze(2) * seed
    try:
        return torch.autograd.grad(
            explained, wanted, seed, retain_graph=retain, allow_unused=True, is_grads_batched=several
        )
    except RuntimeError as error:
        seen = str(error).strip().splitlines()[0]
        if any(word in str(error) for word in ("vmap", "atching rule", "functorch")):
            raise ModelError(
                "a part of the backward pass cannot carry several targets at once",
                where="targets.Several",
                seen=seen,
                cure="explain the targets one at a time: [explainer(inputs, target=t) for t in several.targets]",
            ) from error
        raise ModelError(
            "torch refused the backward pass",
            seen=seen,
            cure="a part that is recomputed (checkpoint), or that torch cannot differentiate in place: call it plainly",
        ) from error


class _Measures:
    """Multipliers by place in the graph; a place that several probes share is asked for once."""

    def __init__(self) -> None:
        self.edges: dict[tuple[int, int], GradientEdge] = {}
        self.multipliers: dict[tuple[int, int], Tensor | None] = {}

    def want(self, probe: Probe) -> None:
        for edge in (probe.edge, probe.slot):
            if edge is not None:
                self.edges[_key(edge)] = edge
        for other in probe.also:
            self.want(other)

    def relevance(self, probe: Probe) -> Tensor | None:
        """`value * multiplier`, plus what input rules deliver there; None off the way."""
        multiplier = self.multipliers.get(_key(probe.edge))
        parts = []
        if multiplier is not None:
            parts.append(wide(multiplier) if probe.held is None else relevance(probe.held.value, multiplier))
        delivered = None if probe.slot is None else self.multipliers.get(_key(probe.slot))
        parts += [] if delivered is None else [wide(delivered)]
        parts += [part for other in probe.also if (part := self.relevance(other)) is not None]
        return sum(parts[1:], parts[0]) if parts else None


def _key(edge: GradientEdge) -> tuple[int, int]:
    return id(edge.node), edge.output_nr


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float32 or wider."""
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))


def relevance(value: Tensor, multiplier: Tensor) -> Tensor:
    """`value * multiplier`, `Re(conj(value) * multiplier)` of complex tensors; 0 where the multiplier is 0."""
    value, multiplier = wide(value), wide(multiplier)
    return torch.where(multiplier == 0, 0, value.conj() * multiplier).real


def total(amounts: Tensor, several: bool) -> Tensor:
    """The sum of all elements, `()`; with several targets of those of each target, `(K,)`."""
    return amounts.reshape(len(amounts), -1).sum(1) if several else amounts.sum()


def _amount(entry: Entry, gradient: Tensor | None, several: bool) -> Tensor | None:
    if gradient is None:
        return None
    return wide(gradient) if entry.held is None else total(relevance(entry.held.value, gradient), several)


def _cut(entries: Sequence[Entry], gradients: Sequence[Tensor | None], several: bool) -> Tensor | None:
    parts = [
        total(relevance(entry.held.value, gradient).abs(), several)
        for entry, gradient in zip(entries, gradients, strict=True)
        if entry.kind == "detached" and entry.held is not None and gradient is not None
    ]
    return sum(parts[1:], parts[0]) if parts else None


def _rows(entries: Sequence[Entry], gradients: Sequence[Tensor | None], several: bool) -> list[Row]:
    amounts: dict[tuple[str, str, str], Tensor] = {}
    for entry, gradient in zip(entries, gradients, strict=True):
        amount = None if entry.kind == POSITION else _amount(entry, gradient, several)
        if amount is not None:
            key = (entry.call.name, entry.where, entry.kind)
            amounts[key] = amounts[key] + amount if key in amounts else amount
    return [Row(*key, amount) for key, amount in amounts.items()]


def _positions(entries: Sequence[Entry], gradients: Sequence[Tensor | None]) -> dict[str, Tensor]:
    """The relevance of each positional embedding; one that is added several times has a number behind its name."""
    found = [
        (entry.where, relevance(entry.held.value, gradient))
        for entry, gradient in zip(entries, gradients, strict=True)
        if entry.kind == POSITION and entry.held is not None and gradient is not None
    ]
    times, uses = Counter(name for name, _ in found), Counter[str]()
    named = {}
    for name, amounts in found:
        named[f"{name}#{uses[name]}" if times[name] > 1 else name] = amounts
        uses[name] += 1
    return named


def _lost(
    calls: Sequence[OpCall],
    entries: Sequence[Entry],
    gradients: Sequence[Tensor | None],
    measures: _Measures,
    several: bool,
) -> dict[str, Tensor]:
    """Per op call: arrived at its outputs - handed to its inputs - kept by formula."""
    kept: dict[int, Tensor] = {}
    for entry, gradient in zip(entries, gradients, strict=True):
        amount = _amount(entry, gradient, several)
        if amount is not None:
            kept[id(entry.call)] = kept.get(id(entry.call), 0) + amount
    lost = {}
    for call in calls:
        if not call.handed:
            continue  # a view hands on each element as it is
        arrived = _measured(call.arrived, measures, several)
        lost[call.name] = arrived - _measured(call.handed, measures, several) - kept.get(id(call), 0)
    return lost


def _measured(probes: Sequence[Probe], measures: _Measures, several: bool) -> Tensor:
    parts = [total(r, several) for probe in probes if (r := measures.relevance(probe)) is not None]
    return sum(parts[1:], parts[0]) if parts else torch.zeros(())
