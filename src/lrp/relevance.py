"""The result of an explanation."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lrp.composite import Composite
from lrp.engine.propagate import total
from lrp.engine.structure import describe, map_tensors, tensors_in
from lrp.errors import InputError, LayerError, nearest
from lrp.ledger import Ledger, Row
from lrp.plan import Plan, PlanRow
from lrp.saving import read, write
from lrp.targets import Several, Target

__all__ = ["Relevance", "Share", "TopInput"]

_SAVED = (
    "input",
    "values",
    "output",
    "explained",
    "indices",
    "layers",
    "layer_inputs",
    "notes",
    "modules",
    "positions",
)


class TopInput(NamedTuple):
    """One of the elements of the inputs with the largest absolute relevance: input name, place in it, relevance."""

    input: str
    at: tuple[int, ...]
    relevance: float


class Share(NamedTuple):
    """The relevance of one input or group, `(N,)`, and its share of all of the sources' relevance, `(N,)`."""

    relevance: Tensor
    share: Tensor


@dataclass(frozen=True)
class Relevance:
    """Relevance of the sources and of the kept layers, with its ledger.

    With several targets `explained`, `indices`, every relevance and the ledger have a leading axis K; `split` takes
    them apart.

    Args:
        input: relevance of the inputs, in their structure; None for what is no source.
        output: what the model returned.
        explained: the explained output, `(N,)`.
        target: where relevance started; in words (several: a tuple of them) in a result that was loaded.
        indices: the class index that was explained per sample, `(N,)`, or None where it was not one (among several
            targets, -1).
        composite: the composite that chose the rules.
        layers: module path -> relevance at that module's output, output to input, for the kept modules.
        layer_inputs: module path -> relevance at that module's positional inputs, a tuple.
        plan: every op call on the way with its rule.
        ledger: the books; None with `ledger=False`.
        notes: what else there is to know, a sentence each; what was warned of too.
        modules: the paths of all modules of the model, to tell a misspelt name from one that was not kept.
        values: the inputs' tensors as they were explained, in the structure of `input`, for pictures and tables that
            show them beside their relevance; None in a result that was saved without them.
        positions: with `positions=True`, name of a positional embedding -> its relevance at each position, `(N, T)`,
            which `input["input_ids"] + positions[name]` adds to that of the tokens.
    """

    input: Any
    output: Any
    explained: Tensor
    target: Target | Several | str | tuple[str, ...]
    indices: Tensor | None
    composite: Composite
    layers: Mapping[str, Any]
    layer_inputs: Mapping[str, Any]
    plan: Plan
    ledger: Ledger | None
    notes: Sequence[str] = ()
    modules: Sequence[str] = field(default=(), repr=False)
    values: Any = field(default=None, repr=False)
    positions: Mapping[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, key: str | tuple[str, str]) -> Any:
        """Relevance at a kept module's output, `r["layer4.1"]`, or at its input, `r["layer4.1", "in"]`.

        It is the relevance of the tensor there, whoever reads it: at the input of a residual block's first layer it
        contains what goes through the skip connection too.

        Raises:
            LayerError: no such module, not kept, off the way, or called several times.
        """
        path, side = key if isinstance(key, tuple) else (key, "out")
        if side not in ("in", "out"):
            raise LayerError("a layer has the sides 'in' and 'out'", seen=repr(side), cure=f'r["{path}", "in"]')
        kept = self.layers if side == "out" else self.layer_inputs
        if path in kept:
            found = kept[path]
            return found[0] if side == "in" and isinstance(found, tuple) and len(found) == 1 else found
        raise self._missing(path, side)

    def _missing(self, path: str, side: str) -> LayerError:
        kept = self.layers if side == "out" else self.layer_inputs
        calls = [name for name in kept if name.rpartition("#")[0] == path]
        if calls:
            return LayerError(
                f"module {path!r} was called {len(calls)} times",
                seen=", ".join(calls),
                cure=f'name the call: r["{calls[0]}"]; relevance of several calls is never added up',
            )
        if path in self.modules:
            return LayerError(
                f"there is no relevance at the {side}put of module {path!r}",
                seen="kept: " + (", ".join(kept) or "nothing"),
                cure=f'keep=["{path}"]; where it was kept, it does not lie on the way from the target to a source, '
                "is a step within one activation that was written by hand, or a view that was overwritten later"
                + (" or takes its inputs by keyword" if side == "in" else ""),
            )
        return LayerError(f"there is no module {path!r}", cure=nearest(path, self.modules or list(kept)))

    @property
    def several(self) -> bool:
        """Whether there are several targets, and so a leading axis K."""
        return self.explained.dim() == 2

    def split(self) -> list[Relevance]:
        """The results of the single targets; this one alone where there is one target."""
        if not self.several:
            return [self]
        words = self.target if isinstance(self.target, tuple) else ()
        targets = self.target.targets if isinstance(self.target, Several) else words
        ledgers = [None] * len(self.explained) if self.ledger is None else self.ledger.split()
        return [self._of(k, target, ledger) for k, (target, ledger) in enumerate(zip(targets, ledgers, strict=True))]

    def _of(self, k: int, target: Any, ledger: Ledger | None) -> Relevance:
        def part(structure: Any) -> Any:
            return map_tensors(lambda t: t[k], structure)

        indices = None if self.indices is None or bool((self.indices[k] < 0).all()) else self.indices[k]
        return replace(
            self,
            input=part(self.input),
            explained=self.explained[k],
            target=target,
            indices=indices,
            layers=part(self.layers),
            layer_inputs=part(self.layer_inputs),
            positions=part(self.positions),
            ledger=ledger,
        )

    def totals(self, groups: Any = None) -> dict[str, Share]:
        """The relevance of each input, or of each group of its elements, per sample, with its share.

        Args:
            groups: an integer tensor of labels, shaped like the input of one sample; or a mapping from input name to
                such a tensor. None: one total per input and per positional embedding that is a source.

        Raises:
            InputError: the labels do not fit the input, or what a source got cannot be told by sample.
        """
        if self.several:
            each = [single.totals(groups) for single in self.split()]
            return {
                name: Share(*(torch.stack(parts) for parts in zip(*(single[name] for single in each), strict=True)))
                for name in each[0]
            }
        n, inputs = len(self.explained), named_inputs(self.input)
        sources = {name: by_sample(r, n) for name, r in {**inputs, **self.positions}.items()}
        for name, r in sources.items():
            if len(r) != n:
                raise InputError(
                    "what a source got cannot be told by sample, as its first axis is not that of the samples",
                    where=name,
                    seen=f"{tuple(r.shape)}, {n} samples",
                    cure="one sample at a time; of position_ids a row for each sample (expand(n, -1))",
                )
        everything = sum((_per_sample(r) for r in sources.values()), torch.zeros_like(self.explained))
        if groups is None:
            parts = {name: _per_sample(r) for name, r in sources.items()}
        else:
            labels = groups if isinstance(groups, Mapping) else dict.fromkeys(inputs, groups)
            parts = {}
            for name, r in sources.items():
                if name in labels:
                    prefix = f"{name}: " if len(labels) > 1 else ""
                    parts |= {prefix + key: part for key, part in _grouped(name, r, labels[name]).items()}
        return {name: Share(part, part / everything) for name, part in parts.items()}

    def top(self, k: int = 10) -> list[Any]:
        """Per sample, the `k` elements of the inputs with the largest absolute relevance, largest first: lists of
        `TopInput`; with several targets, a list of those per target.
        """
        if self.several:
            return [single.top(k) for single in self.split()]
        sources = {name: by_sample(r, len(self.explained)) for name, r in named_inputs(self.input).items()}
        result = []
        for sample in range(len(self.explained)):
            found: list[TopInput] = []
            for name, r in sources.items():
                flat = r[sample].reshape(-1)
                for position in flat.abs().topk(min(k, flat.numel())).indices.tolist():
                    index = tuple(int(i) for i in torch.unravel_index(torch.tensor(position), r.shape[1:] or (1,)))
                    found.append(TopInput(name, index, float(flat[position])))
            result.append(sorted(found, key=lambda item: -abs(item.relevance))[:k])
        return result

    def save(self, path: str | PathLike[str], *, values: bool = True) -> None:
        """Write the result to a safetensors file; `Relevance.load` reads it.

        Args:
            path: the file.
            values: write the inputs too; False where they must not leave this place.

        Raises:
            LoadError: the file name does not end in `.safetensors`.
        """
        books = self.ledger
        write(
            path,
            {
                **{name: getattr(self, name) for name in _SAVED},
                "values": self.values if values else None,
                "target": tuple(str(single.target) for single in self.split()) if self.several else str(self.target),
                "composite": {"name": self.composite.name, "why": self.composite.why},
                "plan": [vars(row) for row in self.plan],
                "ledger": books
                and {name: getattr(books, name) for name in ("explained", "sources", "magnitude", "size")},
                "rows": [vars(row) for row in books.rows] if books else [],
                "lost": books and books.lost,
            },
        )

    def report(self, path: str | PathLike[str], **options: Any) -> None:
        """Write one self-contained HTML page: maps, tables, the ledger, the plan, and how it was made.

        It needs nothing but a browser, asks nothing of the network, and holds no absolute path.

        Args:
            path: the file, which ends in .html.
            options:

                - `picture`: what the maps are laid over: a Pillow picture, a file or an array (H, W), (H, W, 3) or
                  (3, H, W) of bytes or numbers from 0 to 1; a list of one for each sample. None: the input itself.
                - `names`: of the features or tokens: a list, or one for each sample, or `{input name: list}`.
                - `labels`: the names of the classes, a list; `samples`: those of the samples.
                - `command`: what made the result: text, or a list of words. None: lines of Python.
                - `title`: the heading.

        Raises:
            MissingExtraError: Jinja2 is not installed: `pip install "lrp[report]"`.
            InputError: names or pictures that do not fit, a file that cannot be written.
        """
        from lrp import report

        report.write(self, path, **options)

    @staticmethod
    def load(path: str | PathLike[str]) -> Relevance:
        """Read a result that `save` wrote. No code is run; the ledger holds totals, the plan is read-only.

        Raises:
            LoadError: the file is not such a result.
        """
        content = read(path)
        books = content["ledger"]
        rows = tuple(Row(**row) for row in content["rows"])
        return Relevance(
            **{name: content[name] for name in _SAVED},
            target=content["target"],
            composite=Composite([], **content["composite"], strict=False),
            plan=Plan(tuple(PlanRow(**row) for row in content["plan"])),
            ledger=books and Ledger(**books, rows=rows, lost=content["lost"]),
        )

    def _summary(self) -> Iterator[tuple[str, str]]:
        for k, single in enumerate(self.split()):
            which = f" {k}" if self.several else ""
            shown = ", ".join(f"{value:.6g}" for value in single.explained[:8].tolist())
            yield "explained" + which, shown + (", ..." if len(single.explained) > 8 else "")
            index = "" if single.indices is None else f": {', '.join(str(i) for i in single.indices[:8].tolist())}"
            yield "target" + which, f"{single.target}{index}"
        yield "composite", f"{self.composite.name}" + (f": {self.composite.why}" if self.composite.why else "")
        for name, r in {**named_inputs(self.input), **self.positions}.items():
            yield name, f"{describe(r)}, sum {self._sums([r])}"
        for name, layer in self.layers.items():
            tensors = tensors_in(layer)
            yield name, f"{', '.join(describe(t) for t in tensors)}, sum {self._sums(tensors)}"

    def _sums(self, tensors: Sequence[Tensor]) -> str:
        """The sum of all elements, of each target."""
        sums = sum((total(t, self.several) for t in tensors), torch.zeros(()))
        return ", ".join(f"{value:.6g}" for value in sums.reshape(-1).tolist())

    def __str__(self) -> str:
        rows = list(self._summary())
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:{width}}  {text}" for name, text in rows]
        if self.ledger is not None:
            lines += ["ledger", *("  " + line for line in str(self.ledger).splitlines())]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        targets = f" and {len(self.explained)} targets" if self.several else ""
        return f"<lrp.Relevance of {self.explained.shape[-1]} samples{targets} by {self.composite.name!r}>"

    def _repr_png_(self) -> bytes | None:
        """The heatmap of the first sample, where the one input is an image and there is one target."""
        from lrp.viz.notebook import thumbnail

        return thumbnail(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the heatmap of an image, the sums, the ledger, the notes; no script."""
        rows = [
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
            for name, text in self._summary()
        ]
        first = len(rows) - len(self.layers)
        table = f"<table>{''.join(rows[:first])}</table>"
        if self.layers:
            kept = f"<summary>{len(self.layers)} kept layers</summary><table>{''.join(rows[first:])}</table>"
            table += f"<details>{kept}</details>"
        png = self._repr_png_()
        data = "" if png is None else b64encode(png).decode()
        picture = f"<img alt='relevance of the first sample' src='data:image/png;base64,{data}'>" if data else ""
        ledger = "" if self.ledger is None else self.ledger._repr_html_()
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<div>{picture}{table}{ledger}{notes}</div>"


def named_inputs(structure: Any, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of an input structure by name: `input` for a single tensor, positions or keys else."""
    if isinstance(structure, PackedSequence):
        structure = structure.data
    if isinstance(structure, Tensor):
        return {prefix or "input": structure}
    if isinstance(structure, Mapping):
        items = [(str(key), item) for key, item in structure.items()]
    elif isinstance(structure, (tuple, list)):
        items = [(str(i), item) for i, item in enumerate(structure)]
    else:
        return {}
    named: dict[str, Tensor] = {}
    for key, item in items:
        named |= named_inputs(item, f"{prefix}.{key}" if prefix else key)
    return named


def by_sample(r: Tensor, n: int) -> Tensor:
    """Relevance with an axis of samples; a single explained number belongs to the whole of an input."""
    return r if r.dim() and (n > 1 or len(r) == 1) else r.unsqueeze(0)


def _per_sample(r: Tensor) -> Tensor:
    return r.reshape(r.shape[0], -1).sum(1)


def _grouped(name: str, r: Tensor, labels: Tensor) -> dict[str, Tensor]:
    labels = torch.as_tensor(labels)
    try:
        spread = labels.broadcast_to(r.shape[1:])
    except RuntimeError:
        raise InputError(
            "group labels are shaped like the input of one sample",
            where=f"input {name!r}",
            seen=f"labels {tuple(labels.shape)}, input {tuple(r.shape[1:])}",
            cure=f"an integer tensor of shape {tuple(r.shape[1:])}",
        ) from None
    return {str(label): _per_sample(r * (spread == label)) for label in spread.unique().tolist()}
