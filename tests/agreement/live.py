"""Compare lrp with zennit on the same models in one process (peers environment, `lrp` importable).

Prints the largest difference of each network and composite as a share of the map's largest entry and exits with 1
if one is above 1e-10. Networks: those of the stored values, a few more of tests/cases that zennit follows, and
torchvision's own resnet18 and vgg11_bn.

    python -m tests.agreement.live [NETWORK ...]
"""

from __future__ import annotations

import sys
import time

from tests.agreement.peers import COMPOSITES, versions, zennit_map  # first: it makes torchvision importable

# isort: split
import torch
import torchvision.models
from torch import Tensor

import lrp
from lrp.errors import LRPError
from tests.agreement.compared import NETWORKS, PRESETS, apart
from tests.cases.networks import CASES, Case, prepare, signed

TOLERANCE = 1e-10
# mlp_functional: for ReLU, and no other activation, the gradient that zennit lets through happens to be right
NAMES = (*NETWORKS, "mlp_functional", "bias_free_relu")


def images() -> Tensor:
    return signed(3, 3, 64, 64)


CASES_COMPARED = [CASES[name] for name in NAMES] + [
    Case("torchvision.resnet18", lambda: prepare(torchvision.models.resnet18(), 11), images),
    Case("torchvision.vgg11_bn", lambda: prepare(torchvision.models.vgg11_bn(), 12), images, deep_pools=True),
]


def main(wanted: list[str]) -> int:
    print(f"lrp against {versions('zennit', 'torch', 'torchvision')}; largest difference / largest entry")
    worst = 0.0
    for case in CASES_COMPARED:
        if wanted and case.name not in wanted:
            continue
        model, x = case.build(), case.agreement_inputs()
        for composite in COMPOSITES:
            started = time.perf_counter()
            _, theirs = zennit_map(model, x, composite)
            middle = time.perf_counter()
            try:
                ours = lrp.explain(model, x, composite=PRESETS[composite](), ledger=False).input
                error = apart(ours, theirs)
                said = f"{error:.1e}" + ("" if error <= TOLERANCE else "   ABOVE")
            except LRPError as refusal:
                error, said = float("inf"), f"{type(refusal).__name__}: {refusal}"
            seconds = f"zennit {middle - started:.2f} s, lrp {time.perf_counter() - middle:.2f} s"
            print(f"{case.name:22} {composite:25} {seconds}   {said}", flush=True)
            worst = max(worst, error)
    print(f"worst {worst:.1e}, allowed {TOLERANCE:.0e}")
    return int(not worst <= TOLERANCE)


if __name__ == "__main__":
    torch.manual_seed(0)
    sys.exit(main(sys.argv[1:]))
