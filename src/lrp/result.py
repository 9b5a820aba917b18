"""From a forward pass to a `Relevance`: one backward pass, the books, and what is worth a warning."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lrp.engine.calls import OpCall, Probe
from lrp.engine.differences import reference_of
from lrp.engine.propagate import Measured, prepare, propagate, total
from lrp.engine.run import Run
from lrp.engine.softmax import BY_HAND, MISSED, PART
from lrp.engine.structure import map_tensors, tensors_in
from lrp.engine.uncompiled import compiled
from lrp.errors import CompositeError, DetachedError, LRPWarning, ModelError
from lrp.inputs import Inputs
from lrp.ledger import Ledger
from lrp.plan import Plan
from lrp.relevance import Relevance
from lrp.rules.passing import AsConstant
from lrp.targets import Several, Start, Target

__all__ = ["Forward", "finish"]

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 2e-2}
"""Residuals above this share of the ledger's scale are worth a warning, by dtype; the coarsest one met counts."""
LARGE = 0.1
"""What softmax keeps is worth a note above this share of the explained output."""


@dataclass(frozen=True)
class Forward:
    """A finished forward pass.

    Args:
        run: its records.
        inputs: what was handed in.
        output: what the model returned.
        start: the explained output, and the class per sample.
        target: where relevance starts.
        said: notes on where relevance starts.
        kept: (module path, side, how many-th call, probes) in order of execution.
        reduce: the reduction the user asked for at a path.
        modules: all module paths.
        less_reference: a reference output was taken off what is explained.
    """

    run: Run
    inputs: Inputs
    output: Any
    start: Start
    target: Target | Several
    said: Sequence[str]
    kept: Sequence[tuple[str, str, int, Any]]
    reduce: Callable[[str, Any], Any]
    modules: Sequence[str]
    less_reference: bool = False

    @property
    def value(self) -> Tensor:
        """The explained output without its graph; with a reference input, its difference to that of the reference."""
        explained = self.start.explained
        detached = explained.detach()
        return detached - reference_of(self.run, explained) if self.run.with_reference else detached


def finish(
    forward: Forward,
    again: Callable[[], Forward],
    *,
    retain: bool = False,
    beyond: Set[str] = frozenset(),
) -> Relevance:
    """Propagate, and build the result.

    Args:
        forward: the forward pass.
        again: gives the forward pass once more, for books by sample.
        retain: keep the graph for more.
        beyond: autograd nodes that may lie behind what was seen.
    """
    run, explained = forward.run, forward.start.explained
    _refuse_cut_off(forward)
    _refuse_unmatched(run)
    on_the_way = prepare(run, explained, beyond)
    probes = [probe for _, _, _, structure in forward.kept for probe in tensors_in(structure, leaf=Probe)]
    everything = torch.ones_like(forward.start.parts[0])
    measured = propagate(run, explained, everything, on_the_way, probes, retain=retain)
    dtypes = {tensor.dtype for tensor in (explained, *run.leaves)} | {c.dtype for c in on_the_way if c.dtype}
    if torch.float16 in dtypes:
        _refuse_overflow(measured.sources)
    ledger = None
    if run.books:
        value = forward.value
        ledger = _ledger(measured, value, lambda: _by_sample(again, value, beyond))
    warned: list[str] = []
    if ledger is not None:
        tolerance = max(TOLERANCE.get(dtype.to_real(), 1e-4) for dtype in dtypes)
        warned = _warnings_of_each(ledger, tolerance, measured.cut, forward.target)
    for message in warned:
        warnings.warn(message, LRPWarning, stacklevel=4)
    found = dict(zip(map(id, probes), measured.probes, strict=True))
    layers = _layers(forward, "out", found)
    layer_inputs = {path: r for path, r in _layers(forward, "in", found).items() if path in layers}
    return Relevance(
        input=forward.inputs.with_relevance(run.sources, measured.sources),
        output=map_tensors(lambda t: t.detach(), forward.output),
        explained=forward.value,
        target=forward.target,
        indices=forward.start.indices,
        composite=run.composite,
        layers=layers,
        layer_inputs=layer_inputs,
        plan=Plan.of(_planned(run, on_the_way)),
        ledger=ledger,
        notes=(*_notes(forward), *_note_of_positions(run, measured), *_note_of_attention(ledger, on_the_way), *warned),
        modules=forward.modules,
        values=forward.inputs.values(),
        positions={name: r.sum(-1) for name, r in measured.positions.items()},
    )


def _planned(run: Run, on_the_way: Sequence[OpCall]) -> list[OpCall]:
    """The calls of the plan: those on the way, and those whose result is not because a rule says so."""
    constant = [call for call in run.calls if isinstance(call.rule, AsConstant)]
    return sorted({id(call): call for call in (*on_the_way, *constant)}.values(), key=lambda call: call.number)


def _layers(forward: Forward, side: str, found: dict[int, Tensor | None]) -> dict[str, Any]:
    """Relevance by module path, output to input; the calls of a module used several times are told apart."""
    rows = [row for row in forward.kept if row[1] == side]
    times = Counter(path for path, _, _, _ in rows)
    layers = {}
    for path, _, use, structure in reversed(rows):
        relevance = _placed(structure, found)
        if relevance is not None:
            name = f"{path}#{use}" if times[path] > 1 else path
            layers[name] = _reduced(forward, path, relevance)
    return layers


def _reduced(forward: Forward, path: str, relevance: Any) -> Any:
    """The relevance under the user's reduction, which knows one target at a time."""
    if forward.start.explained.dim() == 1:
        return forward.reduce(path, relevance)

    def of(k: int) -> Any:
        return map_tensors(lambda t: t[k], relevance)

    each = [forward.reduce(path, of(k)) for k in range(len(forward.start.parts))]
    flat = [iter(tensors_in(reduced)) for reduced in each]
    return map_tensors(lambda _: torch.stack([next(tensors) for tensors in flat]), each[0])


def _placed(structure: Any, found: dict[int, Tensor | None]) -> Any:
    """The structure with relevance in the place of probes; None where none of them is on the way,
    or relevance goes around one of them.
    """
    if any(probe.passed_by for probe in tensors_in(structure, leaf=Probe)):
        return None
    placed = map_tensors(lambda probe: found[id(probe)], structure, leaf=Probe)
    return placed if tensors_in(placed) else None


def _ledger(measured: Measured, explained: Tensor, by_sample: Callable[[], Ledger] | None) -> Ledger:
    wide = explained.to(torch.promote_types(explained.dtype, torch.float32))
    sources = [r for r in (*measured.sources, *measured.positions.values()) if r is not None]
    zero = torch.zeros_like(wide.sum(-1))
    several = explained.dim() == 2
    reached = sum((total(r, several) for r in sources), zero)
    magnitude = sum((total(r.abs(), several) for r in sources), zero)
    ledger = Ledger(wide.sum(-1), reached, magnitude, wide.abs().sum(-1), tuple(measured.rows), measured.lost)
    if by_sample is not None and explained.shape[-1] == 1:
        return replace(ledger, _by_sample=lambda: _stacked([ledger]))
    return replace(ledger, _by_sample=by_sample)


def _by_sample(again: Callable[[], Forward], expected: Tensor, beyond: Set[str]) -> Ledger:
    """One backward pass per sample."""
    with torch.inference_mode(False):
        forward = again()
        explained = forward.start.explained
        if not _same(forward.value, expected):
            raise ModelError(
                "the model or its input has changed since it was explained, so its books cannot be opened again",
                where="ledger.by_sample()",
                cure="explain again",
            )
        on_the_way = prepare(forward.run, explained, beyond)
        ledgers = []
        for sample in range(explained.shape[-1]):
            seed = torch.zeros_like(forward.start.parts[0])
            seed[sample] = 1
            measured = propagate(forward.run, explained, seed, on_the_way, [], retain=True)
            ledgers.append(_ledger(measured, expected * seed, None))
        return _stacked(ledgers)


def _same(value: Tensor, expected: Tensor) -> bool:
    """Equal but for what kernels that add in another order each time leave: a GPU has such ones."""
    apart, largest = (value - expected).abs().max(), expected.abs().max()
    return bool(apart <= torch.finfo(expected.dtype).eps ** 0.5 * largest)


def _stacked(ledgers: Sequence[Ledger]) -> Ledger:
    def stack(amounts: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(amounts), -1)

    rows = [
        type(same[0])(same[0].call, same[0].where, same[0].kind, stack([row.amount for row in same]))
        for same in zip(*(ledger.rows for ledger in ledgers), strict=True)
    ]
    lost = ledgers[0].lost
    return Ledger(
        stack([ledger.explained for ledger in ledgers]),
        stack([ledger.sources for ledger in ledgers]),
        stack([ledger.magnitude for ledger in ledgers]),
        stack([ledger.size for ledger in ledgers]),
        tuple(rows),
        None if lost is None else {name: stack([(each.lost or {})[name] for each in ledgers]) for name in lost},
    )


def _refuse_cut_off(forward: Forward) -> None:
    """Nothing on the way from the target reaches a source."""
    run = forward.run
    cut_off = [k for k, part in enumerate(forward.start.parts) if not part.requires_grad or run.value(part) is None]
    if not cut_off:
        return
    if not run.sources:
        raise forward.inputs.no_source()
    lost = run.detached_from([forward.start.parts[cut_off[0]], forward.output])
    escapes = "; ".join(f"{e.how} in {e.path or '(model)'}" for e in run.escapes[:3])
    constants = "; ".join(f"rules.{c.rule} on {c.name}" for c in run.calls if isinstance(c.rule, AsConstant))
    cure = "run that part without torch.no_grad(), .detach() and .data"
    if lost is not None and not lost.how.startswith((".", "torch.no_grad()")):
        cure = "torch has no derivative there; a quantised model is explained as it was before it was quantised"
    elif lost is None and not escapes:
        cure = "check that the target depends on the input"
    raise DetachedError(
        "the explained output does not depend on any source through the graph"
        + (f" (target {cut_off[0]})" if isinstance(forward.target, Several) else ""),
        where=(lost.path or "(model)") if lost is not None else "(target)",
        seen=f"data that left the graph by {lost.how}"
        if lost is not None
        else escapes or constants or "an output of constants alone",
        cure=cure,
    )


def _refuse_unmatched(run: Run) -> None:
    """An entry of the user's own composite that matched no op call."""
    if not run.composite.strict:
        return
    for number, (selector, rule) in enumerate(run.composite.entries):
        if number not in run.matched:
            families = sorted({call.family for call in run.calls if call.family})
            fitting = ", ".join(filter(rule.fits, families)) or "none of these"
            raise CompositeError(
                f"the entry ({selector}, {rule}) matched no op call",
                where=f"composite {run.composite.name!r}, entry {number}",
                seen=f"op calls of {', '.join(families)}; the rule is for {fitting}",
                cure="lrp.Composite([...], strict=False), or leave the entry out; str(r.plan) lists the op calls",
            )


def _notes(forward: Forward) -> list[str]:
    notes = [*forward.said]
    if forward.less_reference:
        notes.append("the explained value is the output less the reference output")
    if forward.run.with_reference:
        notes.append("the explained value is the output less that of the reference input")
    model = forward.run.modules.model
    if model is not None and compiled(model.modules()):
        notes.append("compiled modules ran as the Python they were compiled from")
    missed = dict.fromkeys(call.path or "(model)" for call in forward.run.calls if call.note == MISSED)
    notes += [f"{path} {MISSED}" for path in missed]
    for escape in forward.run.escapes:
        notes.append(f"{escape.how} in {escape.path or '(model)'} took values out of the graph")
    return notes


def _note_of_positions(run: Run, measured: Measured) -> list[str]:
    """Where positional embeddings are to be sources, that none was met."""
    if run.positions is None or measured.positions:
        return []
    return ["no positional embedding was met: nothing that the model holds is added to tokens, one vector for each"]


def _note_of_attention(ledger: Ledger | None, calls: Sequence[OpCall]) -> list[str]:
    """What to know where the softmax of attention keeps much. One behind all attention is no part of it."""
    weighing = [call.number for call in calls if call.attention]
    weighed = {call.name: call for call in calls if weighing and call.number <= weighing[-1]}
    rows = [] if ledger is None else [row for row in ledger.rows if row.kind == "softmax" and row.call in weighed]
    if ledger is None or not rows:
        return []
    by_hand = {row.where for row in rows if weighed[row.call].note in (BY_HAND, PART)}
    kept: dict[tuple[str, str], Tensor] = {}
    for row in rows:  # what the parts of one that was written by hand keep cancels in part
        key = row.where, "" if row.where in by_hand else row.call
        kept[key] = kept[key] + row.amount if key in kept else row.amount
    share = float((torch.stack([amount.abs() for amount in kept.values()]).sum(0) / ledger.size).max())
    if not LARGE <= share < math.inf:
        return []
    return [f"softmax keeps {share:.0%} of the output: AttnLRP does not conserve, by design; presets.cp_lrp() does"]


def _refuse_overflow(sources: Sequence[Tensor | None]) -> None:
    """Relevance beyond the largest number of float16, 65504, is none."""
    if not all(bool(torch.isfinite(relevance).all()) for relevance in sources if relevance is not None):
        raise ModelError(
            "relevance per unit of activation went beyond the largest number of float16",
            seen="relevance that is not finite",
            cure="bfloat16 or float32: model.bfloat16(), or model.float(), with inputs to match",
        )


def _warnings_of_each(ledger: Ledger, tolerance: float, cut: Tensor | None, target: Target | Several) -> list[str]:
    """What a reader of the numbers must know, target by target."""
    if not isinstance(target, Several):
        return _warnings(ledger, tolerance, 0.0 if cut is None else float(cut))
    found = []
    for k, single in enumerate(ledger.split()):
        which = f"target {k} ({target.targets[k]}): "
        found += _warnings(single, tolerance, 0.0 if cut is None else float(cut[k]), which)
    return found


def _warnings(ledger: Ledger, tolerance: float, cut: float, which: str = "") -> list[str]:
    scale, residual, size = float(ledger.scale), float(ledger.residual.abs()), float(ledger.size)
    where = ", ".join(sorted({row.where or "(model)" for row in ledger.rows if row.kind == "detached"}))
    if cut > 0.5 * (cut + float(ledger.magnitude)):
        raise DetachedError(
            f"{which}the larger part of the relevance goes to data that left the graph",
            where=where,
            seen=f"{cut:.4g} to what was detached, {float(ledger.magnitude):.4g} to the sources (absolute sums)",
            cure="run that part without torch.no_grad(), .detach() and .data",
        )
    messages = []
    if cut > 0.01 * size:
        messages.append(f"{cut / size:.1%} of the explained output went to data that left the graph in {where}")
    if not residual <= tolerance * scale:
        messages.append(
            f'the books do not balance: {residual:.3g} of {scale:.3g} is missing; ledger="calls" names the op call'
        )
    if scale > 0 and float(ledger.amplification) > 100:
        messages.append(
            f"the sources' relevance is {float(ledger.amplification):.3g} times the explained output in absolute size; "
            "the map may be noise"
        )
    return [which + message for message in messages]
