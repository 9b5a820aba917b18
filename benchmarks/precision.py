"""What few bits cost: maps of trained networks in float32, bfloat16, float16 and under autocast, beside float64.

    make precision      # a quarter of an hour of one core's time, in the environment of `make real`

writes `records/precision.json` and its table in docs/evidence.md. Each input is explained by default (`auto`), for the
class or token that the network in float64 chooses, and its map is compared

- with that of the same network in float64, its weights and inputs rounded to the type first: so the arithmetic differs,
  and nothing else;
- with that of the network in float64 as it was trained: the rounding of weights and inputs comes on top.

As `from_pretrained(dtype=...)` does, the frequencies of rotary positions stay in float32.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from tqdm import tqdm

import lrp
from benchmarks import photographs
from benchmarks.real import FACTS, REVIEWS
from benchmarks.report import made_with, read_record, table, write_record, write_section
from benchmarks.texts import TextModel, language_model, sentiment
from examples.sample_model import SampleModel

FLOAT32, AUTOCAST = "float32", "autocast to bfloat16"
TYPES = {FLOAT32: torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, AUTOCAST: torch.float32}


@dataclass(frozen=True)
class Subject:
    """A network in float32, inputs of one sample each, and what is explained of each."""

    model: nn.Module
    inputs: Sequence[Any]
    targets: Sequence[Any]


def tutorial() -> Subject:
    model = SampleModel().eval()
    model.load_state_dict(torch.load("examples/model_weights.pth", weights_only=True))
    rows = torch.tensor(np.loadtxt("examples/samples.csv", delimiter=",", skiprows=1), dtype=torch.float32)
    return Subject(model, rows.split(1), [None] * len(rows))


def pictures() -> Subject:
    model, x = photographs.classifier(), photographs.photographs()
    classes = copy.deepcopy(model).double()(x.double()).argmax(1)
    return Subject(model, x.split(1), classes.tolist())


def texts(model: TextModel, given: Sequence[str]) -> Subject:
    read = [model.read(text) for text in given]
    return Subject(model.model, [model.inputs(ids) for ids, _, _ in read], [target for _, _, target in read])


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "tutorial MLP": tutorial,
    "EfficientNet-Lite0": pictures,
    "MiniLM sentiment": lambda: texts(sentiment(), REVIEWS),
    "SmolLM2-135M": lambda: texts(language_model(), list(FACTS)),
}


def cast(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of the network in this type."""
    found = copy.deepcopy(model).to(dtype)
    for (name, kept), module in zip(model.named_modules(), found.modules(), strict=True):
        if "rotary" in name:
            module._buffers.update({key: buffer.clone() for key, buffer in kept._buffers.items()})
    return found


def moved(inputs: Any, dtype: torch.dtype) -> Any:
    """Floating inputs in this type; tokens as they are."""
    return inputs.to(dtype) if isinstance(inputs, Tensor) else inputs


def explain(model: nn.Module, inputs: Any, target: Any) -> tuple[Tensor, float]:
    """The map in float64, flat, and the residual of its books as a share of their scale."""
    r = lrp.explain(model, inputs, target=target)
    relevance = r.input if isinstance(r.input, Tensor) else r.input["input_ids"]
    return relevance.double().flatten(), float((r.ledger.residual / r.ledger.scale).abs())


def apart(relevance: Tensor, truth: Tensor) -> dict[str, float]:
    """The largest error as a share of the map's maximum, and the rank correlation."""
    error = (relevance - truth).abs().max() / truth.abs().max()
    return {"error": float(error), "rank": float(spearmanr(relevance, truth).statistic)}


def measured(of: Subject, name: str) -> dict[str, Any]:
    """The worst of all inputs, in one type."""
    dtype = TYPES[name]
    low = cast(of.model, dtype)
    same, trained = cast(low, torch.float64), cast(of.model, torch.float64)
    context = torch.autocast("cpu", torch.bfloat16) if name == AUTOCAST else nullcontext()
    rows: list[dict[str, dict[str, float]]] = []
    residuals = []
    for x, target in zip(of.inputs, of.targets, strict=True):
        try:
            with context:
                relevance, residual = explain(low, moved(x, dtype), target)
        except lrp.errors.ModelError as error:
            return {"refused": f"{type(error).__name__}: {error.what}"}
        exact = explain(same, moved(moved(x, dtype), torch.float64), target)[0]
        original = explain(trained, moved(x, torch.float64), target)[0]
        rows.append({"arithmetic": apart(relevance, exact), "with rounded weights": apart(relevance, original)})
        residuals.append(residual)
    worst = {
        what: {
            "error": max(row[what]["error"] for row in rows),
            "median error": float(np.median([row[what]["error"] for row in rows])),
            "rank": min(row[what]["rank"] for row in rows),
        }
        for what in rows[0]
    }
    return {"inputs": len(rows), **worst, "residual / scale": max(residuals)}


def lines(record: dict[str, Any]) -> list[str]:
    """The table of the page."""
    head = ["network, type", "arithmetic: error", "rank", "with rounded weights: error", "rank", "residual / scale"]
    rows = []
    for network, types in record["networks"].items():
        for name, row in types.items():
            if "refused" in row:
                rows.append([f"{network}, {name}", "refused", "", "", "", ""])
                continue
            cells = [
                text
                for what in ("arithmetic", "with rounded weights")
                for text in (f"{row[what]['error']:.1e} ({row[what]['median error']:.1e})", f"{row[what]['rank']:.4f}")
            ]
            rows.append([f"{network}, {name}", *cells, f"{row['residual / scale']:.0e}"])
    return table(head, rows)


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", lrp.LRPWarning)  # books that do not balance are in the table
    record = {
        "what": "error: of the map's maximum, the worst of all inputs and their median; rank: the lowest correlation",
        **made_with("torch", "transformers", "numpy", "scipy"),
        "networks": {},
    }
    for network, load in SUBJECTS.items():
        of = load()
        record["networks"][network] = {name: measured(of, name) for name in tqdm(TYPES, desc=network)}
        write_record("precision", record)
    write_section("precision", lines(read_record("precision")))
    print("\n".join(lines(record)))


if __name__ == "__main__":
    main()
