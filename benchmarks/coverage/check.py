"""Everything that is asked of one model: see `examine`."""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

import lrp
from benchmarks.coverage.case import Candidate
from benchmarks.coverage.subject import Plain, Subject, difference, large
from benchmarks.coverage.transformers_models import attention_of, with_attention
from benchmarks.coverage.untouched import differences, state
from lrp.engine.structure import tensors_in

__all__ = ["examine"]

LIMITS = {torch.float64: 1e-6, torch.float32: 1e-4}
"""Of the ledger's residual as a share of its scale, and of any other difference there should not be."""

Record = dict[str, Any]


def examine(candidates: Iterator[Candidate]) -> Record:
    """Excluded (the model does not run by itself), explained, wrong (in silence) or failed, and why.

    The first candidate whose own forward and backward pass runs is the one explained, in float64 if it runs in float64.
    """
    reasons: list[str] = []
    try:
        for candidate in candidates:
            for dtype in (torch.float32,) if large(candidate) else (torch.float64, torch.float32):
                name = str(dtype).removeprefix("torch.")
                try:
                    subject = Subject.of(candidate, dtype)
                    plain = subject.run()
                except Exception as error:
                    reasons.append(f"{candidate.how}, {name}: {_first_line(error)}")
                    continue
                return {"dtype": name, "how": candidate.how, "before": reasons[:1], **_explained(subject, plain)}
    except Exception as error:  # of making a candidate
        reasons.append(_first_line(error))
    return {"status": "excluded", "reason": reasons[0]}


def _explained(subject: Subject, plain: Plain) -> Record:
    before = state(subject.model)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            relevance = lrp.explain(subject.model, subject.inputs, target=subject.target)
    except Exception as error:
        return {"status": "failed", **_failure(error)}
    said = {str(w.message) for w in caught if issubclass(w.category, lrp.LRPWarning)}
    limit = LIMITS[subject.dtype]
    whole = list(tensors_in(relevance.input))
    record = {
        "preset": relevance.composite.name,
        "residual": float(relevance.ledger.residual.abs() / relevance.ledger.scale),
        "output": difference([relevance.explained], [plain.value]),
        "mutated": differences(before, state(subject.model)),
        "warnings": sorted({re.sub(r"\d[\d.e+-]*%?", "#", text)[:100] for text in said}),
    }
    del before
    wrong = [name for name in ("residual", "output") if not record[name] <= limit]
    wrong += ["mutated"] if record["mutated"] else []
    wrong += [] if all(bool(torch.isfinite(t).all()) for t in whole) else ["nan"]
    if "residual" in wrong:
        record["lost"] = _lost(subject)

    singles = [subject.sample(0), subject.sample(1)]
    record |= _compared("batch", singles, plain, whole, limit)
    if attention_of(subject.model) == "sdpa" and with_attention(subject.model, "eager"):
        record |= _compared("eager", [subject], plain, whole, limit)
    wrong += [name for name in ("batch", "eager") if record.pop(f"{name}_wrong", False)]
    return {"status": "wrong" if wrong else "explained", "wrong": wrong, **record}


def _compared(name: str, subjects: list[Subject], plain: Plain, whole: list[Tensor], limit: float) -> Record:
    """The relevance of one subject, or of two samples put together, beside that of the whole batch.

    It may differ by more where the model's own numbers do: some models round to float32 inside.
    """
    try:
        alone = [subject.run() for subject in subjects]
    except Exception as error:  # of the model itself
        return {name: _first_line(error)}
    try:
        explained = [subject.explain() for subject in subjects]
    except Exception as error:
        return {name: _first_line(error), f"{name}_wrong": True}
    tensors = zip(*(tensors_in(relevance.input) for relevance, _ in explained), strict=True)
    found = difference([torch.cat(of_samples) for of_samples in tensors], whole)
    own = difference([torch.cat([one.value for one in alone])], [plain.value])
    times = round(explained[-1][1] / max(alone[-1].seconds, 1e-6), 2)
    return {name: found, f"{name}_wrong": not found <= limit + 100 * own, f"{name}_times": times}


def _lost(subject: Subject) -> str:
    """The three op calls whose books miss most."""
    try:
        relevance, _ = subject.explain(ledger="calls")
    except Exception as error:
        return _first_line(error)
    lost = sorted(relevance.ledger.lost.items(), key=lambda item: -float(item[1].abs()))[:3]
    return "; ".join(f"{name}: {float(amount):.3g}" for name, amount in lost)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:240] if lines else ''}"


def _failure(error: Exception) -> Record:
    """What `lrp` says of it; and where something fell that it did not mean to raise."""
    meant = isinstance(error, lrp.LRPError)
    origin = error.__cause__ if meant else error
    found = {"error": _first_line(error), "message": str(error)[:900] if meant else ""}
    if origin is not None:
        frames = traceback.extract_tb(origin.__traceback__)[-7:]
        found["cause"] = _first_line(origin)
        found["frames"] = [f"{'/'.join(f.filename.split('/')[-3:])}:{f.lineno} {f.line}" for f in frames]
    return found
