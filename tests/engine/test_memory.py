"""Nothing of a forward pass outlives its result."""

from __future__ import annotations

import gc
import weakref

import pytest

import lrp
from lrp.engine.run import Run
from tests.cases.networks import CASES
from tests.engine.checks import PRESETS


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
    gc.collect()
    gc.disable()
    try:
        r = lrp.explain(model, x, composite=PRESETS[preset](), ledger=level, keep="all")
        assert runs
        assert [run() for run in runs] == [None] * len(runs)
        assert r.layers
    finally:
        gc.enable()
