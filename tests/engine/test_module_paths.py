"""Every op call knows the module it ran in, however the model is built."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import presets
from tests.cases.networks import prepare
from tests.engine.checks import normal

X = normal(2, 4, seed=1)


def paths(model: object, *operations: str) -> list[str]:
    r = lrp.explain(model, X, composite=presets.zero())
    return [row.path for row in r.plan if row.operation in operations]


class Fails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.inner(x)
        raise ValueError("not today")


class Tries(nn.Module):
    """Goes on after a part has failed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Fails(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        try:
            x = self.first(x)
        except ValueError:
            x = F.silu(x)
        return self.second(F.silu(x))


def test_after_an_exception_that_the_model_catches():
    assert paths(prepare(Tries(), seed=1), "silu", "linear") == ["", "", "second"]


def test_a_shared_module_has_its_first_name():
    layer = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": layer, "b": nn.Sequential(layer, nn.ReLU())}).double()
    model.forward = lambda x: model["b"](model["a"](x))
    assert paths(model, "linear", "relu") == ["a", "a", "b.1"]


class MakesModules(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        layer = nn.Linear(4, 4, dtype=x.dtype)
        nn.init.eye_(layer.weight)
        return layer(nn.ReLU()(x))


def test_a_module_made_inside_forward_has_its_parents_path():
    assert paths(nn.Sequential(nn.Identity(), MakesModules()), "linear", "relu") == ["1", "1"]


def test_functional_calls_have_the_path_of_the_module_they_are_in():
    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(x) + torch.tanh(x)

    model = nn.Sequential(nn.Sequential(Inner()), Inner())
    assert paths(model, "gelu", "tanh", "add") == ["0.0"] * 3 + ["1"] * 3


def test_calls_of_one_module_are_counted():
    layer = prepare(nn.Linear(4, 4), seed=2)
    r = lrp.explain(nn.Sequential(layer, layer, layer), X, composite=presets.zero())
    assert [row.call for row in r.ledger.rows] == ["0: linear", "0: linear #1", "0: linear #2"]


def test_a_model_called_within_a_function_is_named_by_its_type():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).double()
    assert paths(lambda x: model(x) * 2, "linear", "relu", "mul") == ["Sequential.0", "Sequential.1", ""]
