"""How many times as long as gradient x input an explanation takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from tqdm import tqdm

__all__ = ["gradient_times_input", "times_gradient_times_input"]


def gradient_times_input(model: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).max(1).values.sum(), x)
    return x.detach() * gradient


def times_gradient_times_input(
    model: nn.Module, x: Tensor, calls: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, dict[str, float]]:
    """Each call's time over that of gradient x input, `processor` and `wall`, as the median over the rounds.

    In each round each call runs right after a gradient x input of its own (A B A B ...), so that a machine that drifts
    drifts for both.
    """

    def baseline() -> Tensor:
        return gradient_times_input(model, x)

    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for call in (baseline, *calls.values()):
        call()
    for _ in tqdm(range(rounds), leave=False):
        for name, call in calls.items():
            (processor, wall), (base_processor, base_wall) = _seconds(call, x), _seconds(baseline, x)
            ratios[name].append((processor / base_processor, wall / base_wall))
    return {
        name: {
            "processor": round(statistics.median(processor for processor, _ in pairs), 2),
            "wall": round(statistics.median(wall for _, wall in pairs), 2),
        }
        for name, pairs in ratios.items()
    }


def _seconds(call: Callable[[], object], x: Tensor) -> tuple[float, float]:
    processor, wall = time.process_time(), time.perf_counter()
    call()
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.process_time() - processor, time.perf_counter() - wall
