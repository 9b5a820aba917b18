"""Time of an explanation over gradient x input with frozen parameters, in one run.

Each round times gradient x input and every preset in turn, so that a machine that drifts drifts for all of them; the
ratio is the median over the rounds. One thread and its processor time, so that other work on the machine counts little.
Absolute times mean little and are not recorded.

    python -m benchmarks.speed [--rounds 9]      # writes benchmarks/records/speed.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import lrp
from lrp import presets
from lrp.models import imagenet
from tests.cases.networks import CASES

PRESETS = {"zero": presets.zero, "epsilon": presets.epsilon, "epsilon_plus_flat": presets.epsilon_plus_flat}
RECORD = Path(__file__).parent / "records" / "speed.json"


def networks() -> dict[str, tuple[nn.Module, Tensor]]:
    """Networks in float32 with inputs large enough that arithmetic, not Python, is what costs."""
    torch.manual_seed(0)
    return {
        "vgg_bn, 4 x 3 x 96 x 96": (CASES["vgg_bn"].build().float(), torch.randn(4, 3, 96, 96)),
        "resnet18_small, 4 x 3 x 160 x 160": (CASES["resnet18_small"].build().float(), torch.randn(4, 3, 160, 160)),
        "efficientnet-lite0, 1 x 3 x 224 x 224": (imagenet.classifier(), torch.randn(1, 3, 224, 224)),
        "mlp, 64 rows (fixed costs)": (CASES["mlp"].build().float(), CASES["mlp"].inputs().float().repeat(22, 1)[:64]),
    }


def gradient_times_input(model: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).max(1).values.sum(), x)
    return x.detach() * gradient


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def ratios(model: nn.Module, x: Tensor, rounds: int) -> dict[str, float]:
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    calls: dict[str, Callable[[], object]] = {"gradient x input": lambda: gradient_times_input(model, x)}
    for name, preset in PRESETS.items():
        for level in (False, "sinks"):
            explainer = lrp.Explainer(model, composite=preset(), ledger=level)
            calls[f"{name}, {'with' if level else 'no'} ledger"] = lambda explainer=explainer: explainer(x)
    for call in calls.values():
        call()
    timed = [{name: seconds(call) for name, call in calls.items()} for _ in range(rounds)]
    return {
        name: round(statistics.median(one[name] / one["gradient x input"] for one in timed), 2)
        for name in calls
        if name != "gradient x input"
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", lrp.LRPWarning)  # random inputs amplify
    record = {
        "what": "processor time over gradient x input, median of rounds",
        "rounds": rounds,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "ratios": {},
    }
    for name, (model, x) in networks().items():
        record["ratios"][name] = ratios(model, x, rounds)
        print(name)
        for what, ratio in record["ratios"][name].items():
            print(f"  {what:32} {ratio:5.2f}")
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
