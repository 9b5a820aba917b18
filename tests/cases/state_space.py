"""Mamba and Mamba-2 as their users write them, and by hand: one step after the other, with what counts as a constant
detached, so that the gradient is the multiplier of MambaLRP.

The forms by hand read the weights of the others, transformers' too, by the names that all of them share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Mamba", "Mamba2", "by_hand"]

WIDTH, INNER, STATE, RANK, KERNEL, HEADS = 6, 8, 3, 2, 3, 4


class _Mixer(nn.Module):
    """What both have: a convolution over the last few steps, decays and skips."""

    def __init__(self, projected: int, convolved: int, decays: tuple[int, ...]) -> None:
        super().__init__()
        self.in_proj = nn.Linear(WIDTH, projected)
        self.conv1d = nn.Conv1d(convolved, convolved, KERNEL, groups=convolved, padding=KERNEL - 1)
        self.A_log, self.D = nn.Parameter(torch.zeros(decays)), nn.Parameter(torch.ones(decays[0]))
        self.out_proj = nn.Linear(INNER, WIDTH)

    def convolved(self, x: Tensor) -> Tensor:
        return F.silu(self.conv1d(x.mT)[..., : x.size(1)].mT)


class Mamba(_Mixer):
    """Gu and Dao 2023: delta, B and C by projections of the data."""

    def __init__(self) -> None:
        super().__init__(2 * INNER, INNER, (INNER, STATE))
        self.x_proj, self.dt_proj = nn.Linear(INNER, RANK + 2 * STATE, bias=False), nn.Linear(RANK, INNER)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.in_proj(x).chunk(2, -1)
        x = self.convolved(x)
        delta, b, c = self.x_proj(x).split([RANK, STATE, STATE], -1)
        delta = F.softplus(self.dt_proj(delta))[..., None]
        decay, put = torch.exp(delta * -self.A_log.exp()), delta * b[:, :, None] * x[..., None]
        state, steps = torch.zeros_like(put[:, 0]), []
        for t in range(x.size(1)):
            state = decay[:, t] * state + put[:, t]
            steps.append((state @ c[:, t, :, None]).squeeze(-1))
        return self.out_proj((torch.stack(steps, 1) + x * self.D) * F.silu(gate))


class Mamba2(_Mixer):
    """Dao and Gu 2024, in the form of attention: all steps at once."""

    intermediate_size, num_heads, n_groups, ssm_state_size = INNER, HEADS, 1, STATE

    def __init__(self) -> None:
        super().__init__(2 * INNER + 2 * STATE + HEADS, INNER + 2 * STATE, (HEADS,))
        self.dt_bias, self.norm = nn.Parameter(torch.zeros(HEADS)), nn.RMSNorm(INNER, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        gate, x, delta = self.in_proj(x).split([INNER, INNER + 2 * STATE, HEADS], -1)
        x, b, c = torch.split(self.convolved(x), [INNER, STATE, STATE], -1)
        x, delta = x.unflatten(-1, (HEADS, -1)), F.softplus(delta + self.dt_bias)
        passed = (delta * -self.A_log.exp()).cumsum(1)
        future = torch.ones(x.size(1), x.size(1), dtype=torch.bool).triu(1)
        since = (passed[:, :, None] - passed[:, None]).masked_fill(future[..., None], -torch.inf)
        weights = (c @ b.mT)[..., None] * since.exp()
        out = torch.einsum("ntsh,nshp->nthp", weights, x * delta[..., None]) + x * self.D[:, None]
        return self.out_proj(self.norm(out.flatten(2) * F.silu(gate)))


def by_hand(given: nn.Module) -> Callable[[Tensor], Tensor]:
    """A mixer of either kind, transformers' or one of the above."""
    return (lambda x: _mamba(given, x)) if hasattr(given, "x_proj") else (lambda x: _mamba2(given, x))


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x).detach()


def halved(x: Tensor) -> Tensor:
    return x / 2 + (x / 2).detach()


def _convolved(given: Any, x: Tensor) -> Tensor:
    return silu(given.conv1d(x.mT)[..., : x.size(1)].mT)


def _scan(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """`(N, T, channels)`; delta for each channel, `a` for each of its states, b and c for all or each channel."""
    delta, b, c = delta.detach()[..., None], b.detach(), c.detach()
    state, steps = torch.zeros_like(delta[:, 0] * b[:, 0]), []
    for t in range(x.size(1)):
        state = torch.exp(delta[:, t] * a) * state + delta[:, t] * b[:, t] * x[:, t, :, None]
        steps.append((state * c[:, t]).sum(-1) + d * x[:, t])
    return torch.stack(steps, 1)


def _mamba(given: Any, x: Tensor) -> Tensor:
    x, gate = given.in_proj(x).chunk(2, -1)
    x = _convolved(given, x)
    states = given.A_log.size(1)
    rank = given.x_proj.out_features - 2 * states
    delta, b, c = given.x_proj(x).split([rank, states, states], -1)
    delta = F.softplus(given.dt_proj(delta))
    out = _scan(x, delta, -given.A_log.exp(), b[:, :, None], c[:, :, None], given.D)
    return given.out_proj(halved(out * silu(gate)))


def _mamba2(given: Any, x: Tensor) -> Tensor:
    inner, heads, groups, states = given.intermediate_size, given.num_heads, given.n_groups, given.ssm_state_size
    gate, x, delta = given.in_proj(x).split([inner, inner + 2 * groups * states, heads], -1)
    x, b, c = _convolved(given, x).split([inner, groups * states, groups * states], -1)

    def each(numbers: Tensor) -> Tensor:
        """One for each channel, given one for each head."""
        return numbers.repeat_interleave(inner // heads, -1)

    b, c = (t.unflatten(-1, (groups, 1, states)).expand(-1, -1, -1, inner // groups, -1).flatten(2, 3) for t in (b, c))
    delta = each(F.softplus(delta + given.dt_bias))
    out = _scan(x, delta, -each(given.A_log.exp())[:, None], b, c, each(given.D))
    out = halved(out * silu(gate)).unflatten(-1, (-1, getattr(given.norm, "group_size", inner)))
    eps = getattr(given.norm, "variance_epsilon", None) or given.norm.eps
    scale = (out.square().mean(-1, keepdim=True) + eps).rsqrt().detach()
    return given.out_proj((out * scale).flatten(-2) * given.norm.weight)
