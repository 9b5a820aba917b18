"""Recurrent layers and cells, carried out step by step: each step's calls get rules of their own."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from torch import Tensor

from lrp.engine.outcome import Outcome, TorchCall
from lrp.engine.relevance_form import leave
from lrp.engine.values import Value, as_constant
from lrp.engine.written_out import with_fused_values
from lrp.errors import TrainingModeError
from lrp.ops.recurrent import CELLS, LAYERS, Layers, States, Step, Weights, cell, layers

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["handle_recurrence", "refuse_dropout_between_layers"]


def handle_recurrence(run: Run, call: TorchCall) -> Outcome:
    """Step by step under the mode; the parts of layers have the module paths `PATH.l0`, `PATH.l0_reverse`, ..."""
    call.record.note = "written out"
    step = _counting_states_as_one({**CELLS, **LAYERS}[call.op.name], run)
    if call.op.name in CELLS:
        names = ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")
        x, states, *weights = (call.get(position, name) for position, name in enumerate(names))
        states = (states,) if isinstance(states, Tensor) else tuple(states)
        before = tuple(_as_data(run, call, state) for state in states)
        return with_fused_values(run, call, lambda: cell(step, x, before, *weights))
    refuse_dropout_between_layers(call)
    arguments, path = Layers.of(call.args, call.kwargs), run.modules.path
    before = tuple(_as_data(run, call, state) for state in arguments.states)

    def inside(name: str) -> AbstractContextManager[None]:
        return run.modules.inside(f"{path}.{name}" if path else name)

    return with_fused_values(run, call, lambda: layers(step, arguments, before, inside))


def _counting_states_as_one(step: Step, run: Run) -> Step:
    """A state counts as one factor of what it is multiplied by, so that the rules of all steps are the same."""

    def counting(of_input: Tensor, states: States, weights: Weights) -> States:
        after = step(of_input, states, weights)
        for state in after:
            known = run.known(state)
            if isinstance(known, Value):
                known.factors = 1
        return after

    return counting


def refuse_dropout_between_layers(call: TorchCall) -> None:
    """Dropout between layers that is not in eval mode."""
    if call.op.name in LAYERS and Layers.of(call.args, call.kwargs).dropout > 0:
        raise TrainingModeError(
            "dropout between the layers is active, so the output depends on chance",
            where=call.record.name,
            seen="training=True",
            cure="model.eval()",
        )


def _as_data(run: Run, call: TorchCall, state: Tensor) -> Tensor:
    """A state before the first step, as data; what arrives at one that is a constant stays.

    So the first step has the same rules as all others, and a state given as zeros is one that was not given.
    """
    if run.value(state) is not None:
        return state
    leaf = run.offset(call.record, state)
    if not leaf.requires_grad:  # no books are kept
        leaf = leaf.detach().requires_grad_()
    run.leaves.append(leaf)
    data = leave(run, call.record, leaf, None) if run.relevance_form else leaf
    run.put(data, Value(linear_above=True, reference=as_constant(state) if run.with_reference else None))
    return data
