"""Nothing of a forward pass outlives its result."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

import lrp
from lrp.engine.run import Run
from tests.cases.networks import CASES
from tests.engine.checks import PRESETS


def _bytes() -> int:
    """The size of all tensors that Python knows of."""
    # by type(): isinstance asks lazy objects of torch for their class, which warns
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("level", ["sinks", "calls", False])
@pytest.mark.parametrize("preset", PRESETS)
def test_forward_pass_is_freed_without_the_garbage_collector(
    preset: str, level: lrp.engine.run.Books, monkeypatch: pytest.MonkeyPatch
):
    runs: list[weakref.ref[Run]] = []
    enter = Run.__enter__

    def noted(run: Run) -> Run:
        runs.append(weakref.ref(run))
        return enter(run)

    monkeypatch.setattr(Run, "__enter__", noted)
    model, x = CASES["vgg_bn"].build(), CASES["vgg_bn"].inputs()
    lrp.explain(model, x, composite=PRESETS[preset](), ledger=level)  # what is made once and kept
    gc.collect()
    gc.disable()
    try:
        before = _bytes()
        lrp.explain(model, x, composite=PRESETS[preset](), ledger=level)
        assert _bytes() == before, "tensors or a graph outlive the result"
        r = lrp.explain(model, x, composite=PRESETS[preset](), ledger=level, keep="all")
        assert runs
        assert [run() for run in runs] == [None] * len(runs)
        assert r.layers
    finally:
        gc.enable()
