"""`explain` and `Explainer`: from a model and inputs to a `Relevance`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from lrp.composite import Composite
from lrp.engine.modules import Frame, refuse_compiled, refuse_training
from lrp.engine.run import Books, Run
from lrp.engine.structure import map_tensors
from lrp.errors import CompositeError, InputError, LayerError, LRPError
from lrp.inputs import Inputs
from lrp.presets import auto, zero
from lrp.relevance import Relevance, nearest
from lrp.result import Forward, finish
from lrp.targets import Target, as_target

__all__ = ["Explainer", "explain"]

Keep = str | Sequence[str] | Mapping[str, Callable[[Tensor], Tensor]]


def explain(
    model: Callable[..., Any],
    inputs: Any,
    *,
    target: Any = None,
    composite: Composite | None = None,
    sources: Sequence[str | int] | str | None = None,
    keep: Keep = (),
    through_output: bool = False,
    ledger: Books = "sinks",
) -> Relevance:
    """Say which inputs, layers and neurons an output of a model came from.

    The relevance of the sources and the rows of the ledger add up to the explained output. The model is not changed.

    Args:
        model: any module in eval mode, or any function of tensors; nothing is moved or cast.
        inputs: a tensor `(N, ...)`, a tuple of positional inputs or a mapping of keyword inputs.
        target: which output: None (the top class, or the only output), a class index, an integer tensor `(N,)`, a
            target from `lrp.targets`, or a function of what the model returned that gives `(N,)`.
        composite: which rule meets which op call; None lets `presets.auto` choose.
        sources: names or positions of the inputs that relevance is wanted for (None: every floating one), or the path
            of a module: then relevance ends at its output.
        keep: modules whose relevance is kept: paths with shell patterns, `"all"`, or a mapping from pattern to a
            reduction (`lrp.channels`, `lrp.total`).
        through_output: explain the output of a final sigmoid or softmax, not its input.
        ledger: `"sinks"`, `"calls"` (names the op call that loses relevance; up to twice the time), or False.

    Raises:
        LRPError: each with what went wrong, where, what was seen and the cure; see `lrp.errors`.

    >>> import torch, lrp
    >>> layer = torch.nn.Linear(2, 1)
    >>> _ = torch.nn.init.constant_(layer.weight, 2.0), torch.nn.init.constant_(layer.bias, 1.0)
    >>> r = lrp.explain(layer, torch.tensor([[3.0, -1.0]]))
    >>> r.input.tolist(), r.explained.tolist(), float(r.ledger.kept)
    ([[6.0, -2.0]], [5.0], 1.0)
    """
    explainer = Explainer(
        model,
        composite=composite,
        sources=sources,
        keep=keep,
        through_output=through_output,
        ledger=ledger,
    )
    return explainer(inputs, target=target)


class Explainer:
    """A model with the options of `explain`; `explainer(inputs, target=...)` explains one batch.

    >>> import torch, lrp
    >>> explainer = lrp.Explainer(torch.nn.Linear(2, 3), composite=lrp.presets.zero())
    >>> explainer(torch.randn(4, 2), target=2).input.shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        composite: Composite | None = None,
        sources: Sequence[str | int] | str | None = None,
        keep: Keep = (),
        through_output: bool = False,
        ledger: Books = "sinks",
    ) -> None:
        if not callable(model):
            raise InputError("the model is not callable", seen=type(model).__name__, cure="a torch.nn.Module")
        if composite is not None and not isinstance(composite, Composite):
            raise CompositeError(
                f"a {type(composite).__name__} is no composite",
                seen=repr(composite),
                cure="lrp.presets.epsilon_plus() (called), or lrp.Composite([...])",
            )
        if ledger not in ("sinks", "calls", False):
            raise LRPError("there is no such ledger", seen=repr(ledger), cure='"sinks", "calls" or False')
        self.model, self.composite, self.sources = model, composite, sources
        self.through_output, self.ledger = through_output, ledger
        self._module = model if isinstance(model, nn.Module) else None
        self._paths = [name for name, _ in self._module.named_modules() if name] if self._module is not None else []
        self._keep = _Keep(keep, self._paths)
        if isinstance(sources, str) and sources not in self._paths:
            raise LayerError(f"there is no module {sources!r}", where="sources", cure=nearest(sources, self._paths))

    def __call__(self, inputs: Any, *, target: Any = None) -> Relevance:
        """Explain one batch; see `explain`."""
        chosen = as_target(target)
        if self._module is not None:
            refuse_compiled(self._module.named_modules())
            refuse_training(self._module.named_modules())
        given = Inputs(inputs, self.sources)
        with torch.inference_mode(False), _unchanged(self._module):
            forward = self._forward(given, chosen)
            return finish(forward, self._again(given, chosen))

    def _again(self, given: Inputs, target: Target) -> Callable[[], Forward]:
        """The same forward pass once more, for books by sample."""

        def again() -> Forward:
            with torch.inference_mode(False), _unchanged(self._module):
                return self._forward(given, target)

        return again

    def _forward(self, given: Inputs, target: Target) -> Forward:
        """Run the model under its composite; `auto` guesses by the modules, and looks at the operations met."""
        if self.composite is not None and self.composite.needs_plan:
            plan = self._under(zero(), given, target)
            return self._under(self.composite.knowing(plan.run.last_calls(plan.explained)), given, target)
        if self.composite is not None:
            return self._under(self.composite, given, target)
        modules = self._module.modules() if self._module is not None else ()
        guess = auto({"conv"} if any(isinstance(m, nn.modules.conv._ConvNd) for m in modules) else set())
        forward = self._under(guess, given, target)
        met = auto({call.family for call in forward.run.calls})
        return forward if met.name == guess.name else self._under(met, given, target)

    def _under(self, composite: Composite, given: Inputs, target: Target, relevance_form: bool = False) -> Forward:
        kept: list[tuple[str, str, int, Any]] = []

        def on_enter(frame: Frame, args: Any) -> None:
            if self._keep(frame.path):
                kept.append((frame.path, "in", frame.use, _probes(run, args)))

        def on_exit(frame: Frame, output: Any) -> Any:
            replaced = None
            if frame.path == self.sources:
                replaced = output = given.at_module(run, frame.path, output)
            if self._keep(frame.path) or frame.path == self.sources:
                kept.append((frame.path, "out", frame.use, _probes(run, output)))
            return replaced

        run = Run(self._module, composite, self.ledger, on_enter, on_exit, relevance_form=relevance_form)
        with run:
            args, kwargs = given.tracked(run)
            try:
                output = self.model(*args, **kwargs)
            except LRPError:
                raise
            except Exception as error:
                failure = _explained_failure(error, run)
                if failure is None:
                    raise
                raise failure from error
            with run.modules.inside("(target)"):
                logits, stepped = (
                    (output, "") if self.through_output or not target.takes_logits else run.logits_of(output)
                )
                explained, indices = target.pick(logits)
        if run.needs_relevance_form and not relevance_form:
            return self._under(composite, given, target, relevance_form=True)
        return Forward(run, given, output, explained, indices, target, stepped, kept, self._keep.reduce, self._paths)


class _Keep:
    """The modules whose relevance is kept."""

    def __init__(self, keep: Keep, paths: Sequence[str]) -> None:
        self._every = keep == "all"
        listed: Iterable[str] = [] if self._every else [keep] if isinstance(keep, str) else keep
        self._patterns = list(listed)
        self._reductions = dict(keep) if isinstance(keep, Mapping) else {}
        for pattern in self._patterns:
            if not any(fnmatchcase(path, pattern) for path in paths):
                raise LayerError(
                    f"keep={pattern!r} matches no module", seen=f"{len(paths)} modules", cure=nearest(pattern, paths)
                )

    def __call__(self, path: str) -> bool:
        return bool(path) and (self._every or any(fnmatchcase(path, pattern) for pattern in self._patterns))

    def reduce(self, path: str, relevance: Any) -> Any:
        for pattern, reduction in self._reductions.items():
            if fnmatchcase(path, pattern):
                return map_tensors(reduction, relevance)
        return relevance


def _probes(run: Run, structure: Any) -> Any:
    """The structure with a probe for every tensor that carries data, and None elsewhere."""
    return map_tensors(lambda t: run.probe(t) if run.value(t) is not None else None, structure, others=False)


def _explained_failure(error: Exception, run: Run) -> InputError | None:
    """An error of torch in the forward pass with its place; None for an error of the model's own code."""
    if run.failed is None or run.failed[0] is not error:
        return None
    _, where, shapes = run.failed
    return InputError(
        "the model's forward pass failed on this input",
        where=where or "(model)",
        seen=f"{error} (operands: {', '.join(map(str, shapes)) or 'none'})",
        cure="check that model(inputs) runs on its own: shape, dtype and device of the input are the user's",
    )


@contextmanager
def _unchanged(model: nn.Module | None) -> Iterator[None]:
    """Keep the random state, and leave no graph in the model's buffers."""
    devices = (
        list(range(torch.cuda.device_count())) if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    )
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for module in model.modules() if model is not None else ():
                for name, buffer in module._buffers.items():
                    if buffer is not None and buffer.grad_fn is not None:
                        module._buffers[name] = buffer.detach()
