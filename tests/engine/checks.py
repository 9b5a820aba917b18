"""What the engine's tests share: presets, seeded tensors, and comparisons of two explanations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import lrp
from lrp import presets

Model = Callable[..., Any]

PRESETS: dict[str, Callable[[], lrp.Composite]] = {
    "zero": presets.zero,
    "epsilon": presets.epsilon,
    "epsilon_plus": presets.epsilon_plus,
    "epsilon_plus_flat": presets.epsilon_plus_flat,
    "epsilon_gamma": presets.epsilon_gamma,
}

each_preset = pytest.mark.parametrize("preset", PRESETS)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Seeded standard normal numbers in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_same(ours: Tensor, truth: Tensor, tolerance: float = 1e-12) -> None:
    """Equal to a share of the largest number."""
    assert ours.shape == truth.shape
    largest = truth.abs().max()
    assert largest > 0, "a comparison with nothing but zeros says nothing"
    apart = float((ours - truth).abs().max() / largest)
    assert apart <= tolerance, f"{apart:.2g} of the largest number apart"


def assert_balanced(r: lrp.Relevance, tolerance: float = 1e-12) -> None:
    """The books balance as a whole."""
    assert r.ledger is not None
    share = float(r.ledger.residual.abs() / r.ledger.scale)
    assert share <= tolerance, f"residual of {share:.2g} of the scale"


def assert_blameless(r: lrp.Relevance, tolerance: float = 1e-12) -> None:
    """At ledger level "calls": no op call loses relevance."""
    assert r.ledger is not None
    assert r.ledger.worst is not None
    name, lost = r.ledger.worst
    share = float(lost.abs() / r.ledger.scale)
    assert share <= tolerance, f"{name} lost {share:.2g} of the scale"


def assert_same_explanation(given: Model, clean: Model, x: Tensor, preset: str, **options: Any) -> None:
    """Two spellings of one model: equal outputs, equal maps, and both books balance."""
    ours = lrp.explain(given, x, composite=PRESETS[preset](), **options)
    truth = lrp.explain(clean, x, composite=PRESETS[preset](), **options)
    assert_same(ours.output, truth.output)
    assert_same(ours.input, truth.input)
    assert_balanced(ours)
    assert_balanced(truth)
