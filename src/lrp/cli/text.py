"""Explanations as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from lrp.cli.records import Array, Layer, Row, Sample, Source
from lrp.viz.words import number as signed

__all__ = ["ledger", "number", "text_of"]

FEW = 32
TOP = 10
PER_LINE = 8
PLACES = 4

number = partial(signed, digits=5)


def text_of(sample: Sample, labels: tuple[str, ...] = (), *, with_input: bool = False) -> str:
    """Return one sample's explanation: what was explained, layer by layer, by feature, and the ledger.

    Args:
        sample: the record.
        labels: the names of the classes, or nothing.
        with_input: say which input it is of.
    """
    parts = [head(sample, labels, with_input), by_layer(sample)]
    parts += [by_value(layer) for layer in sample.layers]
    if sample.words:
        parts += [by_word(sample.words, sample.explained)]
    else:
        parts += [by_feature(source, sample.explained) for source in sample.sources]
    parts += [by_value(embedding) for embedding in sample.positions]
    parts += [ledger(sample)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def head(sample: Sample, labels: tuple[str, ...], with_input: bool) -> Iterator[str]:
    """Say what was explained."""
    if with_input:
        yield f"input {sample.input}"
    yield f"sample {sample.number}" + (f", target {sample.which}: {sample.asked}" if sample.which else "")
    yield f"  explained  {number(sample.explained)}   {sample.target}"
    for output in sample.output:
        if output.values.size <= TOP:
            yield f"  {output.name:<9}  {' '.join(number(value) for value in output.values.ravel())}"
        elif output.values.ndim == 1:
            best = np.argsort(-output.values)[:5]
            yield f"  {output.name:<9}  {', '.join(f'{named(i, labels)} {number(output.values[i])}' for i in best)}"
    yield f"  composite  {sample.composite}" + (f": {sample.why}" if sample.why else "")
    for note in sample.notes:
        yield f"  note       {note}"


def named(index: int, labels: tuple[str, ...]) -> str:
    """Return a class by number, and by name where it has one."""
    return f"{index} {labels[index]}" if index < len(labels) else str(index)


def by_layer(sample: Sample) -> Iterator[str]:
    """Set the sum of each layer beside the explained value."""
    sums = [("output", sample.explained)]
    sums += [(layer.name, float(layer.values.sum())) for layer in sample.layers]
    sums += [(source.name, float(source.values.sum())) for source in sample.sources]
    sums += [(embedding.name, float(embedding.values.sum())) for embedding in sample.positions]
    width = max(len(name) for name, _ in sums)
    yield f"relevance by layer{'':{max(width - 14, 2)}}{'sum':>11}  {'explained - sum':>16}"
    for name, total in sums:
        yield f"  {name:<{max(width, 14)}}  {number(total):>11}  {number(sample.explained - total):>16}"
    yield "  (the difference: kept by biases and constants on the way there, or carried past the layer by a branch)"


def by_value(layer: Layer) -> Iterator[str]:
    """List a layer's relevance by neuron: all of few, the largest of many."""
    values = layer.values
    shape = "x".join(str(size) for size in values.shape) or "1"
    if values.size > FEW:
        yield f"{layer.name}: the {TOP} largest of {shape} values"
        yield from largest(values)
        return
    yield f"{layer.name}: {shape} value{'s' if values.size > 1 else ''}"
    flat = values.ravel()
    for start in range(0, flat.size, PER_LINE):
        yield f"  {start:>4}: " + " ".join(f"{number(value):>10}" for value in flat[start : start + PER_LINE])


def by_word(words: Sequence[tuple[str, float]], explained: float) -> Iterator[str]:
    """List the words of a text in order."""
    width = max(len("relevance by word"), *(len(text) for text, _ in words))
    yield f"{'relevance by word':<{width + 2}}  {'relevance':>11}  {'of explained':>12}"
    for text, value in words:
        share = f"{100 * value / explained:+.1f} %" if explained else "-"
        yield f"  {text:<{width}}  {number(value):>11}  {share:>12}"


def by_feature(source: Source, explained: float) -> Iterator[str]:
    """List an input's relevance by feature, the largest first."""
    values = source.values
    if values.size > FEW or values.ndim != 1:
        shape = "x".join(str(size) for size in values.shape)
        supports, opposes = float(values[values > 0].sum()), float(values[values < 0].sum())
        yield f"{source.name}: {shape} values, {number(supports)} supports, {number(opposes)} opposes"
        yield f"  the {TOP} largest"
        yield from largest(values)
        return
    names = source.features or tuple(f"[{index}]" for index in range(values.size))
    width = max(24, *(len(name) for name in names))
    yield f"{source.name + ' by feature':<{width + 2}}  {'value':>10}  {'relevance':>11}  {'of explained':>12}"
    for index in np.argsort(-np.abs(values), kind="stable"):
        share = f"{100 * values[index] / explained:+.1f} %" if explained else "-"
        cells = f"{number(source.inputs[index]):>10}  {number(values[index]):>11}  {share:>12}"
        yield f"  {names[index]:<{width}}  {cells}"


def largest(values: Array) -> Iterator[str]:
    """List the largest values with their places."""
    for flat in np.argsort(-np.abs(values), axis=None, kind="stable")[:TOP]:
        place = np.unravel_index(flat, values.shape)
        yield f"  [{', '.join(str(int(index)) for index in place)}]".ljust(18) + f" {number(float(values[place])):>11}"


def ledger(sample: Sample) -> Iterator[str]:
    """Say where the explained value went, kind by kind with the places that kept most, and how the books balance."""
    kinds: dict[str, list[Row]] = {}
    for row in sorted((row for row in sample.rows if row.amount), key=lambda row: -abs(row.amount)):
        kinds.setdefault(row.kind, []).append(row)
    yield "ledger"
    yield f"  {'explained':<20} {number(sample.explained):>11}"
    yield f"  {'reached the input':<20} {number(sample.reached):>11}"
    for kind, rows in kinds.items():
        places = ", ".join(f"{row.where or row.call} {number(row.amount)}" for row in rows[:PLACES])
        more = f" and {len(rows) - PLACES} more" if len(rows) > PLACES else ""
        yield f"  {f'kept as {kind}':<20} {number(sum(row.amount for row in rows)):>11}   {places}{more}"
    yield f"  {'residual':<20} {sample.residual:>+11.1e}   explained - reached - kept"
    yield f"  {'amplification':<20} {sample.amplification:>11.3g}   sum of |relevance| at the input / |explained|"
