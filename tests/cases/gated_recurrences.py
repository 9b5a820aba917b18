"""Recurrences with gates as their users write them, one step after the other, and by hand: all steps at once, with what
counts as a constant detached, so that the gradient is the multiplier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BY_HAND", "MLSTM", "RGLRU", "RWKV", "SLSTM", "WIDTH"]

WIDTH = 4


class SLSTM(nn.Module):
    """Beck et al. 2024, equations 8 to 17, with the stabiliser of equation 15: gates of exponentials, kept in range."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.recurrent = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(WIDTH, 4 * WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = c = n = torch.zeros_like(x[:, 0])
        m, steps = torch.full_like(h, -torch.inf), []
        for t in range(x.size(1)):
            z, i, f, o = (self.inputs(x[:, t]) + self.recurrent(h)).chunk(4, -1)
            kept = F.logsigmoid(f) + m
            m = torch.maximum(kept, i)
            put, keep = torch.exp(i - m), torch.exp(kept - m)
            c, n = keep * c + put * torch.tanh(z), keep * n + put
            h = torch.sigmoid(o) * (c / n)
            steps.append(h)
        return torch.stack(steps, 1)


class MLSTM(nn.Module):
    """Beck et al. 2024, equations 19 to 27: a memory of a matrix, `|n q|` at least 1."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.gates, self.output = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, 2), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        i, f = self.gates(x).unbind(-1)
        k, steps = k / WIDTH**0.5, []
        c, n, m = x.new_zeros(len(x), WIDTH, WIDTH), x.new_zeros(len(x), WIDTH), x.new_full((len(x), 1), -torch.inf)
        for t in range(x.size(1)):
            kept = F.logsigmoid(f[:, t, None]) + m
            m = torch.maximum(kept, i[:, t, None])
            put, keep = torch.exp(i[:, t, None] - m), torch.exp(kept - m)
            c = keep[..., None] * c + put[..., None] * (v[:, t, :, None] @ k[:, t, None])
            n = keep * n + put * k[:, t]
            weight = (n * q[:, t]).sum(-1, keepdim=True).abs()
            steps.append((c @ q[:, t, :, None])[..., 0] / torch.maximum(weight, torch.exp(-m)))
        return torch.sigmoid(self.output(x)) * torch.stack(steps, 1)


class RWKV(nn.Module):
    """Peng et al. 2023, equations 11 to 18, with the running maximum of appendix D: sums that decay."""

    def __init__(self) -> None:
        super().__init__()
        self.receptance, self.key, self.value, self.output = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.decay, self.first, self.mix = (nn.Parameter(torch.linspace(0.1, 0.9, WIDTH)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        mixed = x * self.mix + F.pad(x, (0, 0, 1, -1)) * (1 - self.mix)
        r, k, v = torch.sigmoid(self.receptance(mixed)), self.key(mixed), self.value(mixed)
        decay, steps = -torch.exp(self.decay), []
        above = below = torch.zeros_like(x[:, 0])
        largest = torch.full_like(above, -1e38)
        for t in range(x.size(1)):
            now = torch.maximum(largest, self.first + k[:, t])
            old, new = torch.exp(largest - now), torch.exp(self.first + k[:, t] - now)
            steps.append((old * above + new * v[:, t]) / (old * below + new))
            now = torch.maximum(largest + decay, k[:, t])
            old, new = torch.exp(largest + decay - now), torch.exp(k[:, t] - now)
            above, below, largest = old * above + new * v[:, t], old * below + new, now
        return self.output(r * torch.stack(steps, 1))


class RGLRU(nn.Module):
    """De et al. 2024 (Griffin), equations 1 to 4: a decay between 0 and 1, and what it leaves for the input."""

    def __init__(self) -> None:
        super().__init__()
        self.input_gate, self.decay_gate = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.decay = nn.Parameter(torch.linspace(-1.0, 1.0, WIDTH))

    def left(self, x: Tensor) -> Tensor:
        return torch.sqrt(x)

    def forward(self, x: Tensor) -> Tensor:
        log_a = -8 * torch.sigmoid(self.decay_gate(x)) * F.softplus(self.decay)
        a = torch.exp(log_a)
        put = self.left(1 - torch.exp(2 * log_a)) * (torch.sigmoid(self.input_gate(x)) * x)
        h, steps = torch.zeros_like(x[:, 0]), []
        for t in range(x.size(1)):
            h = a[:, t] * h + put[:, t]
            steps.append(h)
        return torch.stack(steps, 1)


def _sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x).detach()


def _share(x: Tensor, part: float) -> Tensor:
    """A factor that gets this part of what its product gets."""
    return part * x + ((1 - part) * x).detach()


def _since(logs: Tensor) -> Tensor:
    """The sum of what lies after step `s` up to step `t`, at `[:, t, s]`; `-inf` for steps to come."""
    passed, steps = logs.cumsum(1), logs.size(1)
    future = torch.ones(steps, steps, dtype=torch.bool).triu(1)
    return (passed[:, :, None] - passed[:, None]).masked_fill(future[..., None], -torch.inf)


def _slstm(given: Any, x: Tensor) -> Tensor:
    inputs, h, parts, steps = given.inputs(x), torch.zeros_like(x[:, 0]), [], []
    for t in range(x.size(1)):
        parts.append(inputs[:, t] + given.recurrent(h))
        z, i, f, o = torch.stack(parts, 1).chunk(4, -1)
        weights = torch.softmax(i + _since(F.logsigmoid(f))[:, -1], 1).detach()
        h = _sigmoid(o[:, -1]) * (weights * (z * (torch.tanh(z) / z).detach())).sum(1)
        steps.append(h)
    return torch.stack(steps, 1)


def _mlstm(given: Any, x: Tensor) -> Tensor:
    """The memory, which is a product already, shares with what reads it."""
    q, k, v = given.qkv(x).chunk(3, -1)
    i, f = given.gates(x).split(1, -1)
    weights = torch.exp(i[:, None] + _since(F.logsigmoid(f)))[..., 0].detach()
    read = torch.einsum("nts,ntd,nsd,nse->nte", weights, _share(q, 0.5), _share(k, 0.25), _share(v, 0.25))
    at_least = torch.einsum("nts,ntd,nsd->nt", weights, q, k).abs().clamp(min=WIDTH**0.5)[..., None]
    return _sigmoid(given.output(x)) * read / at_least.detach()


def _rwkv(given: Any, x: Tensor) -> Tensor:
    mixed = torch.cat([x[:, :1] * given.mix, x[:, 1:] * given.mix + x[:, :-1] * (1 - given.mix)], 1)
    k, ago = given.key(mixed), torch.arange(x.size(1))[:, None] - torch.arange(x.size(1))
    bonus = torch.where((ago == 0)[..., None], given.first, (1 - ago[..., None]) * given.decay.exp())
    weights = (k[:, None] + bonus).masked_fill((ago < 0)[..., None], -torch.inf).softmax(2).detach()
    return given.output(_sigmoid(given.receptance(mixed)) * (weights * given.value(mixed)[:, None]).sum(2))


def _rg_lru(given: Any, x: Tensor) -> Tensor:
    a = torch.exp(-8 * F.softplus(given.decay) * _sigmoid(given.decay_gate(x))).detach()
    put = (1 - a * a).sqrt() * _sigmoid(given.input_gate(x)) * x
    return (_since(a.log()).exp() * put[:, None]).sum(2)


BY_HAND: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    SLSTM: _slstm,
    MLSTM: _mlstm,
    RWKV: _rwkv,
    RGLRU: _rg_lru,
}
"""Each of them, as a function of a cell that it reads the weights of."""
