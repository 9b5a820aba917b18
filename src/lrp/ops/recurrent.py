"""Recurrent layers and cells written out step by step, as torch defines them.

Every step is made of the same few calls: one linear call for the hidden state (the inputs of all steps are projected at
once, before the loop), its gates, and its products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CELLS", "LAYERS", "Layers", "States", "Step", "Weights", "cell", "layers"]

States = tuple[Tensor, ...]
"""The hidden state, and in an LSTM the cell state."""


class Weights(NamedTuple):
    """The weights of one direction of one layer, or of a cell."""

    input: Tensor
    hidden: Tensor
    input_bias: Tensor | None = None
    hidden_bias: Tensor | None = None
    projection: Tensor | None = None

    def of_input(self, x: Tensor) -> Tensor:
        return F.linear(x, self.input, self.input_bias)

    def of_hidden(self, h: Tensor) -> Tensor:
        return F.linear(h, self.hidden, self.hidden_bias)


Step = Callable[[Tensor, States, Weights], States]
"""From the projected input and the states before it to those after it, of which the first is the output."""


def _lstm(of_input: Tensor, states: States, weights: Weights) -> States:
    h, c = states
    i, f, g, o = (of_input + weights.of_hidden(h)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h if weights.projection is None else F.linear(h, weights.projection), c


def _gru(of_input: Tensor, states: States, weights: Weights) -> States:
    (h,) = states
    reset, update, new = of_input.chunk(3, -1)
    reset_h, update_h, new_h = weights.of_hidden(h).chunk(3, -1)
    z = torch.sigmoid(update + update_h)
    n = torch.tanh(new + torch.sigmoid(reset + reset_h) * new_h)
    return ((1 - z) * n + z * h,)


def _rnn(activation: Callable[[Tensor], Tensor]) -> Step:
    def step(of_input: Tensor, states: States, weights: Weights) -> States:
        (h,) = states
        return (activation(of_input + weights.of_hidden(h)),)

    return step


LAYERS: dict[str, Step] = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _rnn(torch.tanh), "rnn_relu": _rnn(torch.relu)}
"""Torch function name of whole layers -> one step."""
CELLS: dict[str, Step] = {f"{name}_cell": step for name, step in LAYERS.items()}
"""The same of single cells."""


def cell(step: Step, input: Tensor, states: States, *weights: Tensor | None) -> Tensor | States:
    """One step; a state alone is returned as torch does, without a tuple."""
    used = Weights(*weights)  # type: ignore[arg-type]  # only biases are None
    after = step(used.of_input(input), states, used)
    return after if len(after) > 1 else after[0]


@dataclass(frozen=True)
class Layers:
    """The arguments of a call of whole layers.

    Args:
        input: `(T, N, F)`, or packed `(sum of sizes, F)`.
        sizes: of packed sequences, how many of them each step has; None where all have all steps.
        states: each `(layers * directions, N, H)`.
        weights: of each layer and direction.
        directions: 1, or 2 if bidirectional.
        batch_first: the input is `(N, T, F)`.
        dropout: the share that is dropped between layers.
    """

    input: Tensor
    sizes: list[int] | None
    states: States
    weights: list[Weights]
    directions: int
    batch_first: bool
    dropout: float

    @classmethod
    def of(cls, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Layers:
        """The arguments as torch was called with them, packed or not."""
        packed = "batch_sizes" in kwargs or (len(args) > 3 and not isinstance(args[3], bool))
        names = ("data", "batch_sizes", *_COMMON) if packed else ("input", *_COMMON, "batch_first")
        given = dict(zip(names, args, strict=False)) | dict(kwargs)
        states, params = given["hx"], given["params"]
        states = (states,) if isinstance(states, Tensor) else tuple(states)
        directions = 2 if given["bidirectional"] else 1
        each = len(params) // (given["num_layers"] * directions)
        return cls(
            given["data" if packed else "input"],
            given["batch_sizes"].tolist() if packed else None,
            states,
            [_weights(params[at : at + each], given["has_biases"]) for at in range(0, len(params), each)],
            directions,
            not packed and given["batch_first"],
            given["dropout"] if given["train"] and len(params) > each * directions else 0,
        )


_COMMON = ("hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional")


def _weights(params: Sequence[Tensor], biases: bool) -> Weights:
    if biases:
        return Weights(*params)
    return Weights(params[0], params[1], projection=params[2] if len(params) > 2 else None)


def layers(
    step: Step, call: Layers, states: States, inside: Callable[[str], AbstractContextManager[None]]
) -> tuple[Tensor, ...]:
    """All steps of all layers: the outputs, and the states after the last step.

    Args:
        step: one step.
        call: the arguments.
        states: those before the first step.
        inside: gives what runs meanwhile a name of its own, torch's ending of the weights that it reads.
    """
    x = call.input.transpose(0, 1) if call.batch_first else call.input
    before, after = list(zip(*(state.unbind(0) for state in states), strict=True)), []
    for number in range(0, len(call.weights), call.directions):
        outputs = []
        for backwards in range(call.directions):
            at = number + backwards
            with inside(f"l{number // call.directions}" + "_reverse" * backwards):
                output, last = _direction(step, x, call.sizes, before[at], call.weights[at], bool(backwards))
            outputs.append(output)
            after.append(last)
        x = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
    final = tuple(torch.stack(each) for each in zip(*after, strict=True))
    return x.transpose(0, 1) if call.batch_first else x, *final


def _direction(
    step: Step, x: Tensor, sizes: list[int] | None, states: States, weights: Weights, backwards: bool
) -> tuple[Tensor, States]:
    """One layer in one direction: its outputs, in the order of the inputs, and its last states."""
    of_input = weights.of_input(x)
    steps = of_input.unbind(0) if sizes is None else of_input.split(sizes)
    run = _backwards if backwards else _forwards
    after = list(run(step, steps, states, weights))
    outputs = [each[0] for each in after[:-1]]
    if backwards:
        outputs.reverse()
    return torch.stack(outputs) if sizes is None else torch.cat(outputs), after[-1]


def _forwards(step: Step, steps: Sequence[Tensor], states: States, weights: Weights) -> Iterator[States]:
    """The states after each step, and at the end the last of each sequence; a step has those that are not over."""
    over: list[States] = []
    for of_input in steps:
        going = len(of_input)
        if going < len(states[0]):
            over.append(tuple(state[going:] for state in states))
            states = tuple(state[:going] for state in states)
        states = step(of_input, states, weights)
        yield states
    over.append(states)
    yield tuple(torch.cat(each) for each in zip(*reversed(over), strict=True)) if len(over) > 1 else states


def _backwards(step: Step, steps: Sequence[Tensor], states: States, weights: Weights) -> Iterator[States]:
    """The same from the last step to the first; a sequence begins where it has a step."""
    initial = states
    if len(steps[-1]) < len(states[0]):
        states = tuple(state[: len(steps[-1])] for state in states)
    for of_input in reversed(steps):
        begun, going = len(states[0]), len(of_input)
        if going > begun:
            pairs = zip(states, initial, strict=True)
            states = tuple(torch.cat([state, first[begun:going]]) for state, first in pairs)
        states = step(of_input, states, weights)
        yield states
    yield states
