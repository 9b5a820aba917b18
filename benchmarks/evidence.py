"""Run the protocol of `faithfulness.py` on digits and photographs; writes the record and the table of the docs.

python -m benchmarks.evidence      # a quarter of an hour; writes records/faithfulness.json and docs/evidence.md
"""

from __future__ import annotations

import argparse
import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

import lrp
from benchmarks import digits, photographs, report
from benchmarks.faithfulness import (
    BASELINE,
    RANDOM,
    SEEDS,
    STEPS,
    beside,
    order_by_relevance,
    patch_scores,
    random_order,
    srg,
)
from lrp.models import imagenet

SAME_HERE = {"lrp_all"}
"""Presets that are `zero` on networks without gates, such as these."""
PER_CLASS = 50
Method = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Setting:
    """Images, their network, the classes explained, and the size of a patch in pixels."""

    model: nn.Module
    x: Tensor
    patch: int
    low_high: tuple[float, float]

    @torch.no_grad()
    def top(self) -> tuple[Tensor, Tensor]:
        """The logit and the class that each image is explained for."""
        logits, classes = self.model(self.x).max(1)
        return logits.double(), classes


def gradient_times_input(model: nn.Module, x: Tensor, classes: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).gather(1, classes[:, None]).sum(), x)
    return x.detach() * gradient


def methods(low_high: tuple[float, float]) -> dict[str, Method]:
    """Gradient x input and every preset that `lrp.presets` has today, `auto` first, but for those that are `zero`."""
    bounds = dict(zip(("low", "high"), low_high, strict=True))

    def explain(name: str) -> Method:
        preset = getattr(lrp.presets, name)
        asked = {key: bounds[key] for key in inspect.signature(preset).parameters if key in bounds}
        composite = None if name == "auto" else preset(**asked)
        return lambda model, x, classes: lrp.explain(model, x, target=classes, composite=composite).input

    names = sorted({*lrp.presets.__all__} - SAME_HERE, key=lambda name: (name != "auto", name))
    return {name: explain(name) for name in names} | {BASELINE: gradient_times_input}


def gains(setting: Setting, some: Sequence[str] = ()) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """SRG of each image, and the share of its logit that its map adds up to, by method, of `some` or all methods."""
    model, x, patch = setting.model, setting.x, setting.patch
    logits, classes = setting.top()
    batches = list(zip(x.split(50), classes.split(50), strict=True))
    scores: dict[str, Tensor] = {}
    gained: dict[str, Tensor] = {}
    asked = {name: method for name, method in methods(setting.low_high).items() if not some or name in some}
    for name, method in tqdm(asked.items(), desc="presets"):
        relevance = torch.cat([method(model, *batch) for batch in batches])
        scores[name] = patch_scores(relevance, patch)
        same = next((other for other in gained if torch.equal(scores[other], scores[name])), None)  # `auto` is another
        gained[name] = gained[same] if same else srg(model, x, classes, order_by_relevance(scores[name]), patch)
    orders = [random_order(len(x), scores[BASELINE].shape[1], seed) for seed in SEEDS]
    at_random = [srg(model, x, classes, order, patch) for order in tqdm(orders, desc="random orders")]
    gained[RANDOM] = torch.stack(at_random).mean(0)
    return gained, {name: score.sum(1) / logits for name, score in scores.items()}


def on_digits(skip: int = 0, some: Sequence[str] = ()) -> dict[str, Any]:
    x, labels = digits.digits(PER_CLASS, skip)
    setting = Setting(digits.classifier(), x, 2, digits.LOW_HIGH)
    gained, shares = gains(setting, some)
    rows = {
        name: {
            **beside(gain, gained),
            "median_share_of_logit": round(shares[name].median().item(), 4) if name in shares else None,
        }
        for name, gain in gained.items()
    }
    accuracy = (setting.top()[1] == labels).double().mean().item()
    return {"images": len(x), "patch": setting.patch, "accuracy": round(accuracy, 4), "methods": rows}


def on_photographs() -> dict[str, Any]:
    setting = Setting(photographs.classifier(), photographs.photographs(), 16, photographs.LOW_HIGH)
    gained, shares = gains(setting)
    names = list(photographs.PHOTOGRAPHS)
    rows = {
        name: {
            "srg": round(gain.mean().item(), 3),
            "each": dict(zip(names, (round(value, 3) for value in gain.tolist()), strict=True)),
            "median_share_of_logit": round(shares[name].median().item(), 4) if name in shares else None,
        }
        for name, gain in gained.items()
    }
    explained = [imagenet.class_names()[number] for number in setting.top()[1].tolist()]
    return {"patch": setting.patch, "explained": dict(zip(names, explained, strict=True)), "methods": rows}


def on_other_digits() -> dict[str, Any]:
    """`auto`, which was chosen with the first digits in view, on those that took no part in it."""
    return on_digits(PER_CLASS, ("auto", BASELINE))


PARTS = {"digits": on_digits, "other_digits": on_other_digits, "photographs": on_photographs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all unless said")
    parts = parser.parse_args().parts or list(PARTS)
    torch.set_num_threads(1)  # on a shared machine two take longer than one
    warnings.simplefilter("ignore", lrp.LRPWarning)  # some presets amplify, and the table shows what that does
    versions = report.made_with("torch", "numpy", "scipy", "scikit-image", "scikit-learn")
    for part in parts:
        record = {
            "what": "symmetric relevance gain in logits; benchmarks/faithfulness.py has the protocol",
            "steps": STEPS,
            "random_seeds": list(SEEDS),
            **{name: kept for name, kept in report.read_record("faithfulness").items() if name in PARTS},
            part: versions | PARTS[part](),
        }
        report.write_record("faithfulness", record)
        report.write_section("faithfulness", tables(record))
    print("\n".join(tables(record)))


def tables(record: dict[str, Any]) -> list[str]:
    """Those of the parts that were run."""
    lines = [line for part, table in TABLES.items() if part in record for line in ("", *table(record[part]))]
    return lines[1:]


def digit_table(record: dict[str, Any], which: str = "Digits") -> list[str]:
    head = ["method", "SRG", "digits above random", "p above random", "p above gradient x input", "map / logit"]
    rows = [
        [
            name,
            f"{row['srg']:.2f} ± {row['standard_error']:.2f}",
            f"{row['above_random']:.1%}",
            f"{row['p_above_random']:.1g}",
            f"{row['p_above_gradient_x_input']:.1g}",
            _share(row),
        ]
        for name, row in _best_first(record)
    ]
    title = (
        f"{which}: {record['images']} images, patches of {record['patch']} pixels, accuracy {record['accuracy']:.3f}"
    )
    return [f"**{title}**", "", *report.table(head, rows)]


def photograph_table(record: dict[str, Any]) -> list[str]:
    names = list(record["explained"])
    rows = [
        [name, f"{row['srg']:.2f}", *(f"{row['each'][photograph]:.2f}" for photograph in names), _share(row)]
        for name, row in _best_first(record)
    ]
    explained = ", ".join(f"{photograph} as {what}" for photograph, what in record["explained"].items())
    title = f"Photographs: EfficientNet-Lite0, patches of {record['patch']} pixels"
    table = report.table(["method", "mean SRG", *names, "map / logit"], rows)
    return [f"**{title}**", "", *table, "", f"Explained: {explained}."]


def _best_first(record: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(record["methods"].items(), key=lambda item: -item[1]["srg"])


def _share(row: dict[str, Any]) -> str:
    return "" if row["median_share_of_logit"] is None else f"{row['median_share_of_logit']:.2%}"


def other_digit_table(record: dict[str, Any]) -> list[str]:
    return digit_table(record, "Other digits")


TABLES = {"digits": digit_table, "other_digits": other_digit_table, "photographs": photograph_table}


if __name__ == "__main__":
    main()
