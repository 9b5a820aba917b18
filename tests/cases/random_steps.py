"""What each step of a random network computes, in every spelling: from a `Step` and a tensor to a module.

A step fits itself to whatever shape arrives (a kernel is cut to the size there is), so that every list of steps is a
network and a failing one can be made shorter.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Function = Callable[[Tensor], Tensor]

SPELLINGS = ("module", "function", "in place", "module in place")
"""Ways to write a step that must be explained alike under every rule."""
BY_HAND = "by hand"
"""A way to write it that is made of other operations, which rules can tell apart."""

Builder = Callable[["Step", Tensor, "Make"], nn.Module]
BUILDERS: dict[str, Builder] = {}
"""Name of a step -> what builds it."""
VIEWS: set[str] = set()
"""Steps whose output may lie in the memory of their input."""


def builds(function: Builder) -> Builder:
    """Enters a builder under its function's name."""
    BUILDERS[function.__name__] = function
    return function


@dataclass(frozen=True)
class Step:
    """One step of a network as data; `step(...)` writes it, and its repr is such a call."""

    name: str
    bodies: tuple[tuple[Step, ...], ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def __getitem__(self, option: str) -> Any:
        return dict(self.options)[option]

    def __repr__(self) -> str:
        parts = [repr(self.name), *(repr(list(body)) for body in self.bodies)]
        return f"step({', '.join([*parts, *(f'{name}={value!r}' for name, value in self.options)])})"


def step(name: str, *bodies: Any, **options: Any) -> Step:
    """A step by its name, the bodies of its branches and its options."""
    return Step(name, tuple(tuple(body) for body in bodies), tuple(options.items()))


@dataclass
class Make:
    """Hands out seeded weights, and says how to spell.

    Args:
        seed: of the weights.
        spelling: for every step; None: each its own.
        unrolled: a module used twice is two equal modules.
        merged: a batch norm behind a linear layer or a convolution is merged into its weights.
        owned: the tensor that the step to be built reads is read by nothing else, so it may be overwritten.
    """

    seed: int
    spelling: str | None = None
    unrolled: bool = False
    merged: bool = False
    owned: bool = False
    generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)

    def spelled(self, of: Step) -> str:
        spelling = self.spelling or of["spelling"]
        return "function" if "in place" in spelling and not self.owned else spelling

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def weight(self, *shape: int) -> Tensor:
        return self.normal(*shape) * (2 / math.prod(shape[1:])) ** 0.5

    def bias(self, width: int, wanted: bool = True) -> Tensor | None:
        return 0.3 * self.normal(width) if wanted else None

    def positive(self, *shape: int) -> Tensor:
        return 0.5 + torch.rand(shape, generator=self.generator, dtype=torch.float64)

    def chain(self, steps: tuple[Step, ...], h: Tensor, owned: bool = False) -> tuple[nn.Sequential, Tensor, bool]:
        """The steps as a module, what it makes of `h`, and whether that may be overwritten."""
        modules: list[nn.Module] = []
        outside = self.owned
        for each in steps:
            self.owned = owned
            module = BUILDERS[each.name](each, h, self)
            owned = owned or each.name not in VIEWS
            with torch.no_grad():
                h = module.eval()(h.clone())
            if self.merged and modules and is_foldable(modules[-1], module, h.dim()):
                modules[-1], module = merged(modules[-1], module), nn.Identity()
            modules.append(module)
        self.owned = outside
        return nn.Sequential(*modules), h, owned

    def branch(self, steps: tuple[Step, ...], h: Tensor, shape: torch.Size | None = None) -> nn.Sequential:
        """The same with an output of its own memory, shaped like `h` or as told."""
        module, y, owned = self.chain(steps, h)
        shape = h.shape if shape is None else shape
        if y.shape[1:] != shape[1:]:
            module.append(self.fit(y, shape))
        elif not owned:
            module.append(Call(lambda _, t: t.clone()))
        return module

    def fit(self, h: Tensor, shape: torch.Size) -> nn.Module:
        """A linear layer from all of one shape to all of another."""
        weight = self.weight(shape[1:].numel(), h.shape[1:].numel())
        return Call(lambda s, t: F.linear(t.flatten(1), s.weight).unflatten(1, shape[1:]), weight=weight)


class Call(nn.Module):
    """A function of a module and a tensor, with the parameters, constants and modules it uses."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            is_parameter = isinstance(part, Tensor) and part.is_floating_point()
            if isinstance(part, Tensor) and not is_parameter:
                self.register_buffer(name, part)
            else:
                setattr(self, name, nn.Parameter(part) if is_parameter else part)

    def forward(self, h: Tensor) -> Any:
        return self.function(self, h)


def is_foldable(layer: nn.Module, norm: nn.Module, axes: int) -> bool:
    """Whether a batch norm's channels are the outputs of the layer before it; a linear layer's are of flat data."""
    if isinstance(layer, nn.Linear):
        return isinstance(norm, nn.BatchNorm1d) and axes == 2
    return isinstance(layer, (nn.Conv1d, nn.Conv2d)) and isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d))


def merged(layer: Any, norm: Any) -> nn.Module:
    """A layer with the weights `w a` and the bias `(b - mean) a + shift`."""
    result = copy.deepcopy(layer)
    with torch.no_grad():
        scale = torch.rsqrt(norm.running_var + norm.eps) * (1 if norm.weight is None else norm.weight)
        bias = (0 if layer.bias is None else layer.bias) - norm.running_mean
        result.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))
        result.bias = nn.Parameter(bias * scale + (0 if norm.bias is None else norm.bias))
    return result


def filled(module: nn.Module, **tensors: Tensor | None) -> nn.Module:
    """The module in float64 with these parameters and buffers."""
    module.double()
    with torch.no_grad():
        for name, tensor in tensors.items():
            if tensor is not None:
                getattr(module, name).copy_(tensor)
    return module
