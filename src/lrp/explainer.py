"""`explain` and `Explainer`: from a model and inputs to a `Relevance`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from lrp.composite import Composite
from lrp.engine.modules import Frame, is_scan, refuse_training
from lrp.engine.reference import per_sample, references
from lrp.engine.run import Run
from lrp.engine.structure import map_tensors
from lrp.engine.taps import Books
from lrp.engine.uncompiled import named_modules
from lrp.errors import CompositeError, InputError, LayerError, LRPError, ModelError, TargetError, nearest
from lrp.inputs import Inputs
from lrp.presets import auto, zero
from lrp.reference import refuse_another_way, refuse_beside_reference
from lrp.relevance import Relevance
from lrp.result import Forward, finish
from lrp.targets import Context, Several, Target, as_target, pick

__all__ = ["Explainer", "explain"]

_FAMILIES = {
    nn.modules.conv._ConvNd: "conv",
    nn.modules.rnn.RNNBase: "recurrence",
    nn.modules.rnn.RNNCellBase: "recurrence",
}
"""What the modules of a model tell of the op calls to come."""


def _families(module: nn.Module) -> Iterator[str]:
    """The families of op calls that a module is likely to make."""
    yield from (family for kind, family in _FAMILIES.items() if isinstance(module, kind))
    if "attention" in type(module).__name__.lower():
        yield "attention"
    if is_scan(module):
        yield "scan"


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
    labels: Sequence[str] = (),
    reference: Any = None,
    reference_output: float | Tensor | None = None,
    positions: bool = False,
    ledger: Books = "sinks",
) -> Relevance:
    """Say which inputs, layers and neurons an output of a model came from.

    The relevance of the sources and the rows of the ledger add up to the explained output. The model is not changed.

    Args:
        model: any module in eval mode, or any function of tensors; nothing is moved or cast.
        inputs: a tensor `(N, ...)`, a tuple of positional inputs or a mapping of keyword inputs.
        target: which output: None (the top class, or the only output), a class index or name, an integer tensor
            `(N,)`, a target from `lrp.targets` (`Several` for several at once), or a function of what the model
            returned that gives `(N,)`.
        composite: which rule meets which op call; None lets `presets.auto` choose.
        sources: names or positions of the inputs that relevance is wanted for (None: every floating one, and every
            one of integers that is looked up in an embedding: one number per token), or the path of a module: then
            relevance ends at its output.
        keep: modules whose relevance is kept: paths with shell patterns, `"all"`, or a mapping from pattern to a
            reduction (`lrp.channels`, `lrp.total`).
        through_output: explain the output of a final sigmoid or softmax, not its input.
        labels: the names of the classes, in the order of the class axis.
        reference: `"zero"`, `"mean"` (over the batch) or inputs of the same structure, broadcast over the batch: the
            difference `f(x) - f(reference)` is explained, by LRP-0 on differences of activations (DeepLIFT's rescale
            rule), and the relevance of the sources adds up to it. Only with `presets.zero` or no composite; tokens
            have none. Max pooling hands each winner what it changes; `(on.op(F.max_pool2d), rules.Zero())` takes its
            gradient instead, as captum does, which does not add up. The model runs twice, the second time as a check.
        reference_output: a number, or a tensor `(N,)`: `f(x) - reference_output` is explained, so that relevance says
            what lifts the output above it. It leaves the bias of the last linear layer or convolution, one of whose
            outputs the target must pick; rules that divide by its output see `z - reference_output`, and the ledger
            shows it as `reference`. The model runs twice.
        positions: positional embeddings are sources of their own, after PA-LRP: what is added to tokens `(N, T, D)`,
            one vector for each position, out of one parameter or buffer of the model (a table read at positions of the
            model's own making, `pos_embed`, stored sinusoids; token types too). `r.positions` holds their relevance,
            which else is in `constant` rows of the ledger; that of the inputs stays the same. Rotary positions are not
            among them: a rotation multiplies queries and keys, so that its share would be one of convention and taken
            from the tokens. Nor are biases of attention scores, which speak of pairs. Not with a reference input.
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
        labels=labels,
        reference_output=reference_output,
        positions=positions,
        ledger=ledger,
    )
    return explainer(inputs, target=target, reference=reference)


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
        labels: Sequence[str] = (),
        reference_output: float | Tensor | None = None,
        positions: bool = False,
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
        if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
            raise TargetError("labels are a list of class names", seen=repr(labels)[:80], cure='labels=["cat", "dog"]')
        self.through_output, self.labels, self.ledger = through_output, tuple(labels), ledger
        self.reference_output, self.positions = reference_output, positions
        self._module = model if isinstance(model, nn.Module) else None
        self._paths = [name for name, _ in named_modules(self._module) if name] if self._module is not None else []
        self._keep = _Keep(keep, self._paths)
        if isinstance(sources, str) and sources not in self._paths:
            raise LayerError(f"there is no module {sources!r}", where="sources", cure=nearest(sources, self._paths))

    def __call__(self, inputs: Any, *, target: Any = None, reference: Any = None) -> Relevance:
        """Explain one batch; see `explain`."""
        chosen = as_target(target)
        if reference is not None:
            refuse_beside_reference(self.composite, self.sources, self.reference_output, self.positions)
        if self._module is not None:
            refuse_training(named_modules(self._module))
        given = Inputs(inputs, self.sources, reference)
        with torch.inference_mode(False), _unchanged(self._module):
            forward = self._forward(given, chosen)
            return finish(forward, self._again(given, chosen))

    def _again(self, given: Inputs, target: Target | Several) -> Callable[[], Forward]:
        """The same forward pass once more, for books by sample."""

        def again() -> Forward:
            with torch.inference_mode(False), _unchanged(self._module):
                return self._forward(given, target)

        return again

    def _forward(self, given: Inputs, target: Target | Several) -> Forward:
        """Run the model under its composite, and once more where a reference output is to leave a bias."""
        forward = self._fitting(given, target)
        run, start = forward.run, forward.start
        if self.reference_output is None or any(run.value(part) is None for part in start.parts):
            return forward
        value = per_sample(self.reference_output, start.parts[0])
        found = references(run, start.parts, value)
        less = self._under(_Way(run.composite, run.relevance_form, found, start.indices), given, target)
        again = references(less.run, less.start.parts, value)
        if again.keys() != found.keys() or not all(torch.equal(again[number], found[number]) for number in found):
            raise TargetError(
                "the reference output changes which output of the model is picked",
                where="reference_output",
                seen="operations behind the last linear layer that choose by value",
                cure="a target that picks the same output whatever its value",
            )
        return replace(less, output=forward.output, less_reference=True)

    def _fitting(self, given: Inputs, target: Target | Several) -> Forward:
        """Run the model under its composite; `auto` guesses by the modules, and looks at the operations met."""
        composite = zero() if self.composite is None and given.reference is not None else self.composite
        if composite is not None and composite.needs_plan:
            plan = self._under(_Way(zero()), given, target)
            last = plan.run.last_calls(plan.start.explained)
            return self._under(_Way(composite.knowing(last)), given, target)
        if composite is not None:
            return self._under(_Way(composite), given, target)
        modules = list(self._module.modules()) if self._module is not None else []
        guess = auto({family for m in modules for family in _families(m)})
        forward = self._under(_Way(guess), given, target)
        met = auto(forward.run.met)
        return forward if met.name == guess.name else self._under(_Way(met), given, target)

    def _under(self, way: _Way, given: Inputs, target: Target | Several) -> Forward:
        kept: list[tuple[str, str, int, Any]] = []

        def on_enter(frame: Frame, args: Any) -> None:
            if self._keep(frame.path):
                with run.looking():
                    kept.append((frame.path, "in", frame.use, _probes(run, args)))

        def on_exit(frame: Frame, output: Any) -> Any:
            is_source = frame.path == self.sources
            if not is_source and not self._keep(frame.path):
                return None
            with run.looking():
                output = given.at_module(run, frame.path, output) if is_source else output
                kept.append((frame.path, "out", frame.use, _probes(run, output)))
            return output if is_source else None

        form = {"relevance_form": way.relevance_form, "positions": self.positions}
        form["with_reference"] = given.reference is not None
        run = Run(self._module, way.composite, self.ledger, on_enter, on_exit, **form)
        run.references = way.references
        with run:
            args, kwargs = given.tracked(run)
            try:
                output = self.model(*args, **kwargs)
            except LRPError:
                raise
            except Exception as error:
                failure = _explained_failure(error, run, given)
                if failure is None:
                    raise
                raise failure from error
            with run.modules.inside("(target)"), run.under(zero()):
                notes: list[str] = []
                start = pick(target, output, self._context(run, given, notes, way.chosen))
        if given.reference is not None:
            args, kwargs = given.arguments_of_reference()
            with torch.no_grad():
                refuse_another_way(run, output, self.model(*args, **kwargs))
        if run.needs_relevance_form and not way.relevance_form:
            return self._under(replace(way, relevance_form=True), given, target)
        return Forward(
            run, given, output, start, target, tuple(dict.fromkeys(notes)), kept, self._keep.reduce, self._paths
        )

    def _context(self, run: Run, given: Inputs, notes: list[str], chosen: Tensor | None) -> Context:
        """What a target may read; what there is to say of final functions is added to `notes`."""

        def logit(tensor: Tensor) -> Tensor:
            before, name = run.logits_of(tensor)
            if name and run.modules.sharded:
                raise _past_a_shard(name)
            if name:
                notes.append(
                    f"the final {name} was stepped over: its input is explained; "
                    "through_output=True explains its output"
                )
            return before

        def call(function: Callable[[Any], Any], output: Any) -> Any:
            with run.under(run.composite):
                value = function(output)
            name = run.logits_of(value)[1]
            if name and not self.through_output:
                notes.append(
                    f"the target function explains what came out of the final {name}; a class, in a structure "
                    "targets.At(path, class), explains what went into it"
                )
            return value

        return Context(self.labels, given.mask, self.through_output, logit, call, chosen)


@dataclass(frozen=True)
class _Way:
    """How the model is run: the composite, what is carried, and for a reference output what a first pass found."""

    composite: Composite
    relevance_form: bool = False
    references: Mapping[int, Tensor] = field(default_factory=dict)
    chosen: Tensor | None = None


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


def _explained_failure(error: Exception, run: Run, given: Inputs) -> InputError | None:
    """An error of torch in the forward pass with its place; None for an error of the model's own code."""
    if run.failed is None or run.failed[0] is not error:
        return None
    _, where, shapes = run.failed
    if not run.sources:
        return InputError(
            "the model's forward pass failed on this input, which holds no floating tensor",
            where=where or "(model)",
            seen=f"{error} (inputs: {given.described()})",
            cure="images as floats (image.float() / 255); tokens as integers below the size of their embedding",
        )
    return InputError(
        "the model's forward pass failed on this input",
        where=where or "(model)",
        seen=f"{error} (operands: {', '.join(map(str, shapes)) or 'none'})",
        cure="check that model(inputs) runs on its own: shape, dtype and device of the input are the user's",
    )


def _past_a_shard(name: str) -> ModelError:
    """Weights that FSDP has let go come back when the backward pass enters their module by its output."""
    return ModelError(
        f"the final {name} cannot be stepped over: weights in shards come back at their module's output",
        seen="a module under FSDP",
        cure="a class with through_output=True, for its probability; or a model that returns its logits",
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
