"""`reference=` against captum's stored DeepLift maps, written by `make peers` (write_golden.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

import lrp
from lrp import on, rules
from tests.agreement.compared import apart
from tests.agreement.deeplift import DIFFERENCES, TARGET, Difference

STORED = load_file(Path(__file__).parent / "golden" / "deeplift.safetensors")


def native_pooling() -> lrp.Composite:
    """The composite that names the gradient of max pooling at the input."""
    entries = [(on.op(pooling), rules.Zero()) for pooling in (F.max_pool1d, F.max_pool2d)]
    return lrp.Composite(entries, strict=False)


@pytest.mark.parametrize("case", DIFFERENCES, ids=lambda case: case.name)
def test_reference_equals_captum(case: Difference) -> None:
    composite = None if case.conserves else native_pooling()
    options = {"reference": case.reference_inputs(), "composite": composite, "ledger": False}
    r = lrp.explain(case.build(), case.inputs(), target=TARGET, **options)
    assert apart(r.input, STORED[case.name]) <= 1e-10
    torch.testing.assert_close(r.explained, case.explained(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", DIFFERENCES, ids=lambda case: case.name)
def test_our_pooling_conserves_where_captums_does_not(case: Difference) -> None:
    r = lrp.explain(case.build(), case.inputs(), target=TARGET, reference=case.reference_inputs())
    lost = (r.input.flatten(1).sum(1) - case.explained()).abs().max() / r.input.abs().max()
    assert lost <= 1e-13
    if not case.conserves and case.reference == "random":
        assert apart(r.input, STORED[case.name]) > 0.1


def test_every_stored_map_is_compared() -> None:
    assert STORED.keys() == {case.name for case in DIFFERENCES}
