"""Recurrent layers for tests, and the same as plain loops of torch's operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.cases.networks import prepare

__all__ = ["KINDS", "Model", "States", "cells", "layer", "looped", "own_loop"]

States = tuple[Tensor, ...]

KINDS: dict[str, Callable[..., nn.RNNBase]] = {
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
    "RNN": nn.RNN,
    "RNN of ReLU": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}


def layer(kind: str, *sizes: int, seed: int = 70, **options: Any) -> nn.RNNBase:
    """A recurrent layer with seeded weights in float64; no bias is zero."""
    made = KINDS[kind](*sizes, **options)
    generator = torch.Generator().manual_seed(seed)
    made.double().eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(0.7 * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return made


def cells(made: nn.RNNBase) -> nn.RNNCellBase:
    """The cell of a layer, with its weights."""
    kind = {"LSTM": nn.LSTMCell, "GRU": nn.GRUCell}.get(made.mode)
    options = {} if kind else {"nonlinearity": made.mode.removeprefix("RNN_").lower()}
    cell = (kind or nn.RNNCell)(made.input_size, made.hidden_size, bias=made.bias, **options).double()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in made.state_dict().items()})
    return cell


def looped(cell: nn.RNNCellBase, x: Tensor, states: States) -> Tensor:
    """The outputs of a loop over a cell, `(T, N, H)`."""
    outputs = []
    for step in x:
        after = cell(step, states if len(states) > 1 else states[0])
        states = after if isinstance(after, tuple) else (after,)
        outputs.append(states[0])
    return torch.stack(outputs)


def own_loop(made: nn.RNNBase, x: Tensor, states: States, ending: str = "l0") -> Tensor:
    """One layer in one direction by torch's operations, after the formulas of its documentation: `(T, N, H)`.

    A state counts as one factor, which a sum of products does not: the zero added to it starts the count anew.
    """
    w, u = (getattr(made, f"weight_{of}_{ending}") for of in ("ih", "hh"))
    b, c = (getattr(made, f"bias_{of}_{ending}") if made.bias else None for of in ("ih", "hh"))
    linear, outputs = nn.functional.linear, []
    for step in x:
        h = states[0]
        ours, theirs = linear(step, w, b), linear(h, u, c)
        if made.mode == "LSTM":
            i, f, g, o = torch.split(ours + theirs, made.hidden_size, 1)
            cell = f.sigmoid() * states[1] + i.sigmoid() * g.tanh()
            h = o.sigmoid() * cell.tanh()
            h = linear(h, getattr(made, f"weight_hr_{ending}")) if made.proj_size else h
            states = (h, cell + 0)
        elif made.mode == "GRU":
            n = made.hidden_size
            r, z = (ours[:, : 2 * n] + theirs[:, : 2 * n]).split(n, 1)
            new = (ours[:, 2 * n :] + r.sigmoid() * theirs[:, 2 * n :]).tanh()
            states = ((1 - z.sigmoid()) * new + z.sigmoid() * h + 0,)
        else:
            states = ((torch.tanh if made.mode == "RNN_TANH" else torch.relu)(ours + theirs),)
        outputs.append(states[0])
    return torch.stack(outputs)


class Model(nn.Module):
    """A recurrent layer and a readout of the sum of its outputs over time, for inputs `(T, N, F)`.

    The readout has a multiplier of its own for each sample, so that mixing them up would show.
    """

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn
        width = (rnn.proj_size or rnn.hidden_size) * (2 if rnn.bidirectional else 1)
        self.out = prepare(nn.Linear(width, 3), seed=71)

    def forward(self, x: Any, *states: Tensor) -> Tensor:
        given = None if not states else states[0] if len(states) == 1 else states
        outputs = self.rnn(x, given)[0]
        return self.read(outputs.transpose(0, 1) if self.rnn.batch_first else outputs)

    def read(self, outputs: Tensor) -> Tensor:
        return self.out(torch.tanh(outputs.sum(0)))
