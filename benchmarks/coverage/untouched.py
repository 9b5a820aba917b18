"""What of a model may not change by its being explained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["differences", "state"]


def state(model: nn.Module) -> dict[str, Any]:
    """Weights, buffers, gradients, flags, hooks and the names of attributes, by what and where."""
    found: dict[str, Any] = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        found[f"value: {name}"] = tensor.detach().clone()
        found[f"flags: {name}"] = (tensor.requires_grad, tensor.grad is None)
    for name, module in model.named_modules():
        found[f"training: {name}"] = module.training
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
        found[f"hooks: {name}"] = [len(of_a_kind) for of_a_kind in hooks]
        found[f"attributes: {name}"] = sorted(vars(module))
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The first four."""
    names = sorted(before.keys() | after.keys())
    return [name for name in names if not _same(before.get(name), after.get(name))][:4]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())
    return type(a) is type(b) and bool(a == b)
