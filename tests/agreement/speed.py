"""zennit's time over gradient x input on the networks of `benchmarks/speed.py` (peers environment).

python -m tests.agreement.speed [--rounds 9]      # writes records/speed_zennit.json and the table in docs/evidence.md
"""

from __future__ import annotations

import argparse
import contextlib
import copy
from collections.abc import Callable

from tests.agreement.peers import _canonizer, top_logit  # first: it makes torchvision importable

# isort: split
import torch
from torch import nn
from zennit.attribution import Gradient
from zennit.composites import EpsilonAlpha2Beta1Flat, EpsilonGammaBox, EpsilonPlusFlat
from zennit.core import Composite

from benchmarks import report, speed
from benchmarks.networks import NETWORKS, photograph_like
from benchmarks.timing import times_gradient_times_input

COMPOSITES: dict[str, Callable[[nn.Module], Composite]] = {
    "epsilon_plus_flat": lambda model: EpsilonPlusFlat(canonizers=[_canonizer(model)]),
    "epsilon_gamma_box": lambda model: EpsilonGammaBox(low=-2.0, high=2.0, canonizers=[_canonizer(model)]),
    "epsilon_alpha2_beta1_flat": lambda model: EpsilonAlpha2Beta1Flat(canonizers=[_canonizer(model)]),
}


def measure(model: nn.Module, rounds: int) -> dict[str, dict[str, float]]:
    """Registered once, outside the time that is taken; each composite on a copy of its own."""
    x = photograph_like()
    with contextlib.ExitStack() as stack:

        def call(composite: Callable[[nn.Module], Composite]) -> Callable[[], object]:
            explained = copy.deepcopy(model)
            attributor = stack.enter_context(Gradient(model=explained, composite=composite(explained)))
            return lambda: attributor(x.clone(), top_logit)

        calls = {name: call(composite) for name, composite in COMPOSITES.items()}
        return times_gradient_times_input(model, x, calls, rounds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    record = {
        "what": "zennit's time over gradient x input with frozen parameters, median of rounds",
        **report.made_with("torch", "zennit"),
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "ratios": {name: measure(build(), rounds) for name, build in NETWORKS.items()},
    }
    report.write_record("speed_zennit", record)
    lines = speed.table(report.read_record("speed"), record)
    report.write_section("speed", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
