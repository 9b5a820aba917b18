"""`reference=`: the input that differences are taken to, checked and given the shape of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lrp.composite import Composite
from lrp.engine.differences import reference_of
from lrp.engine.run import Run
from lrp.engine.structure import describe, map_tensors, tensors_in
from lrp.errors import CompositeError, InputError, ModelError
from lrp.relevance import named_inputs
from lrp.rules.linear import Zero

__all__ = ["check_same_way", "refuse_other_rules", "with_reference"]

_MEAN_OVER_BATCH = {"zero": torch.zeros_like, "mean": lambda x: x.mean(0, keepdim=True).expand_as(x)}


def with_reference(given: Any, reference: Any, sources: Mapping[str, Tensor]) -> Any:
    """The inputs with the reference in the place of each source, expanded to its shape.

    Args:
        given: the inputs.
        reference: `"zero"`, `"mean"` (over the batch), or inputs of the same structure.
        sources: the inputs that are sources, by name.

    Raises:
        InputError: it is no reference for these inputs.
    """
    names = iter(named_inputs(given))
    if isinstance(reference, str):
        if reference not in _MEAN_OVER_BATCH:
            raise _unfit("there is no such reference", repr(reference))
        make = _MEAN_OVER_BATCH[reference]
        return map_tensors(lambda x: make(x) if next(names) in sources else x, given)
    found = named_inputs(reference)
    if found.keys() != named_inputs(given).keys() or type(reference) is not type(given):
        raise _unfit("the reference has another structure than the inputs", describe(reference))

    def place(x: Tensor) -> Tensor:
        name = next(names)
        if name in sources:
            return _like(name, found[name], x)
        if not torch.equal(found[name], x):
            raise _unfit(f"input {name!r} is no source of floats, so its reference is the same", describe(found[name]))
        return x

    return map_tensors(place, given)


def _like(name: str, reference: Tensor, x: Tensor) -> Tensor:
    """A reference expanded to the shape of its input."""
    try:
        expanded = reference.detach().to(x.dtype).expand(x.shape)
    except RuntimeError:
        raise _unfit(f"the reference of input {name!r} has another shape", describe(reference), describe(x)) from None
    if not bool(torch.isfinite(expanded).all()):
        raise _unfit(f"the reference of input {name!r} has values that are not finite", describe(reference))
    return expanded


def _unfit(what: str, seen: str, fits: str = "inputs of the same structure") -> InputError:
    return InputError(what, where="reference", seen=seen, cure=f'"zero", "mean" or {fits}')


def refuse_other_rules(composite: Composite) -> None:
    """Differences to a reference have rules of their own.

    Raises:
        CompositeError: an entry names a rule other than LRP-0.
    """
    for selector, rule in composite.entries:
        if not isinstance(rule, Zero):
            raise CompositeError(
                "with a reference the only rule is LRP-0 on differences",
                where=f"reference, composite {composite.name!r}",
                seen=f"({selector}, {rule})",
                cure="composite=None, or lrp.presets.zero()",
            )


def check_same_way(run: Run, model: Callable[[], Any], output: Any) -> None:
    """Compare what the op calls of the inputs made of the reference with what the model makes of it.

    Raises:
        ModelError: the model carries out other op calls for the reference.
    """
    with torch.no_grad():
        native = tensors_in(model())
    pairs = zip(tensors_in(output), native, strict=False)
    followed = [(reference_of(run, tensor), other) for tensor, other in pairs if run.value(tensor) is not None]
    if all(one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-6) for one, other in followed):
        return
    raise ModelError(
        "the model takes another way for the reference than for the input",
        where="reference",
        seen="another output for the reference than by the op calls of the input",
        cure="a reference on the same side of every comparison that the model makes",
    )
