"""Time of an explanation over gradient x input with frozen parameters, in one run, beside zennit's ratio.

One thread and its processor time, so that other work on the machine counts little; the wall clock's ratios are in the
record too. Absolute times mean little and are not recorded. zennit's ratios are measured by `make peers`, which has an
environment for it, on the same networks (tests/agreement/speed.py).

    python -m benchmarks.speed [--rounds 9]      # writes records/speed.json and its table in docs/evidence.md
"""

from __future__ import annotations

import argparse
import platform
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import lrp
from benchmarks import report
from benchmarks.language_models import TRANSFORMERS, embedded
from benchmarks.networks import NETWORKS, photograph_like
from benchmarks.timing import times_gradient_times_input
from lrp.models import imagenet
from tests.cases.networks import CASES

PRESETS = ("zero", "epsilon", "epsilon_plus_flat", "epsilon_gamma_box", "epsilon_alpha2_beta1_flat")
OF_TRANSFORMERS = ("zero", "attnlrp", "cp_lrp")
TARGETS = {"zero": 1.2, "epsilon_plus_flat": 2.0, "epsilon_gamma_box": 2.6}
LEVELS: dict[str, Any] = {"no ledger": False, "ledger": "sinks"}


def networks() -> dict[str, tuple[nn.Module, Tensor]]:
    mlp = CASES["mlp"].build().float().requires_grad_(False)
    return {
        **{name: (build(), photograph_like()) for name, build in NETWORKS.items()},
        **{name: (build(), embedded(width, length)) for name, (build, width, length) in TRANSFORMERS.items()},
        "efficientnet_lite0": (imagenet.classifier().requires_grad_(False), photograph_like()),
        "mlp of 3 layers, 64 rows": (mlp, torch.randn(64, 10, generator=torch.Generator().manual_seed(0))),
    }


def composites(names: Sequence[str]) -> dict[str, lrp.Composite]:
    bounds = {"epsilon_gamma_box": {"low": -2.0, "high": 2.0}}
    return {name: getattr(lrp.presets, name)(**bounds.get(name, {})) for name in names}


def measure(model: nn.Module, x: Tensor, names: Sequence[str], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    def call(composite: lrp.Composite, level: Any) -> Callable[[], object]:
        explainer = lrp.Explainer(model, composite=composite, ledger=level)
        return lambda: explainer(x)

    calls = {
        (name, word): call(composite, level)
        for name, composite in composites(names).items()
        for word, level in LEVELS.items()
    }
    ratios = times_gradient_times_input(model, x, calls, rounds)
    return {name: {word: ratios[name, word] for word in LEVELS} for name, _ in calls}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", lrp.LRPWarning)  # random inputs amplify
    record = {
        "what": "time over gradient x input with frozen parameters, median of rounds",
        **report.made_with("torch"),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "ratios": {
            name: measure(model, x, OF_TRANSFORMERS if name in TRANSFORMERS else PRESETS, rounds)
            for name, (model, x) in networks().items()
        },
    }
    report.write_record("speed", record)
    lines = table(record, report.read_record("speed_zennit"))
    report.write_section("speed", lines)
    print("\n".join(lines))


def table(record: dict[str, Any], zennit: dict[str, Any]) -> list[str]:
    """The processor's ratios, zennit's and the target beside them."""
    rows = []
    for network, presets in record["ratios"].items():
        theirs = zennit["ratios"].get(network, {})
        for name, ratios in presets.items():
            other = f"{theirs[name]['processor']:.2f}" if name in theirs else ""
            target = f"{TARGETS[name]:.1f}" if name in TARGETS and network in NETWORKS else ""
            rows.append([f"{network}, {name}", *(f"{ratios[word]['processor']:.2f}" for word in LEVELS), other, target])
    return report.table(["network, preset", *LEVELS, "zennit", "at most"], rows)


if __name__ == "__main__":
    main()
