"""Compiled code is explained as the Python it was compiled from: same numbers, same paths, and it stays compiled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp
from tests.cases.networks import prepare
from tests.engine.checks import normal

X = normal(3, 5, seed=1)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).relu() + x


MODEL = prepare(nn.Sequential(Residual(), nn.Linear(5, 4)), seed=3)
PLAIN = lrp.explain(MODEL, X, keep="all")


def unwrapped(function: Callable[..., Any]) -> Any:
    """Compiled without a compiler: torch traces it, and runs what it has traced."""
    return torch.compile(function, backend="eager")


def in_place(at: str) -> nn.Module:
    model = deepcopy(MODEL)
    model.get_submodule(at).compile(backend="eager")
    return model


COMPILED: dict[str, Callable[[], Any]] = {
    "model": lambda: unwrapped(MODEL),
    "layer": lambda: nn.Sequential(unwrapped(MODEL[0]), MODEL[1]),
    "both": lambda: unwrapped(nn.Sequential(unwrapped(MODEL[0]), MODEL[1])),
    "model in place": lambda: in_place(""),
    "layer in place": lambda: in_place("0"),
}


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
@pytest.mark.parametrize("what", COMPILED)
def test_a_compiled_module_is_its_original(what: str, used: bool):
    model = COMPILED[what]()
    if used:
        model(X)
    r = lrp.explain(model, X, keep="all")
    assert torch.equal(r.input, PLAIN.input)
    assert list(r.layers) == list(PLAIN.layers)
    assert [row.path for row in r.plan] == [row.path for row in PLAIN.plan]
    assert r.notes == ("compiled modules ran as the Python they were compiled from",)


def test_a_compiled_function_is_its_original():
    assert torch.equal(lrp.explain(unwrapped(lambda x: MODEL(x)), X).input, PLAIN.input)
    with lrp.record(PLAIN.composite) as tape:
        y = unwrapped(MODEL)(tape.source(X)).amax(1)
    assert torch.equal(tape.relevance(y).input, PLAIN.input)


def test_what_was_compiled_stays_so():
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    model = torch.compile(MODEL, backend=backend)
    with ThreadPoolExecutor(2) as pool:
        for r in pool.map(lambda _: lrp.explain(model, X), range(4)):
            assert torch.equal(r.input, PLAIN.input)
    assert graphs == []
    assert torch.equal(model(X), MODEL(X))
    assert len(graphs) == 1
