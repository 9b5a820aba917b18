"""Compiled code runs as the Python that it was compiled from, so that its operations are seen."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import Any

import torch
from torch import nn

__all__ = ["compiled", "named_modules", "uncompiled"]

_MARK = "_orig_mod"


class _Shared:
    """A change to the whole process: made by the first thread that needs it, undone by the last."""

    def __init__(self, change: Callable[[], AbstractContextManager[Any]]) -> None:
        self._change, self._lock, self._users = change, Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._made = self._change()
                self._made.__enter__()
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._made.__exit__(None, None, None)


@contextmanager
def _without_its_warning() -> Iterator[None]:
    """A compiled module warns that global hooks fire for its wrapper too; a wrapper has no path, so none does harm."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*when there are global hooks on modules")
        yield


_eager = _Shared(lambda: torch.compiler.set_stance("force_eager"))
_quiet = _Shared(_without_its_warning)


@contextmanager
def uncompiled(model: nn.Module | None) -> Iterator[None]:
    """Run what `torch.compile` made as the function or module it was made of."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and importing it takes seconds
        yield
        return
    with _eager, _quiet if model is None or any(map(_is_wrapper, model.modules())) else nullcontext():
        yield


def _is_wrapper(module: nn.Module) -> bool:
    return type(module).__name__ == "OptimizedModule"  # its class lives in a module that takes seconds to import


def compiled(modules: Iterable[nn.Module]) -> bool:
    """Whether some of the modules are compiled."""
    return any(_is_wrapper(module) or module._compiled_call_impl is not None for module in modules)


def named_modules(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules by their paths; what `torch.compile` wraps has the path that it would have without."""
    wrapped = False
    for path, module in model.named_modules(prefix=prefix):
        if _is_wrapper(module):
            wrapped = True
            continue
        yield ".".join(part for part in path.split(".") if part != _MARK) if wrapped else path, module
