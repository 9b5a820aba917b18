"""Relevance that is cut by no_grad, detach or .data: refused, or booked with the module's path, never lost silently."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp
from lrp import presets
from lrp.errors import DetachedError
from tests.cases.networks import prepare
from tests.engine.checks import assert_balanced, normal

X = normal(3, 5, seed=1)


class Trunk(nn.Module):
    """A frozen trunk: its forward pass keeps no graph, in one of several ways."""

    def __init__(self, cut: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.fc, self.cut = nn.Linear(5, 5), cut

    def forward(self, x: Tensor) -> Tensor:
        return self.cut(self.fc, x)


def _no_grad(fc: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return fc(x)


def _detach_in_place(fc: nn.Module, x: Tensor) -> Tensor:
    y = fc(x) * 1
    y.detach_()
    return y


CUTS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "no_grad": _no_grad,
    "detach": lambda fc, x: fc(x).detach(),
    "torch.detach": lambda fc, x: torch.detach(fc(x)),
    "detach_": _detach_in_place,
    "data": lambda fc, x: fc(x).data,
}
each_cut = pytest.mark.parametrize("cut", CUTS)


class Cut(nn.Module):
    def __init__(self, cut: str) -> None:
        super().__init__()
        self.trunk, self.head = Trunk(CUTS[cut]), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.trunk(x)))


class PartlyCut(nn.Module):
    """A share of what is explained comes from a part without a graph."""

    def __init__(self, cut: str, share: float) -> None:
        super().__init__()
        self.trunk, self.head, self.share = Trunk(CUTS[cut]), nn.Linear(5, 2), share

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.share * self.trunk(x))


def linear(model: nn.Module) -> nn.Module:
    """Prepared, and without biases: positive inputs and weights, so that shares do not cancel."""
    prepare(model, seed=60)
    for p in model.parameters():
        p.data = p.data.abs() if p.dim() > 1 else torch.zeros_like(p)
    return model


@each_cut
def test_trunk_without_a_graph_is_refused_by_its_path(cut: str):
    with pytest.raises(DetachedError, match="trunk") as caught:
        lrp.explain(linear(Cut(cut)), X)
    assert caught.value.where in ("trunk", "trunk.fc")
    assert "no_grad" in caught.value.cure


@each_cut
def test_small_part_is_booked_with_its_path(cut: str):
    model = linear(PartlyCut(cut, 1e-3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r = lrp.explain(model, X.abs(), target=0, composite=presets.zero(), ledger="calls")
    (row,) = [row for row in r.ledger.rows if row.kind == "detached"]
    assert row.where in ("trunk", "trunk.fc")
    truth = model.head(1e-3 * model.trunk.fc(X.abs()))[:, 0].sum()
    torch.testing.assert_close(row.amount, truth.detach(), rtol=1e-12, atol=0)
    assert_balanced(r)


@each_cut
def test_part_above_one_percent_warns_with_its_path(cut: str):
    with pytest.warns(lrp.LRPWarning, match=r"% of the explained output went to data .* in trunk"):
        lrp.explain(linear(PartlyCut(cut, 0.1)), X.abs(), target=0)


@each_cut
def test_part_above_half_is_an_error(cut: str):
    with pytest.raises(DetachedError, match="larger part") as caught:
        lrp.explain(linear(PartlyCut(cut, 10)), X.abs(), target=0)
    assert "trunk" in caught.value.where


def test_batch_does_not_hide_what_its_samples_show():
    """Two samples whose detached parts cancel in the batch's total."""
    x = torch.cat([X.abs(), -X.abs()])
    with pytest.raises(DetachedError, match="larger part"):
        lrp.explain(linear(PartlyCut("detach", 10)), x, target=0)


@pytest.mark.parametrize("write", ["assign", "copy_", "view"])
def test_detached_data_written_into_a_buffer_is_booked_as_detached(write: str):
    head = normal(2, 5, seed=2)

    def model(x: Tensor) -> Tensor:
        lost, buffer = (x * 1e-3).detach(), torch.zeros(len(x), 5, dtype=x.dtype)
        if write == "assign":
            buffer[:, 1:] = lost[:, 1:]
        elif write == "copy_":
            buffer.copy_(lost)
        else:
            buffer[:, 1:].copy_(lost[:, 1:])
        return (x + buffer) @ head.T

    r = lrp.explain(model, X, target=0, composite=presets.zero())
    assert [row.kind for row in r.ledger.rows] == ["detached"]


ESCAPES: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.mean().item(),
    "detach().item": lambda x: x.detach().mean().item(),
    "tolist": lambda x: torch.tensor(x.tolist(), dtype=x.dtype),
    "numpy": lambda x: torch.from_numpy(x.detach().numpy()),
}


@pytest.mark.parametrize("how", ESCAPES)
def test_values_that_leave_the_graph_as_numbers_are_noted(how: str):
    class Escapes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1e-3 * ESCAPES[how](x)

    r = lrp.explain(nn.Sequential(nn.Identity(), Escapes()), X, target=0)
    name = how.removeprefix("detach().")
    assert any(f".{name}()" in note and "1" in note for note in r.notes), r.notes
    assert_balanced(r)


@pytest.mark.parametrize("how", ESCAPES)
def test_output_made_of_such_numbers_is_refused(how: str):
    with pytest.raises(DetachedError):
        lrp.explain(lambda x: torch.zeros(3, 2, dtype=x.dtype) + torch.as_tensor(ESCAPES[how](x)).mean(), X, target=0)


def test_output_of_constants_alone_is_refused():
    with pytest.raises(DetachedError, match="does not depend on any source"):
        lrp.explain(lambda x: torch.ones(3, 2), X)


def test_target_that_detaches_is_refused():
    with pytest.raises(DetachedError, match="target"):
        lrp.explain(nn.Linear(5, 2).double(), X, target=lambda y: y.detach()[:, 0])


MADE: dict[str, Callable[[Tensor], Tensor]] = {
    "zeros_like": lambda x: torch.zeros_like(x) + 1,
    "ones_like": torch.ones_like,
    "full_like": lambda x: torch.full_like(x, 1.0),
    "new_ones": lambda x: x.new_ones(x.shape),
    "new_full": lambda x: x.new_full(x.shape, 1.0),
    "empty_like": lambda x: torch.empty_like(x).fill_(1),
}


AS_IT_IS: dict[str, Callable[[Tensor], Tensor]] = {
    "double": Tensor.double,
    "contiguous": Tensor.contiguous,
    "to": lambda y: y.to(y.device),
}


@pytest.mark.parametrize("how", AS_IT_IS)
def test_data_handed_back_as_it_is_outside_the_graph_stays_data(how: str):
    def looked_at(x: Tensor) -> Tensor:
        y = 2 * x
        with torch.no_grad():
            AS_IT_IS[how](y)
        return y.relu()

    r = lrp.explain(looked_at, X, target=1, composite=presets.zero())
    torch.testing.assert_close(r.input[:, 1], 2 * X[:, 1].clamp(min=0))
    assert_balanced(r)


@pytest.mark.parametrize("how", MADE)
def test_tensor_made_in_the_shape_of_data_is_a_constant(how: str):
    r = lrp.explain(lambda x: 0.1 * x + 10 * MADE[how](x), X, target=0, composite=presets.zero())
    assert [row.kind for row in r.ledger.rows] == ["constant"]
    assert_balanced(r)


def test_gate_made_of_data_is_a_constant_factor():
    r = lrp.explain(lambda x: x * (x > 0), X, target=1, composite=presets.zero())
    torch.testing.assert_close(r.input[:, 1], X[:, 1].clamp(min=0))


WRITES: dict[str, Callable[[Tensor], object]] = {
    "no_grad": lambda y: torch.no_grad()(lambda: y.mul_(2))(),
    "data": lambda y: y.data.mul_(2),
    "detach": lambda y: y.detach().mul_(2),
    "detached view": lambda y: y.detach()[:, 1:].zero_(),
    "data[...] =": lambda y: y.data.__setitem__(0, 0.0),
}


@pytest.mark.parametrize("how", WRITES)
def test_data_overwritten_outside_the_graph_is_refused(how: str):
    fc = prepare(nn.Linear(5, 5), seed=61)

    def model(x: Tensor) -> Tensor:
        y = fc(x)
        WRITES[how](y)
        return y * 1

    with pytest.raises(DetachedError, match="overwritten outside the graph"):
        lrp.explain(model, X)
