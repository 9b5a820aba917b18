"""Explanations on a GPU: their maps beside the CPU's, what few bits cost, time and memory over gradient x input.

    make gpu       # needs a CUDA GPU and a torch that knows it; minutes

writes `records/gpu.json` and its tables in docs/hardware.md. Weights are random but for EfficientNet-Lite0's, which
sees a photograph.
"""

from __future__ import annotations

import copy
import platform
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import lrp
from benchmarks import report
from benchmarks.language_models import TRANSFORMERS, embedded
from benchmarks.networks import NETWORKS, photograph_like
from benchmarks.precision import AUTOCAST, apart
from benchmarks.speed import OF_TRANSFORMERS, composites, measure, networks
from benchmarks.timing import gradient_times_input
from lrp.models import imagenet
from tests.cases.networks import CASES

ANYWHERE = ("zero", "epsilon_plus_flat", "epsilon_alpha2_beta1_flat", "attnlrp")
OF_NETWORKS = ("zero", "epsilon_plus_flat", "epsilon_gamma_box")
ROUNDS = 9
Subject = tuple[nn.Module, Tensor]


def precise() -> dict[str, Callable[[], Subject]]:
    """Networks in float64 with inputs, on the CPU."""
    text = {
        name.partition(",")[0]: lambda build=build, width=width: (build().double(), embedded(width, 16).double())
        for name, (build, width, length) in TRANSFORMERS.items()
        if length == 128
    }
    return {
        **{name: lambda case=case: (case.build(), case.inputs()) for name, case in CASES.items()},
        **{
            name: lambda build=build: (build().double(), photograph_like().double()) for name, build in NETWORKS.items()
        },
        **text,
        "efficientnet_lite0": lambda: (imagenet.classifier().double(), chelsea().double()),
    }


def chelsea() -> Tensor:
    return imagenet.model_input(imagenet.photograph("chelsea"))


def positive_eps(model: nn.Module) -> None:
    """Some torch releases refuse the `eps = 0` that the test networks' batch norms have."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eps = max(module.eps, 1e-5)


def explain(model: nn.Module, x: Tensor, composite: lrp.Composite | None = None) -> tuple[Tensor, float]:
    """The map, and the residual of its books as a share of their scale."""
    r = lrp.explain(model, x, composite=composite)
    return r.input.double().cpu().flatten(), float((r.ledger.residual / r.ledger.scale).abs())


def agreement() -> dict[str, dict[str, float]]:
    """By network: the worst error of the GPU's map, of the CPU's maximum, over `auto` and presets; worst residual."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    found = {}
    for name, build in precise().items():
        model, x = build()
        positive_eps(model)
        chosen = [None, *composites(ANYWHERE).values()]
        truths = [explain(model, x, composite)[0] for composite in chosen]
        model, x = model.cuda(), x.cuda()
        maps = [explain(model, x, composite) for composite in chosen]
        found[name] = {
            "error": max(apart(here, there)["error"] for (here, _), there in zip(maps, truths, strict=True)),
            "residual / scale": max(residual for _, residual in maps),
        }
        print(name, found[name], flush=True)
    return found


def few_bits() -> dict[str, dict[str, dict[str, float]]]:
    """By network and type: how far the map is from float64's with the same rounded weights and inputs."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in ("resnet18", "bert_base", "llama of 135 million", "efficientnet_lite0"):
        model, x = precise()[name]()
        positive_eps(model)
        model, x = model.float().cuda(), x.float().cuda()
        found[name] = {}
        for word, dtype, tensor_float in (
            ("float32", torch.float32, False),
            ("TF32", torch.float32, True),
            ("bfloat16", torch.bfloat16, False),
            ("float16", torch.float16, False),
            (AUTOCAST, torch.float32, False),
        ):
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tensor_float
            low = copy.deepcopy(model).to(dtype)
            truth, _ = explain(copy.deepcopy(low).double(), x.to(dtype).double())
            with torch.autocast("cuda", torch.bfloat16, enabled=word == AUTOCAST):
                relevance, residual = explain(low, x.to(dtype))
            found[name][word] = {**apart(relevance, truth), "residual / scale": residual}
            print(name, word, found[name][word], flush=True)
    return found


def peak(call: Callable[[], object]) -> int:
    """Bytes that the call takes at most, beside what was there."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def costs() -> dict[str, dict[str, Any]]:
    """By network, batch and type: time by the clock, and memory, over gradient x input's."""
    found = {}
    for name, (model, x) in networks().items():
        if name not in NETWORKS and name not in TRANSFORMERS:
            continue
        presets = OF_TRANSFORMERS if name in TRANSFORMERS else OF_NETWORKS
        positive_eps(model)
        for dtype, batch in ((torch.float32, 1), (torch.float32, 64), (torch.bfloat16, 64)):
            model, x = model.to("cuda", dtype), x.to("cuda", dtype)
            inputs = x.expand(batch, *x.shape[1:]).clone()
            ratios = measure(model, inputs, presets, ROUNDS)
            base = peak(partial(gradient_times_input, model, inputs))
            for preset, levels in ratios.items():
                explainer = lrp.Explainer(model, composite=composites([preset])[preset], ledger=False)
                most = peak(partial(explainer, inputs))
                key = f"{name}, {preset}; {str(dtype).removeprefix('torch.')}, {batch}"
                found[key] = {
                    **{word: ratio["wall"] for word, ratio in levels.items()},
                    "memory": round(most / base, 2),
                }
                print(key, found[key], flush=True)
    return found


def tables(record: dict[str, Any]) -> list[str]:
    agree = [
        [name, f"{row['error']:.1e}", f"{row['residual / scale']:.0e}"] for name, row in record["agreement"].items()
    ]
    bits = [
        [f"{network}, {word}", f"{row['error']:.1e}", f"{row['rank']:.4f}", f"{row['residual / scale']:.0e}"]
        for network, words in record["few bits"].items()
        for word, row in words.items()
    ]
    cost = [
        [name, *(f"{row[column]:.2f}" for column in ("no ledger", "ledger", "memory"))]
        for name, row in record["costs"].items()
    ]
    made = f"{record['gpu']}, torch {record['versions']['torch']}, {record['date']}."
    return [
        f"{made} {record['note']}" if "note" in record else made,
        "",
        *report.table(["float64: network", "error", "residual / scale"], agree),
        "",
        *report.table(["network, type", "error", "rank", "residual / scale"], bits),
        "",
        *report.table(["network, preset; type, batch", "no ledger", "ledger", "memory"], cost),
    ]


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit(
            "make gpu needs a CUDA GPU, and a torch that was built for it: torch.cuda.is_available() is False"
        )
    warnings.simplefilter("ignore", lrp.LRPWarning)  # random inputs amplify
    record: dict[str, Any] = {
        "what": "error: of the map's maximum; costs: over gradient x input with frozen parameters, median of rounds",
        **report.made_with("torch", "transformers"),
        "machine": platform.machine(),
        "gpu": torch.cuda.get_device_name(),
    }
    for part, measured in (("agreement", agreement), ("few bits", few_bits), ("costs", costs)):
        record[part] = measured()
        report.write_record("gpu", record)
    report.write_section("gpu", tables(record), report.PAGE.with_name("hardware.md"))


if __name__ == "__main__":
    main()
