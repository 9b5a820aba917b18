"""Which module is running: global hooks with a stack of their own, which ignore other threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch.nn as nn
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from lrp.engine.uncompiled import named_modules
from lrp.engine.values import ByIdentity
from lrp.errors import TrainingModeError

__all__ = ["Frame", "ModulePaths", "is_scan", "refuse_training"]


_SHARDED = {"FSDPModule", "FullyShardedDataParallel"}  # importing them takes a second


def is_scan(module: nn.Module) -> bool:
    """Whether a module is a selective scan, by the parameters of Mamba and its heirs; delta rules have no `D`."""
    return all(name in module._parameters for name in ("A_log", "D"))


def refuse_training(modules: Iterable[tuple[str, nn.Module]]) -> None:
    """Refuse batch norm and dropout in training mode before their forward changes anything.

    Raises:
        TrainingModeError: some are.
    """
    noisy = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    active = [
        (name, module)
        for name, module in modules
        if module.training and isinstance(module, noisy) and getattr(module, "p", 1) > 0
    ]
    if active:
        name, module = active[0]
        raise TrainingModeError(
            "the model is in training mode, so its output depends on chance or on the other samples of the batch",
            where=name or "(model)",
            seen=f"{type(module).__name__} with training=True (modules like this: {len(active)})",
            cure="model.eval()",
        )


@dataclass(slots=True)
class Frame:
    """One running module: path, how many-th call of it this is, inputs, and how often it has called each operation."""

    path: str
    module: nn.Module
    use: int
    named: bool
    args: Any = ()
    operations: Counter[str] = field(default_factory=Counter)


class ModulePaths:
    """Follows which module of a model runs, in this thread, while it is entered.

    A module reachable under two names has the first of `named_modules()`. One that is not registered has its parent's
    path. Without a model (`lrp.record`), every outermost module gives its type's name as the first part of the path.
    `makers` holds for the tensors that modules returned the path of the innermost module that did.
    """

    def __init__(
        self,
        model: nn.Module | None,
        on_enter: Callable[[Frame, Any], None],
        on_exit: Callable[[Frame, Any], Any],
    ) -> None:
        self.model = model
        self._on_enter: Callable[[Frame, Any], Any] = on_enter
        self._on_exit: Callable[[Frame, Any], Any] = on_exit
        self._names = _names_of(model, "") if model is not None else {}
        self._uses: Counter[str] = Counter()
        self._operations: Counter[str] = Counter()
        self.stack: list[Frame] = []
        self.makers: ByIdentity[str] = ByIdentity()
        self._kinds: set[type] = set()

    @property
    def path(self) -> str:
        return self.stack[-1].path if self.stack else ""

    @property
    def types(self) -> tuple[type, ...]:
        return tuple(type(frame.module) for frame in self.stack)

    @property
    def scans(self) -> bool:
        """Whether the running module is a selective state-space model's mixer."""
        return bool(self.stack) and is_scan(self.stack[-1].module)

    @property
    def sharded(self) -> bool:
        """Whether some module that ran is under FSDP, which frees weights between forward and backward pass."""
        return any(base.__name__ in _SHARDED for kind in self._kinds for base in kind.__mro__)

    def nth(self, operation: str) -> int:
        """How many-th call of an operation this is that the running module makes itself, from 0; it counts."""
        made = self.stack[-1].operations if self.stack else self._operations
        made[operation] += 1
        return made[operation] - 1

    def __enter__(self) -> ModulePaths:
        thread = threading.get_ident()

        def pre_hook(module: nn.Module, args: Any) -> None:
            if threading.get_ident() == thread:
                self._enter_module(module, args)

        def post_hook(module: nn.Module, args: Any, output: Any) -> Any:
            return self._exit_module(module, output) if threading.get_ident() == thread else None

        self._handles = [
            register_module_forward_pre_hook(pre_hook),
            register_module_forward_hook(post_hook, always_call=True),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self.stack.clear()
        self._on_enter = self._on_exit = lambda frame, structure: None  # they refer to who made them

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        if self.model is None and not self.stack and id(module) not in self._names:
            self._names.update(_names_of(module, type(module).__name__))
        path = self._names.get(id(module))
        named = path is not None
        if path is None:
            path = self.path
        if module.training:
            refuse_training([(path, module)])
        self._kinds.add(type(module))
        use = self._uses[path]
        if named:
            self._uses[path] += 1
        frame = Frame(path, module, use, named, args)
        self.stack.append(frame)
        if named:
            self._on_enter(frame, args)

    @contextmanager
    def inside(self, path: str) -> Iterator[None]:
        """Give what runs meanwhile a path of its own."""
        self.stack.append(Frame(path, nn.Identity(), 0, False))
        try:
            yield
        finally:
            self.stack.pop()

    def _exit_module(self, module: nn.Module, output: Any) -> Any:
        """What is to stand in the place of the module's output, or None."""
        if not any(frame.module is module for frame in self.stack):
            return None
        while True:
            frame = self.stack.pop()
            if frame.module is module:
                break
        if isinstance(output, Tensor) and self.makers.get(output) is None:
            self.makers.put(output, frame.path)
        return self._on_exit(frame, output) if frame.named and output is not None else None


def _names_of(model: nn.Module, prefix: str) -> dict[int, str]:
    """Module identity -> path."""
    return {id(module): name for name, module in named_modules(model, prefix)}
