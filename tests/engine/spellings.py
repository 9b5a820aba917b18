"""Two ways to write one function of a tensor `(N, M)`, which must be explained alike wherever they stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.engine.checks import normal

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Spelling:
    """A way to write something, and the clean way to write the same."""

    name: str
    given: Function
    clean: Function


def _same(h: Tensor) -> Tensor:
    return h


def _then(h: Tensor, *steps: object) -> Tensor:
    """The tensor, after in-place steps have been evaluated on it."""
    return h


def _zeros(h: Tensor, columns: int) -> Tensor:
    return torch.zeros(len(h), columns, dtype=h.dtype)


def _constant(h: Tensor) -> Tensor:
    return normal(*h.shape, seed=20)


def _view_scaled(h: Tensor) -> Tensor:
    view = h[:, 1:]
    view.mul_(2)
    return h


def _view_gated(h: Tensor) -> Tensor:
    view = h[:, 1:]
    view.sigmoid_()
    return h


def _view_added(h: Tensor) -> Tensor:
    view = h[:, 1:]
    view += 3 * h[:, :1]
    return h


def _view_read_after_write(h: Tensor) -> Tensor:
    view = h[:, 1:]
    h.mul_(3)
    return torch.cat([h[:, :1], view], 1)


def _view_of_what_is_lowered(h: Tensor) -> Tensor:
    view = h[:, 1:]
    h.sub_(1)
    return view


def _into_zeros(h: Tensor) -> Tensor:
    buffer = torch.zeros_like(h)
    buffer[:, 0] = h[:, 1]
    buffer[:, 2:4] = 2 * h[:, 2:4]
    return buffer


def _into_constant(h: Tensor) -> Tensor:
    buffer = _constant(h)
    buffer[:, 1:] = h[:, 1:]
    return buffer


def _copied_into_view(h: Tensor) -> Tensor:
    buffer = _constant(h)
    buffer[:, 1:].copy_(h[:, 1:])
    return buffer


def _added_into_view(h: Tensor) -> Tensor:
    buffer = _constant(h)
    buffer[:, 1:].add_(h[:, 1:])
    return buffer


def _part(h: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(h[:, :1]), h[:, 1:]], 1)


def _overwritten_after_product(h: Tensor) -> Tensor:
    y = h * torch.flip(h, [1])
    h.mul_(3)
    return y + h


def _overwritten_after_gelu(h: Tensor) -> Tensor:
    y = F.gelu(h)
    h.mul_(3)
    return y + h


def _overwritten_after_linear(h: Tensor) -> Tensor:
    y = F.linear(h, normal(h.shape[1], h.shape[1], seed=21))
    h.relu_()
    return y + h


def _clone_written(h: Tensor) -> Tensor:
    y = h.clone()
    y.relu_()
    return y + 2 * h


def _increments(h: Tensor) -> Tensor:
    y = 2 * h
    y += torch.flip(h, [1])
    y.mul_(0.5)
    return y


def _mask(h: Tensor) -> Tensor:
    return torch.arange(h.shape[1]).expand_as(h) % 3 == 0


def _squared_in_place(h: Tensor) -> Tensor:
    y = h.clone()
    return y.mul_(y)


def _doubled_in_place(h: Tensor) -> Tensor:
    y = h.clone()
    return y.add_(y)


IN_PLACE = [
    Spelling("relu_", lambda h: h.relu_(), lambda h: h.relu()),
    Spelling("relu_, result dropped", lambda h: _then(h, h.relu_()), F.relu),
    Spelling("F.relu(h, True)", lambda h: F.relu(h, True), F.relu),
    Spelling("ReLU(inplace)", lambda h: _then(h, nn.ReLU(inplace=True)(h)), nn.ReLU()),
    Spelling("sigmoid_", lambda h: h.sigmoid_(), torch.sigmoid),
    Spelling("tanh_", lambda h: _then(h, torch.tanh_(h)), torch.tanh),
    Spelling("SiLU(inplace)", nn.SiLU(inplace=True), F.silu),
    Spelling("clamp_", lambda h: h.clamp_(-0.5, 1), lambda h: h.clamp(-0.5, 1)),
    Spelling("neg_", lambda h: h.neg_(), lambda h: -h),
    Spelling("*= 2", lambda h: h.__imul__(2), lambda h: h * 2),
    Spelling("/= 2", lambda h: h.__itruediv__(2), lambda h: h / 2),
    Spelling("-= 1", lambda h: h.__isub__(1), lambda h: h - 1),
    Spelling("a view of all of it -= 1", lambda h: h.view(len(h), -1).__isub__(1), lambda h: h - 1),
    Spelling("y += x; y.mul_(.5)", _increments, lambda h: (2 * h + torch.flip(h, [1])) * 0.5),
    Spelling("y.mul_(y)", _squared_in_place, lambda h: h * h),
    Spelling("y.add_(y)", _doubled_in_place, lambda h: h + h),
    Spelling("view.mul_(2)", _view_scaled, lambda h: torch.cat([h[:, :1], 2 * h[:, 1:]], 1)),
    Spelling("view.sigmoid_()", _view_gated, lambda h: torch.cat([h[:, :1], torch.sigmoid(h[:, 1:])], 1)),
    Spelling("view += y", _view_added, lambda h: torch.cat([h[:, :1], h[:, 1:] + 3 * h[:, :1]], 1)),
    Spelling("view of what is written", _view_read_after_write, lambda h: 3 * h),
    Spelling("view of what is lowered", _view_of_what_is_lowered, lambda h: h[:, 1:] - 1),
    Spelling("h[:, 0] = 0", lambda h: _then(h, h.__setitem__((slice(None), 0), 0)), _part),
    Spelling("masked_fill_", lambda h: h.masked_fill_(_mask(h), 0.5), lambda h: torch.where(_mask(h), 0.5, h)),
    Spelling(
        "into zeros",
        _into_zeros,
        lambda h: torch.cat([h[:, 1:2], _zeros(h, 1), 2 * h[:, 2:4], _zeros(h, h.shape[1] - 4)], 1),
    ),
    Spelling("into a constant", _into_constant, lambda h: torch.cat([_constant(h)[:, :1], h[:, 1:]], 1)),
    Spelling("view.copy_(y)", _copied_into_view, lambda h: torch.cat([_constant(h)[:, :1], h[:, 1:]], 1)),
    Spelling("constant view.add_(y)", _added_into_view, lambda h: _constant(h) + _part(h)),
    Spelling("constant.add_(y)", lambda h: _constant(h).add_(h), lambda h: _constant(h) + h),
    Spelling("unsqueeze_, squeeze_", lambda h: h.unsqueeze_(1).squeeze_(1), _same),
    Spelling("overwritten after a product", _overwritten_after_product, lambda h: h * torch.flip(h, [1]) + 3 * h),
    Spelling("overwritten after GELU", _overwritten_after_gelu, lambda h: F.gelu(h) + 3 * h),
    Spelling(
        "overwritten after linear",
        _overwritten_after_linear,
        lambda h: F.linear(h, normal(h.shape[1], h.shape[1], seed=21)) + F.relu(h),
    ),
    Spelling("clone written", _clone_written, lambda h: F.relu(h) + 2 * h),
]
"""In place, and out of place."""

SAME = [
    Spelling(
        "view, permute, reshape", lambda h: h.view(len(h), 1, 1, -1).permute(0, 2, 3, 1).reshape(len(h), -1), _same
    ),
    Spelling("view(N, 1, M)", lambda h: h.view(len(h), 1, h.shape[1]).squeeze(1), _same),
    Spelling("expand", lambda h: h[:, None].expand(len(h), 1, -1)[:, 0], _same),
    Spelling("chunk, cat", lambda h: torch.cat(h.chunk(2, 1), 1), _same),
    Spelling("unbind, stack", lambda h: torch.stack(h.unbind(1), 1), _same),
    Spelling("iterate, stack", lambda h: torch.stack(list(h)), _same),
    Spelling("pad, crop", lambda h: F.pad(h, (1, 2), value=3.0)[:, 1:-2], _same),
    Spelling("flip, flip", lambda h: h.flip(1).flip(1), _same),
    Spelling("roll, roll", lambda h: h.roll(1, 1).roll(-1, 1), _same),
    Spelling("gather", lambda h: h.gather(1, torch.arange(h.shape[1]).expand_as(h)), _same),
    Spelling("narrow", lambda h: torch.cat([h.narrow(1, 0, 2), h.narrow(1, 2, h.shape[1] - 2)], 1), _same),
    Spelling("T, T", lambda h: h.T.T, _same),
    Spelling("-(-h)", lambda h: torch.neg(-h), _same),
    Spelling("dropout in eval", lambda h: F.dropout(h, 0.5, False), _same),
]
"""What leaves the tensor as it is."""

SUMS = [
    Spelling("2 * h", lambda h: 2 * h, lambda h: h * 2),
    Spelling("h / 0.5", lambda h: h / 0.5, lambda h: h * 2),
    Spelling("-h", lambda h: -h, lambda h: h * -1),
    Spelling("h + (-1)", lambda h: h + (-1), lambda h: h - 1),
    Spelling("-(1 - h)", lambda h: -(1 - h), lambda h: h - 1),
    Spelling("add, alpha=-1", lambda h: torch.add(h, h.flip(1), alpha=-1), lambda h: h - h.flip(1)),
    Spelling("a - b", lambda h: h - h.flip(1), lambda h: h + -h.flip(1)),
    Spelling("stack, sum", lambda h: torch.stack([h, h.flip(1)]).sum(0), lambda h: h + h.flip(1)),
    Spelling("sum of a list", lambda h: sum([h, h.flip(1)]), lambda h: h + h.flip(1)),
    Spelling("pad with a value", lambda h: F.pad(h, (1, 0), value=3.0), lambda h: torch.cat([_zeros(h, 1) + 3, h], 1)),
    Spelling(
        "constant_pad_nd",
        lambda h: torch.constant_pad_nd(h, (1, 0), 3.0),
        lambda h: torch.cat([_zeros(h, 1) + 3, h], 1),
    ),
    Spelling("avg_pool = mean", lambda h: F.avg_pool1d(h, h.shape[1]), lambda h: h.mean(1, keepdim=True)),
    Spelling("adaptive pool = mean", lambda h: F.adaptive_avg_pool1d(h, 1), lambda h: h.mean(1, keepdim=True)),
]
"""Sums, scales and shifts."""

LIMITS = [
    Spelling(
        "maximum, by keyword", lambda h: torch.maximum(h, other=_constant(h)), lambda h: torch.maximum(h, _constant(h))
    ),
    Spelling("clamp(min=0)", lambda h: h.clamp(min=0), F.relu),
    Spelling("maximum with zeros", lambda h: torch.maximum(torch.zeros_like(h), h), F.relu),
    Spelling("clamp(min=c)", lambda h: h.clamp(min=_constant(h)), lambda h: torch.maximum(h, _constant(h))),
]
"""Minima and maxima."""

SPELLINGS = {spelling.name: spelling for spelling in [*IN_PLACE, *SAME, *SUMS, *LIMITS]}
