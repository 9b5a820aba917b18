"""Every error that `lrp` raises on purpose.

    LRPError
    ├── InputError          the input cannot be explained (shape, dtype, NaN, empty batch)
    ├── TargetError         the target does not say which number to explain
    ├── CompositeError      a composite or rule that cannot be used as it was given
    ├── LayerError          a layer name that matches nothing, or too much
    ├── ModelError          the model cannot be explained as it is
    │   ├── TrainingModeError   batch norm or dropout in training mode
    │   ├── UncoveredError      op calls without a rule on the way from target to source
    │   ├── UnseenError         part of the forward pass that the function mode did not see
    │   └── DetachedError       the relevance is cut by no_grad, detach or .data
    ├── LoadError           a file that cannot be read as a model, weights or input
    │   └── UnsafeFileError     a file that would run code while it is read
    └── MissingExtraError   an optional package that is not installed

    LRPWarning          the numbers stand, and there is something to know about them

Each message says what went wrong, where, what was seen, and the cure.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

__all__ = [
    "CompositeError",
    "DetachedError",
    "InputError",
    "LRPError",
    "LRPWarning",
    "LayerError",
    "LoadError",
    "MissingExtraError",
    "ModelError",
    "TargetError",
    "TrainingModeError",
    "UncoveredError",
    "UnsafeFileError",
    "UnseenError",
]


class LRPError(Exception):
    """Base of every error raised by `lrp`: what went wrong, and where, what was seen, the cure.

    >>> print(LRPError("the input has no samples", where="input 0", seen="shape (0, 3)", cure="pass one or more"))
    the input has no samples
      where: input 0
      seen:  shape (0, 3)
      cure:  pass one or more
    """

    def __init__(self, what: str, *, where: str = "", seen: str = "", cure: str = "") -> None:
        self.what, self.where, self.seen, self.cure = what, where, seen, cure
        parts = (("where: ", where), ("seen:  ", seen), ("cure:  ", cure))
        super().__init__("\n".join([what, *(f"  {label}{text}" for label, text in parts if text)]))

    def __str__(self) -> str:
        return str(self.args[0])


class InputError(LRPError, ValueError):
    """The input cannot be explained: wrong shape or dtype, NaN or infinite values, no samples."""


class TargetError(LRPError, ValueError):
    """The target does not say which number to explain, or names one that does not exist."""


class CompositeError(LRPError, ValueError):
    """A composite or a rule cannot be used as it was given."""


class LayerError(LRPError, LookupError):
    """A layer name matches nothing, or more than the call can answer for."""


class ModelError(LRPError, RuntimeError):
    """The model cannot be explained as it is."""


class TrainingModeError(ModelError):
    """Batch norm or dropout is in training mode, so a sample's output depends on chance or on its batch."""


class UncoveredError(ModelError):
    """Op calls without a rule lie on the way from target to source."""


class UnseenError(ModelError):
    """Part of the forward pass was not seen: TorchScript, compiled code, other threads, foreign autograd functions."""


class DetachedError(ModelError):
    """The way from target to source is cut by `no_grad`, `.detach()` or `.data`."""


class LoadError(LRPError, ValueError):
    """A file cannot be read as a model, as weights or as input."""


class UnsafeFileError(LoadError):
    """A file would run code while it is read."""


class MissingExtraError(LRPError, ImportError):
    """An optional package is needed and not installed; the cure is its pip line."""


class LRPWarning(UserWarning):
    """The numbers stand, and there is something to know about them before they are used."""


def nearest(name: str, known: Sequence[str]) -> str:
    """The known names nearest to a misspelt one, for the cure of an error."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or list(known)[:5]
    return "one of " + ", ".join(repr(n) for n in close if n) + (", ..." if len(known) > len(close) else "")
