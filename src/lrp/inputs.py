"""What the user hands in: checks, and which tensors become sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lrp.engine.calls import Probe
from lrp.engine.run import Run
from lrp.engine.structure import describe, is_continuous, map_tensors
from lrp.errors import InputError
from lrp.reference import with_reference
from lrp.relevance import named_inputs

__all__ = ["Inputs", "check_source"]


class Inputs:
    """The inputs of one explanation.

    Args:
        given: a tensor or packed sequences, a tuple (positional) or a mapping (keywords).
        sources: names or positions of the inputs that are sources; None for every floating tensor and every tensor of
            integers that is looked up in an embedding; a module path (a str) for none of them.
        reference: the input that differences are taken to, see `with_reference`; None for none.

    Raises:
        InputError: nothing in them can be explained, or the reference does not fit.
    """

    def __init__(self, given: Any, sources: Sequence[str | int] | str | None, reference: Any = None) -> None:
        if not isinstance(given, (Tensor, tuple, Mapping)):
            raise InputError(
                "inputs are a tensor, a tuple of positional inputs or a mapping of keyword inputs",
                seen=describe(given),
                cure="torch.as_tensor(...)" if not isinstance(given, list) else "tuple(inputs), or torch.stack(inputs)",
            )
        self.given, self._named = given, sources is not None
        self._wanted = _chosen(named_inputs(given), sources)
        if not self._wanted and not isinstance(sources, str):
            raise self.no_source()
        for name, tensor in self._wanted.items():
            check_source(f"input {name!r}", tensor)
        continuous = {name: tensor for name, tensor in self._wanted.items() if is_continuous(tensor)}
        self.reference = None if reference is None else with_reference(given, reference, continuous)

    @property
    def mask(self) -> Tensor | None:
        """The attention mask of the output's positions, if there is one: with a decoder, the decoder's."""
        if not isinstance(self.given, Mapping):
            return None
        decoded = any(str(name).startswith("decoder_") for name in self.given)
        mask = self.given.get("decoder_attention_mask" if decoded else "attention_mask")
        return mask if isinstance(mask, Tensor) else None

    def tracked(self, run: Run) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments for the model, with every source tracked by the run."""
        names = iter(named_inputs(self.given))
        references = {} if self.reference is None else named_inputs(self.reference)

        def argument(tensor: Tensor) -> Tensor:
            # a copy, so that a model that writes into its inputs leaves the user's alone
            name, copy = next(names), tensor.clone()
            wanted = name in self._wanted
            if wanted and is_continuous(tensor):
                return run.source(tensor, reference=references.get(name))
            if wanted:
                run.ids.add(copy)
            return copy

        return _arguments(map_tensors(argument, self.given))

    def arguments_of_reference(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments for the model that are the reference."""
        return _arguments(map_tensors(torch.clone, self.reference))

    def values(self) -> Any:
        """The inputs' structure with copies of their tensors, None in the place of all else."""
        return map_tensors(lambda tensor: tensor.detach().clone(), self.given, others=False)

    def described(self) -> str:
        """The inputs in words."""
        return ", ".join(f"{name}: {describe(tensor)}" for name, tensor in named_inputs(self.given).items())

    def no_source(self) -> InputError:
        """The error where none of the inputs is a source."""
        if self._named and self._wanted:
            return self._not_looked_up(next(iter(self._wanted)))
        return InputError(
            "no input is a floating tensor or is looked up in an embedding, so there is nothing that relevance could "
            "be wanted for",
            seen=self.described() or "no tensor",
            cure="images as floats, scaled as in training (image.float() / 255)",
        )

    def at_module(self, run: Run, path: str, output: Any) -> Any:
        """A module's output with its floating tensors as the sources; none of the inputs is one."""

        def source(tensor: Tensor) -> Tensor:
            if not is_continuous(tensor):
                return tensor
            check_source(f"output of {path!r}", tensor)
            return run.source(tensor)

        return map_tensors(source, output)

    def _not_looked_up(self, name: str) -> InputError:
        return InputError(
            f"input {name!r} is no floating tensor, and nothing on the way was looked up by it",
            seen=describe(self._wanted[name]),
            cure="an input that is looked up in an embedding, or floats (image.float() / 255)",
        )

    def with_relevance(self, sources: Sequence[Probe], relevances: Sequence[Tensor | None]) -> Any:
        """The inputs' structure with relevance in the place of each source, None elsewhere.

        Raises:
            InputError: an input that relevance was asked for is no source.
        """
        pairs = list(zip(sources, relevances, strict=True))
        dense = iter(relevance for probe, relevance in pairs if probe.positions is None)
        looked_up = [(probe.positions, r) for probe, r in pairs if probe.positions is not None and r is not None]
        integers = [tensor for tensor in self._wanted.values() if not is_continuous(tensor)]
        by_token = iter(_by_token(looked_up, [tensor.shape for tensor in integers]))
        names = iter(named_inputs(self.given))

        def relevance(tensor: Tensor) -> Tensor | None:
            name = next(names)
            if name not in self._wanted:
                return None
            if is_continuous(tensor):
                return next(dense)
            found = next(by_token)
            if found is None and self._named:
                raise self._not_looked_up(name)
            return found

        return map_tensors(relevance, self.given, others=False)


def _arguments(given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(given, Mapping):
        return (), dict(given)
    return (given,) if isinstance(given, (Tensor, PackedSequence)) else tuple(given), {}


def _by_token(looked_up: Sequence[tuple[Tensor, Tensor]], shapes: Sequence[torch.Size]) -> Iterator[Tensor | None]:
    """The relevance of each element of integer inputs of these shapes: the sum of that of all it looked up."""
    count = sum(shape.numel() for shape in shapes)
    total: Tensor | None = None
    reached = torch.zeros(count + 1, dtype=torch.bool)
    for positions, relevance in looked_up:
        targets = relevance.dim() - positions.dim()  # an axis of several targets comes first
        over = [axis - positions.dim() for axis, size in enumerate(positions.shape) if size == 1]
        amounts = (relevance.sum(over, keepdim=True) if over else relevance).flatten(targets)
        total = amounts.new_zeros((*relevance.shape[:targets], count + 1)) if total is None else total
        total = total.index_add(-1, positions.flatten(), amounts)
        reached[positions.flatten().cpu()] = True
    start = 1
    for shape in shapes:
        part = slice(start, start := start + shape.numel())
        found = bool(reached[part].any())
        yield total[..., part].view(*total.shape[:-1], *shape) if total is not None and found else None


def _chosen(named: Mapping[str, Tensor], sources: Sequence[str | int] | str | None) -> dict[str, Tensor]:
    if isinstance(sources, str):
        return {}
    if sources is not None and not isinstance(sources, Sequence):
        raise InputError(
            "sources are a list of input names or positions, or a module path", seen=repr(sources), cure="[0] or ['x']"
        )
    if sources is None:
        return {name: tensor for name, tensor in named.items() if tensor.layout is torch.strided}
    chosen = {}
    for source in sources:
        name = str(source) if str(source) in named else "input" if len(named) == 1 and source == 0 else ""
        if not name:
            raise InputError(
                f"there is no input {source!r}", where="sources", seen=", ".join(named), cure="one of these names"
            )
        chosen[name] = named[name]
    return chosen


def check_source(where: str, tensor: Tensor) -> None:
    """Refuse what relevance cannot be wanted for.

    Raises:
        InputError: a sparse tensor, no elements, values that are not finite.
    """
    if tensor.layout is not torch.strided:
        raise InputError(
            "a sparse tensor is a constant, relevance cannot be wanted for it",
            where=where,
            seen=str(tensor.layout),
            cure="a dense matrix; or the weights of its edges as the input, with index_add in the place of the product",
        )
    if tensor.numel() == 0:
        raise InputError("the input is empty", where=where, seen=describe(tensor), cure="at least one sample")
    tensor = tensor.detach()
    finite = torch.isfinite(tensor)
    if not bool(finite.all()):
        at = tuple(int(i) for i in (~finite).nonzero()[0])
        raise InputError(
            "the input has values that are not finite",
            where=f"{where} at {at}",
            seen=f"{tensor[at].item()}, {int((~finite).sum())} of {tensor.numel()} values",
            cure="fill or drop missing values first",
        )
