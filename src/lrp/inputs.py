"""What the user hands in: checks, and which tensors become sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lrp.engine.run import Run
from lrp.engine.structure import describe, map_tensors
from lrp.errors import InputError
from lrp.relevance import named_inputs

__all__ = ["Inputs", "check_source"]


class Inputs:
    """The inputs of one explanation.

    Args:
        given: a tensor, a tuple (positional) or a mapping (keywords).
        sources: names or positions of the inputs that are sources; None for every floating tensor; a module path (a
            str) for none of them.

    Raises:
        InputError: nothing in them can be explained.
    """

    def __init__(self, given: Any, sources: Sequence[str | int] | str | None) -> None:
        if not isinstance(given, (Tensor, tuple, Mapping)):
            raise InputError(
                "inputs are a tensor, a tuple of positional inputs or a mapping of keyword inputs",
                seen=describe(given),
                cure="torch.as_tensor(...)" if not isinstance(given, list) else "tuple(inputs), or torch.stack(inputs)",
            )
        self.given = given
        named = named_inputs(given)
        self._wanted = _chosen(named, sources)
        if not isinstance(sources, str):
            _check(named, self._wanted)

    @property
    def mask(self) -> Tensor | None:
        """The attention mask, where the inputs have one by this name."""
        mask = self.given.get("attention_mask") if isinstance(self.given, Mapping) else None
        return mask if isinstance(mask, Tensor) else None

    def tracked(self, run: Run) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments for the model, with every source tracked by the run."""
        names = iter(named_inputs(self.given))

        def argument(tensor: Tensor) -> Tensor:
            # a copy, so that a model that writes into its inputs leaves the user's alone
            return run.source(tensor) if next(names) in self._wanted else tensor.clone()

        tracked = map_tensors(argument, self.given)
        if isinstance(tracked, Mapping):
            return (), dict(tracked)
        return (tracked,) if isinstance(tracked, Tensor) else tuple(tracked), {}

    def at_module(self, run: Run, path: str, output: Any) -> Any:
        """A module's output with its floating tensors as the sources; none of the inputs is one."""

        def source(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor
            check_source(f"output of {path!r}", tensor)
            return run.source(tensor)

        return map_tensors(source, output)

    def with_relevance(self, relevances: Sequence[Tensor | None]) -> Any:
        """The inputs' structure with relevance in the place of each source, None elsewhere."""
        names, found = iter(named_inputs(self.given)), iter(relevances)
        return map_tensors(lambda _: next(found) if next(names) in self._wanted else None, self.given, others=False)


def _chosen(named: Mapping[str, Tensor], sources: Sequence[str | int] | str | None) -> dict[str, Tensor]:
    if isinstance(sources, str):
        return {}
    if sources is not None and not isinstance(sources, Sequence):
        raise InputError(
            "sources are a list of input names or positions, or a module path", seen=repr(sources), cure="[0] or ['x']"
        )
    if sources is None:
        return {name: tensor for name, tensor in named.items() if tensor.is_floating_point()}
    chosen = {}
    for source in sources:
        name = str(source) if str(source) in named else "input" if len(named) == 1 and source == 0 else ""
        if not name:
            raise InputError(
                f"there is no input {source!r}", where="sources", seen=", ".join(named), cure="one of these names"
            )
        chosen[name] = named[name]
    return chosen


def _check(named: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    if not wanted:
        integers = ", ".join(f"{name}: {describe(tensor)}" for name, tensor in named.items())
        raise InputError(
            "no input is a floating tensor, so there is nothing that relevance could be wanted for",
            seen=integers or "no tensor",
            cure="images as floats, scaled as in training (image.float() / 255)",
        )
    for name, tensor in wanted.items():
        check_source(f"input {name!r}", tensor)


def check_source(where: str, tensor: Tensor) -> None:
    """Refuse what relevance cannot be wanted for.

    Raises:
        InputError: integers, float16, no elements, values that are not finite.
    """
    if not tensor.is_floating_point():
        raise InputError(f"{where} is no floating tensor", seen=describe(tensor), cure="image.float() / 255")
    if tensor.dtype == torch.float16:
        raise InputError("float16 overflows in a relevance pass", where=where, cure="model.float(), inputs.float()")
    if tensor.numel() == 0:
        raise InputError("the input is empty", where=where, seen=describe(tensor), cure="at least one sample")
    tensor = tensor.detach()
    finite = torch.isfinite(tensor)
    if not bool(finite.all()):
        at = tuple(int(i) for i in (~finite).nonzero()[0])
        raise InputError(
            "the input has values that are not finite",
            where=f"{where} at {at}",
            seen=f"{float(tensor[at])}, {int((~finite).sum())} of {tensor.numel()} values",
            cure="fill or drop missing values first",
        )
