"""Calls that cut the graph: what they cut off, and what passes them under `PassDetached`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrp.engine.calls import OpCall
from lrp.engine.inplace import refuse_unseen_write
from lrp.engine.nodes import Identity
from lrp.engine.structure import map_tensors, tensors_in
from lrp.engine.values import Detached, Value, as_constant
from lrp.engine.verify import sequence_number

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["CUTS", "cuts", "off_the_graph", "past_a_cut"]

_TO_PYTHON = frozenset(
    getattr(torch.Tensor, name)
    for name in ("item", "tolist", "numpy", "__array__", "__float__", "__int__", "__complex__", "__index__")
)
_data: Any = torch.Tensor.data
_DETACHING = {torch.Tensor.detach, torch.detach, torch.Tensor.detach_, torch.detach_copy}
CUTS = frozenset({*_DETACHING, _data.__get__, _data.__set__}) | _TO_PYTHON
"""Calls whose result no longer knows where it came from."""


def cuts(func: Any) -> bool:
    """Whether the result of a torch call made now will not know where it came from."""
    return func in CUTS or not torch.is_grad_enabled()


def past_a_cut(run: Run, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], data: list[Tensor]) -> Any:
    """The result of a call that would cut the graph, where `PassDetached` says so; else None."""
    name = getattr(func, "__name__", str(func))
    call = OpCall(len(run.calls), run.modules.path, name, "detached", func, run.modules.types, False, 0)
    call.rule, number = run.composite.choose(call)
    if number is None or func in _TO_PYTHON:
        return None
    run.matched.add(number)
    call.entry = run.composite.label(number)
    start = sequence_number()
    with torch.inference_mode(False), torch.enable_grad():
        if func not in CUTS:
            return run.call(func, args, kwargs)
        passed: Tensor = Identity.apply(data[0], False)
    run.tracker.put(passed, replace(run.value(data[0]) or Value(), foldable=None, readers=None))
    call.shape = tuple(passed.shape)
    run.calls.append(call)
    run.intervals.add(start, call)
    return passed


def off_the_graph(
    run: Run,
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tensors: list[Tensor],
    data: list[Tensor],
    written: Tensor | None,
) -> Any:
    """Carry out a call that relevance does not flow through, and remember what it cuts off."""
    if written is not None and func is not torch.Tensor.detach_:
        refuse_unseen_write(run, func, written)
    lost = next((known for t in tensors if isinstance(known := run.tracker.get(t), Detached)), None)
    if func in _TO_PYTHON and (data or lost is not None):
        run.escapes.append(Detached(run.modules.path, f".{func.__name__}()"))
        args = map_tensors(as_constant, args)
    result = func(*args, **kwargs)
    if data:
        how = f".{func.__name__}()" if func in CUTS else "torch.no_grad()"
        lost = Detached(run.modules.path, ".data" if func.__name__ == "__get__" else how)
    if lost is not None:
        outputs = tensors_in(result)
        if written is not None:
            outputs += [written] if written._base is None else [written, written._base]
        for output in outputs:
            if output is written or not any(output is tensor for tensor in tensors):
                run.tracker.put(output, lost)
        return result
    if run.positions is not None:
        run.positions.follow(tensors, result, written)
    if run.ids.count:
        positions = run.ids.looked_up(func, args, kwargs, result)
        if positions is not None:
            return run.source(result, positions=positions)
        return run.ids.follow(func, args, kwargs, result, written)
    return result
