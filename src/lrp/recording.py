"""`record`: relevance through any code, no model needed."""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor

from lrp.composite import Composite
from lrp.engine.run import Run
from lrp.engine.taps import Books
from lrp.errors import InputError, TargetError
from lrp.inputs import Inputs
from lrp.presets import zero
from lrp.relevance import Relevance
from lrp.result import Forward, finish
from lrp.rules.linear import InputRule
from lrp.targets import Call, Start

__all__ = ["Tape", "record"]

INDEXING = frozenset({"Select", "Slice", "Index", "Gather", "Squeeze", "Unsqueeze", "View", "UnsafeView", "Reshape"})
"""What may be done to a recorded tensor after the block, as in `tape.relevance(y[0, 3])`: it moves elements alone."""


class Tape:
    """What `record` gives: `source` marks inputs, `relevance` propagates from one or more numbers."""

    def __init__(self, composite: Composite, ledger: Books, positions: bool) -> None:
        has_input_rule = any(isinstance(rule, InputRule) for _, rule in composite.entries)
        self._run = Run(None, composite, ledger, relevance_form=has_input_rule, positions=positions)
        self._sources: list[Tensor] = []

    def __enter__(self) -> Tape:
        self._run.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run.__exit__(kind, error, trace)

    def source(self, tensor: Tensor) -> Tensor:
        """The tensor as a source of relevance: go on with what this returns.

        Raises:
            InputError: it is no tensor, is empty or has values that are not finite.
        """
        if not isinstance(tensor, Tensor):
            raise InputError("a source is a tensor", seen=type(tensor).__name__, cure="torch.as_tensor(...)")
        (tracked,), _ = Inputs(tensor, None).tracked(self._run)
        self._sources.append(tensor)
        return tracked

    def relevance(self, explained: Tensor) -> Relevance:
        """Propagate from a scalar (one sample, explained has shape `(1,)`) or from one number per sample, `(N,)`.

        `r.input` is a tensor for one source, a tuple for several, in the order they were marked.

        Raises:
            TargetError: it is not such a tensor.
        """
        if not isinstance(explained, Tensor) or explained.dim() > 1 or not explained.is_floating_point():
            raise TargetError(
                "relevance starts at a scalar or at one number per sample",
                seen=str(tuple(explained.shape)) if isinstance(explained, Tensor) else type(explained).__name__,
                cure="for example tape.relevance(y[0, 3])",
            )
        run = self._run
        with torch.enable_grad(), run:
            start = explained.reshape(1) if explained.dim() == 0 else explained
        given = Inputs(self._sources[0] if len(self._sources) == 1 else tuple(self._sources), None)
        forward = Forward(
            *(run, given, explained, Start(start, [start], None), Call(lambda output: output), (), ()),
            reduce=lambda path, relevance: relevance,
            modules=(),
        )
        return finish(forward, lambda: forward, retain=True, beyond=INDEXING)


def record(composite: Composite | None = None, *, positions: bool = False, ledger: Books = "sinks") -> Tape:
    """See every torch call of a `with` block, so that relevance can be sent back through it.

    Args:
        composite: which rule meets which op call; None is LRP-0 (`presets.zero`), as nothing is known in advance.
        positions, ledger: as in `explain`; of the modules that the block calls.

    >>> import torch, lrp
    >>> with lrp.record() as tape:
    ...     x = tape.source(torch.tensor([1.0, 2.0]))
    ...     y = (x * torch.tensor([3.0, 4.0])).sum()
    >>> tape.relevance(y).input
    tensor([3., 8.])
    """
    return Tape(composite if composite is not None else zero(), ledger, positions)
