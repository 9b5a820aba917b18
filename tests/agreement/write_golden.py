"""Write golden/*.safetensors: the peers' maps that `make test` compares against (peers environment).

Before writing, zennit itself is checked where the answer is known: without biases and batch-norm shifts its
relevance sums to the explained logit, and its `epsilon` is gradient times input on ReLU networks. Not checked is what
does not conserve by its own formula: alpha-beta rules where a unit has no negative part, and z+ where it has no
positive one (depthwise convolutions have few inputs, smooth activations have negative outputs).
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.agreement.compared import HIDDEN, NETWORKS
from tests.agreement.deeplift import DIFFERENCES, TARGET
from tests.agreement.one_rule import ONE_RULE
from tests.agreement.peers import (
    COMPOSITES,
    captum_deeplift,
    top_logit,
    versions,
    zennit_hidden_flat,
    zennit_map,
    zennit_rule,
)
from tests.cases.networks import CASES

GOLDEN = Path(__file__).parent / "golden"


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
    smooth = any(isinstance(module, (nn.ReLU6, nn.SiLU)) for module in model.modules())
    for composite in COMPOSITES:
        if "alpha2" in composite or (smooth and composite not in ("epsilon", "epsilon_gamma_box")):
            continue
        output, relevance = zennit_map(model, x, composite)
        missing = (1 - relevance.flatten(1).sum(1) / output.max(1).values).abs().max().item()
        line = f"zennit {name:17} {composite:19} shift-free: 1 - sum/logit at most {missing:.1e}"
        if composite == "epsilon" and not smooth:
            reference = gradient_times_input(model, x)
            apart = ((relevance - reference).abs().max() / reference.abs().max()).item()
            line += f", from gradient x input {apart:.1e}"
            missing = max(missing, apart)
        print(line)
        if missing > 1e-2:
            sys.exit(f"zennit does not conserve on {name} with {composite}: golden values not written")


def zennit_maps() -> dict[str, Tensor]:
    """zennit's composites on whole networks."""
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
            tensors[f"{name}/{composite}"] = relevance
        tensors[f"{name}/output"] = before
    return tensors


def zennit_rules() -> dict[str, Tensor]:
    """zennit's rules one by one, and Flat on layers that are not first."""
    tensors = {case.name: zennit_rule(case) for case in ONE_RULE}
    for name, (layers, others) in HIDDEN.items():
        case = CASES[name]
        tensors[f"hidden_flat/{name}"] = zennit_hidden_flat(case.build(), case.agreement_inputs(), layers, others)
    return tensors


def captum_differences() -> dict[str, Tensor]:
    """captum's DeepLift; where it should conserve it is checked."""
    tensors: dict[str, Tensor] = {}
    for case in DIFFERENCES:
        relevance = captum_deeplift(case.build(), case.inputs(), case.reference_inputs(), TARGET)
        off = ((relevance.flatten(1).sum(1) - case.explained()).abs().max() / relevance.abs().max()).item()
        print(f"captum {case.name:24} sum - (f(x) - f(x0)): {off:.1e} of the largest entry")
        if case.conserves and off > 1e-13:
            sys.exit(f"captum does not conserve on {case.name}: golden values not written")
        tensors[case.name] = relevance
    return tensors


def write(name: str, about: str, peer: str, tensors: dict[str, Tensor]) -> None:
    """Store tensors with what they are, by which versions they were made, and when."""
    metadata = {
        "about": about,
        "versions": versions(peer, "torch", "torchvision"),
        "seeds": "weights and inputs as fixed in tests/cases and beside this file",
        "date": datetime.date.today().isoformat(),
    }
    GOLDEN.mkdir(exist_ok=True)
    file = GOLDEN / name
    tensors = {key: tensor.contiguous() for key, tensor in tensors.items()}
    save_file(tensors, file, {"lrp": json.dumps(metadata)})  # one entry: several are written in random order
    file.chmod(0o644)
    print(f"{file}: {len(tensors)} tensors, {file.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    about = "zennit's relevance of the input"
    top = f"{about} for each sample's top class; tests/cases, agreement_inputs()"
    write("zennit.safetensors", top, "zennit", zennit_maps())
    one = f"{about} with one rule on one layer; tests/agreement/one_rule.py, and compared.py for hidden_flat"
    write("zennit_rules.safetensors", one, "zennit", zennit_rules())
    difference = "captum's DeepLift of the input; tests/agreement/deeplift.py"
    write("deeplift.safetensors", difference, "captum", captum_differences())


if __name__ == "__main__":
    main()
