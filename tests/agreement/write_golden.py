"""Write golden/zennit.safetensors: zennit's maps, which `make test` compares against (peers environment).

Before writing, zennit itself is checked where the answer is known: without biases and batch-norm shifts its
relevance sums to the explained logit, and its `epsilon` is gradient times input.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.agreement.peers import COMPOSITES, top_logit, versions, zennit_map
from tests.cases.networks import CASES

NETWORKS = ("mlp", "conv1d_net", "vgg_bn", "resnet18_small")
GOLDEN = Path(__file__).parent / "golden" / "zennit.safetensors"


def without_shifts(model: nn.Module) -> nn.Module:
    """Zero every bias and batch-norm shift in place."""
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if name.endswith(("bias", "running_mean")):
                tensor.zero_()
    return model


def gradient_times_input(model: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    output = model(x)
    (gradient,) = torch.autograd.grad(output, x, (top_logit(output) != 0).double())
    return (x * gradient).detach()


def check_zennit(name: str) -> None:
    """Exit if zennit's maps of the shift-free network miss what is known about them."""
    model, x = without_shifts(CASES[name].build()), CASES[name].inputs()
    for composite in COMPOSITES:
        output, relevance = zennit_map(model, x, composite)
        missing = (1 - relevance.flatten(1).sum(1) / output.max(1).values).abs().max().item()
        line = f"zennit {name:15} {composite:18} shift-free: 1 - sum/logit at most {missing:.1e}"
        if composite == "epsilon":
            reference = gradient_times_input(model, x)
            apart = ((relevance - reference).abs().max() / reference.abs().max()).item()
            line += f", from gradient x input {apart:.1e}"
            missing = max(missing, apart)
        print(line)
        if missing > 1e-2:
            sys.exit(f"zennit does not conserve on {name} with {composite}: golden values not written")


def main() -> None:
    tensors: dict[str, Tensor] = {}
    for name in NETWORKS:
        check_zennit(name)
        case = CASES[name]
        x = case.agreement_inputs()
        for composite in COMPOSITES:
            model = case.build()
            before = model(x).detach()
            output, relevance = zennit_map(model, x, composite)
            off = ((output - before).abs().max() / before.abs().max()).item()
            if off > 1e-13:
                sys.exit(f"zennit's canonizers changed the output of {name} by {off:.1e}: is bn.eps 0?")
            tensors[f"{name}/{composite}"] = relevance.contiguous()
        tensors[f"{name}/output"] = before
    metadata = {
        "about": "zennit's relevance of the input for each sample's top class; tests/cases, agreement_inputs()",
        "versions": versions("zennit", "torch", "torchvision"),
        "seeds": "weights and inputs as fixed in tests/cases/networks.py",
        "date": datetime.date.today().isoformat(),
    }
    GOLDEN.parent.mkdir(exist_ok=True)
    save_file(tensors, GOLDEN, {"lrp": json.dumps(metadata)})  # one entry: several are written in random order
    print(f"{GOLDEN}: {len(tensors)} tensors, {GOLDEN.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
