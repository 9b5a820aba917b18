"""Compare lrp with LXT on tiny transformers, and write the stored values (LXT environment, `lrp` importable).

Three of each map, as shares of the largest entry:

- lrp and the model written by hand: at most 1e-12;
- LXT and the model written by hand with the epsilon of 1e-10 that LXT adds to the denominator of each activation's
  gate: at most 1e-12, where it could be written by hand;
- lrp and LXT: at most 1e-8; what is between them is that epsilon, which shows where an activation's input is near zero.

Exit 1 if one is above.

    python -m tests.agreement.live_lxt [--write]
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.agreement.by_hand import Rules, relevance  # first: it makes torchvision importable

# isort: split
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import lrp
from lrp import on, presets, rules
from tests.agreement import plain
from tests.agreement.compared import apart
from tests.agreement.tiny import GAMMA, STABILISER, TINY

EXACT, LIMIT, EPSILON = 1e-12, 1e-8, 1e-10
GOLDEN = Path(__file__).parent / "golden" / "lxt.safetensors"

signal = rules.SignalTakesAll(signal=1)
outside = ~on.module(torch.nn.MultiheadAttention)
VARIANTS: dict[str, tuple[lrp.Composite, Rules | None]] = {
    "attnlrp": (presets.attnlrp(), Rules()),
    # LXT counts the activated branch of a gated MLP as a constant, ours gives it half: both conserve
    "cp_lrp": (
        lrp.Composite([("*.mlp", signal), *presets.cp_lrp().entries], strict=False),
        Rules(constant_weights=True, constant_gates=True),
    ),
    # zennit's hooks do not see the projections inside `nn.MultiheadAttention`
    "cp_lrp_gamma": (
        lrp.Composite([((on.linear | on.conv) & outside, rules.Gamma(GAMMA, STABILISER)), *presets.cp_lrp().entries]),
        None,
    ),
}


def lxt_maps() -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    with tempfile.TemporaryDirectory() as folder:
        for variant in VARIANTS:
            file = f"{folder}/{variant}.safetensors"
            subprocess.run([sys.executable, "-m", "tests.agreement.lxt_maps", variant, file], check=True)
            tensors |= load_file(file)
    return tensors


def said(number: float | None, limit: float) -> str:
    return "      -" if number is None else f"{number:.1e}" + (" ABOVE" if number > limit else "")


def main(write: bool) -> int:
    packages = {name: version(name) for name in ("lxt", "transformers", "torch", "torchvision", "zennit")}
    print(f"lrp against {packages}; largest difference / largest entry")
    print(f"{'':28} lrp / by hand   LXT / by hand   lrp / LXT")
    theirs, worst = lxt_maps(), 0.0
    for variant, (composite, by_hand) in VARIANTS.items():
        for tiny in TINY.values():
            for attention in tiny.attentions:
                key = f"{variant}/{tiny.name}/{attention}"
                if variant == "cp_lrp_gamma" and key not in theirs:
                    continue
                model = tiny.build(attention)
                name, x = tiny.source(model)
                r = lrp.explain(model, {name: x}, target=tiny.explained, composite=composite)
                exact, rounded = None, None
                if by_hand is not None:
                    exact = apart(r.input[name], relevance(tiny, by_hand)[1])
                    if key in theirs:
                        with_epsilon = Rules(by_hand.constant_weights, by_hand.constant_gates, EPSILON)
                        rounded = apart(theirs[key], relevance(tiny, with_epsilon)[1])
                between = apart(r.input[name], theirs[key]) if key in theirs else None
                row = [(exact, EXACT), (rounded, EXACT), (between, LIMIT)]
                print(f"{key:28} " + "         ".join(said(*each) for each in row), flush=True)
                worst = max(worst, *(number / limit for number, limit in row if number is not None))
    for key in plain.COMPARED:
        between = apart(plain.relevance(plain.ours(key)), theirs[f"plain/{key}"])
        print(f"{key:28} {'':32}{said(between, LIMIT)}")
        worst = max(worst, between / LIMIT)
    if write and worst <= 1:
        stored = {key.removeprefix("plain/"): tensor for key, tensor in theirs.items() if key.startswith("plain/")}
        metadata = {
            "about": "LXT's relevance (lxt.efficient, input times gradient) of the cases in tests/agreement/plain.py",
            "versions": packages,
            "seeds": "weights and inputs as fixed in tests/agreement/plain.py",
            "date": datetime.date.today().isoformat(),
        }
        save_file(stored, GOLDEN, {"lrp": json.dumps(metadata)})
        GOLDEN.chmod(0o644)
        print(f"{GOLDEN}: {len(stored)} tensors")
    return int(not worst <= 1)


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
