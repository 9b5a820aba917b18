"""`reference=`: the input that differences are taken to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

__all__ = ["refuse_another_way", "refuse_beside_reference", "with_reference"]

_WORDS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "zero": torch.zeros_like,
    "mean": lambda x: x.mean(0, keepdim=True).expand_as(x),
}


def with_reference(given: Any, reference: Any, sources: Mapping[str, Tensor]) -> Any:
    """The inputs with the reference in the place of each source, expanded to its shape.

    Args:
        given: the inputs.
        reference: `"zero"`, `"mean"` (over the batch), or inputs of the same structure.
        sources: the inputs that are sources, by name.

    Raises:
        InputError: it is no reference for these inputs.
    """
    found: Mapping[str, Tensor] = {}
    if not isinstance(reference, str):
        found = named_inputs(reference)
        if found.keys() != named_inputs(given).keys():
            raise _unfit("the reference has another structure than the inputs", describe(reference), describe(given))
    elif reference not in _WORDS:
        raise _unfit("there is no such reference", repr(reference), "inputs of the same structure")
    names = iter(named_inputs(given))

    def counterpart(x: Tensor) -> Tensor:
        name = next(names)
        if isinstance(reference, str):
            return _WORDS[reference](x.detach()) if name in sources else x
        if name in sources:
            return _like(name, found[name], x)
        if not torch.equal(found[name], x):
            raise _unfit(
                f"input {name!r} is no source of floats, so the reference has the same", *_both(found[name], x)
            )
        return x

    return map_tensors(counterpart, given)


def _like(name: str, reference: Tensor, x: Tensor) -> Tensor:
    """A reference expanded to the shape of its input."""
    if reference.dtype != x.dtype or reference.device != x.device:
        raise _unfit(f"the reference of input {name!r} has another type or device", *_both(reference, x))
    try:
        expanded = reference.detach().expand(x.shape)
    except RuntimeError:
        raise _unfit(f"the reference of input {name!r} has another shape", *_both(reference, x)) from None
    if not bool(torch.isfinite(expanded).all()):
        raise _unfit(f"the reference of input {name!r} has values that are not finite", *_both(reference, x))
    return expanded


def _both(reference: Tensor, x: Tensor) -> tuple[str, str]:
    return f"{describe(reference)} on {reference.device}", f"{describe(x)} on {x.device}"


def _unfit(what: str, seen: str, fits: str) -> InputError:
    return InputError(what, where="reference", seen=seen, cure=f'"zero", "mean" or {fits}')


def refuse_beside_reference(
    composite: Composite | None,
    sources: Sequence[str | int] | str | None,
    reference_output: float | Tensor | None,
    positions: bool,
) -> None:
    """Refuse options that a reference input does not go with.

    Raises:
        CompositeError: an entry names a rule other than LRP-0.
        InputError: relevance is to end at a module or at positions, or there is a reference output too.
    """
    for selector, rule in composite.entries if composite is not None else ():
        if not isinstance(rule, Zero):
            raise CompositeError(
                "with a reference the only rule is LRP-0 on differences",
                where=f"reference, composite {composite.name!r}" if composite is not None else "reference",
                seen=f"({selector}, {rule})",
                cure="composite=None, or lrp.presets.zero()",
            )
    if isinstance(sources, str):
        raise InputError(
            "the reference is for the inputs, and relevance is to end at a module",
            where="reference",
            seen=f"sources={sources!r}",
            cure="the part of the model behind that module, explained by itself",
        )
    if reference_output is not None:
        raise InputError(
            "a reference input gives the output that is compared with, so there is no other",
            where="reference",
            seen="reference_output= too",
            cure="one of the two",
        )
    if positions:
        raise InputError(
            "positional embeddings are the same for the input and its reference, so no difference comes from them",
            where="reference",
            seen="positions=True",
            cure="one of the two",
        )


def refuse_another_way(run: Run, output: Any, reference_output: Any) -> None:
    """Compare what the op calls of the inputs made of the reference with what the model makes of it.

    Args:
        run: the forward pass.
        output: what the model returned for the inputs.
        reference_output: what it returns for the reference.

    Raises:
        InputError: the output for the reference is not finite.
        ModelError: the model carries out other op calls for the reference.
    """
    followed, native = tensors_in(output), tensors_in(reference_output)
    pairs = [(t, other) for t, other in zip(followed, native, strict=False) if run.value(t) is not None]
    if any(bool(torch.isfinite(t).all()) and not bool(torch.isfinite(other).all()) for t, other in pairs):
        raise InputError(
            "what the model makes of the reference is not finite",
            where="reference",
            cure="a reference that the model has a finite output for",
        )
    same = len(followed) == len(native)
    if same and all(_close(reference_of(run, tensor), other.detach()) for tensor, other in pairs):
        return
    raise ModelError(
        "the model takes another way for the reference than for the input",
        where="reference",
        seen="another output than the op calls of the input give for the reference",
        cure="a reference on the same side of every choice that the model makes by its values, and no data that leaves "
        "the graph (.detach(), torch.no_grad())",
    )


def _close(one: Tensor, other: Tensor) -> bool:
    """Equal up to rounding, on the scale of the largest element."""
    if one.shape != other.shape:
        return False
    if not one.numel():
        return True
    apart, scale = (one - other).abs().nan_to_num().max(), other.abs().nan_to_num().max()
    return bool(apart <= torch.finfo(one.dtype).eps ** 0.5 * scale)
