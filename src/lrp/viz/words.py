"""What was explained, in words, and its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from lrp.engine.structure import tensors_in
from lrp.relevance import Relevance
from lrp.targets import Token

__all__ = ["aim", "is_only_output", "number"]


def aim(r: Relevance, sample: int | None, labels: Sequence[str] = ()) -> str:
    """Return what was explained: the only output, a class or token, by its name where it has one, or the target itself.

    >>> import torch, lrp
    >>> r = lrp.explain(torch.nn.Linear(2, 3), torch.ones(1, 2), target=1)
    >>> aim(r, 0, ["ant", "bee", "cat"])
    'class 1, bee'

    Args:
        r: a result for one target.
        sample: of which sample; None: of all, which may be of several classes.
        labels: the names of the classes.
    """
    if r.indices is None:
        return str(r.target)
    if is_only_output(r):
        return "the output"
    if sample is None:
        return str(r.target)
    index = int(r.indices[sample])
    name = f", {labels[index]}" if 0 <= index < len(labels) else ""
    chosen = "" if str(r.target) == f"class {index}" else f" ({r.target})"
    return f"{'token' if isinstance(r.target, Token) else 'class'} {index}{name}{chosen}"


def is_only_output(r: Relevance) -> bool:
    """Whether the model returned one number a sample, which is no class of several."""
    outputs = tensors_in(r.output)
    return len(outputs) == 1 and outputs[0].numel() == r.explained.shape[-1]


def number(value: float, digits: int = 4) -> str:
    """Return a number with its sign, to a few digits.

    >>> number(3.14159), number(-0.0000123), number(0.0)
    ('+3.142', '-1.23e-05', '0')
    """
    return f"{value:+.{digits}g}" if value else "0"
