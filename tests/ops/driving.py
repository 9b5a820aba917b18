"""Drives one op call: a function of a tensor, a multiplier that arrives at its output, and the books afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

import lrp
from tests.cases.networks import signed
from tests.rules.twins import Dense, Shared, share

TOLERANCE = 1e-12


def multiplier_for(output: Tensor, seed: int = 77) -> Tensor:
    """Random signed multipliers with some zeros, shaped like an output."""
    return signed(*output.shape, seed=seed)


def weighted(output: Tensor, m: Tensor) -> Tensor:
    """One number per sample through which the multiplier `m` arrives at the output."""
    return (output * m).reshape(output.shape[0] if output.dim() else 1, -1).sum(1)


def drive(
    function: Callable[..., Tensor],
    inputs: Any,
    m: Tensor,
    entries: Sequence[tuple[Any, lrp.rules.Rule]] | lrp.Composite = (),
    *,
    ledger: Any = "sinks",
) -> lrp.Relevance:
    """Relevance of the inputs where the multiplier `m` arrives at the function's output."""
    composite = entries if isinstance(entries, lrp.Composite) else lrp.Composite(entries)
    with warnings.catch_warnings():
        # random multipliers cancel: that a map is much larger than its sum is no news here
        warnings.filterwarnings("ignore", ".*the map may be noise", lrp.LRPWarning)
        return lrp.explain(function, inputs, target=lambda y: weighted(y, m), composite=composite, ledger=ledger)


def twin_of(rule: lrp.rules.Rule, op: Dense, x: Tensor, m: Tensor) -> Shared:
    """What the slow twin of a rule makes of the multipliers `m` at the outputs of `op`."""
    parameters = {field.name: getattr(rule, field.name) for field in fields(rule)}
    return share(
        type(rule).__name__, op, x, m, **{name: value for name, value in parameters.items() if value is not False}
    )


def assert_kept_as_the_twin(ours: lrp.Relevance, truth: Shared) -> None:
    """The ledger's rows, by kind, are the slow twin's; a folded shift is the twin's bias."""
    assert ours.ledger is not None
    kinds = {kind: float(amount) for kind, amount in ours.ledger.by_kind().items()}
    kinds["bias"] = kinds.pop("shift", 0.0) + kinds.get("bias", 0.0)
    scale = float(ours.ledger.scale)
    for kind in {*kinds, *truth.kept}:
        assert abs(kinds.get(kind, 0.0) - truth.kept.get(kind, 0.0)) <= TOLERANCE * scale, kind


def kept(relevance: lrp.Relevance, *kinds: str) -> float:
    """What rows of these kinds add up to."""
    assert relevance.ledger is not None
    return sum(float(row.amount) for row in relevance.ledger.rows if row.kind in kinds)


def assert_same_map(ours: Tensor, truth: Tensor, tolerance: float = TOLERANCE) -> None:
    """Equal up to `tolerance` of the true map's maximum."""
    assert ours.shape == truth.shape
    assert float((ours - truth).abs().max()) <= tolerance * float(truth.abs().max())


def assert_books_balance(relevance: lrp.Relevance) -> None:
    """No residual, and at level calls nothing lost in any op call."""
    books = relevance.ledger
    assert books is not None
    scale = float(books.scale)
    assert abs(float(books.residual)) <= TOLERANCE * scale
    for call, lost in (books.lost or {}).items():
        assert float(lost.abs().max()) <= TOLERANCE * max(scale, 1e-300), call


def assert_bit_equal(ours: Any, theirs: Any) -> None:
    """The forward pass was not changed in a single bit (NaN, where both have it, aside)."""
    assert torch.equal(torch.as_tensor(ours), torch.as_tensor(theirs))
