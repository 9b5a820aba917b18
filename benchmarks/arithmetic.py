"""Arithmetic among distractors: an LSTM adds or subtracts two numbers of a sequence; does relevance say which?

    python -m benchmarks.arithmetic [--train]

After the toy task of Arras et al. 2019 ("Evaluating recurrent neural network explanations"): each step holds a number,
in the first feature where it does not count and in the second where it does. Two of 4 to 10 count, `a` before `b`; the
target is `a + b` (numbers between -1 and 1) or `a - b` (between 0.5 and 1). An LSTM of one unit learns it, so
what each step contributes is known: `a`, `b` or `-b`, and nothing.

With `--train` the weights are made anew (`data/arithmetic.safetensors`; a minute or two on one thread, seeded); without
it they are read. Both write `records/arithmetic.json` and the table in docs/evidence.md.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import lrp
from benchmarks.report import made_with, table, write_record, write_section

WEIGHTS = Path(__file__).parent / "data" / "arithmetic.safetensors"
TASKS = {"addition": (1.0, -1.0, 1.0), "subtraction": (-1.0, 0.5, 1.0)}
"""The sign of the second number, and between which bounds all numbers lie."""
LENGTHS = range(4, 11)
STEPS, BATCH, PER_LENGTH = 3000, 64, 100
PRESETS = {"lrp_all": lrp.presets.lrp_all, "zero": lrp.presets.zero}


class Arithmetic(nn.Module):
    """An LSTM of one unit, and a weight for its last output; sequences are `(T, N, 2)`."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(2, 1), nn.Linear(1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.lstm(x)[0][-1])


def sequences(task: str, length: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences `(T, N, 2)`, and what each step contributes to the target, `(T, N)`."""
    sign, low, high = TASKS[task]
    numbers = low + (high - low) * torch.rand(length, count, generator=generator)
    places = torch.rand(length, count, generator=generator).topk(2, 0).indices.sort(0).values
    signs = torch.zeros(length, count).scatter(0, places, torch.tensor([[1.0], [sign]]).expand(2, count))
    counts = signs.abs()
    return torch.stack([numbers * (1 - counts), numbers * counts], -1), numbers * signs


def trained(task: str) -> Arithmetic:
    """A network trained on fresh sequences throughout: Adam on the squared error, one learning-rate cycle."""
    torch.manual_seed(0)
    model, generator = Arithmetic(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, total_steps=STEPS)
    for step in range(STEPS):
        x, contributions = sequences(task, LENGTHS[step % len(LENGTHS)], BATCH, generator)
        loss = (model(x)[:, 0] - contributions.sum(0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def load() -> dict[str, Arithmetic]:
    """The trained networks, by task."""
    weights, models = load_file(WEIGHTS), {}
    for task in TASKS:
        models[task] = Arithmetic()
        own = {name.removeprefix(task + "."): value for name, value in weights.items() if name.startswith(task)}
        models[task].load_state_dict(own)
        models[task].eval().requires_grad_(False)
    return models


def measured(model: Arithmetic, task: str, composite: lrp.Composite, per_length: int = PER_LENGTH) -> dict[str, float]:
    """How the relevance of the steps goes with what they contribute, over sequences that training did not see."""
    model, generator = model.double(), torch.Generator().manual_seed(1)
    pairs, errors = [], []
    for length in LENGTHS:
        x, contributions = sequences(task, length, per_length, generator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", lrp.errors.LRPWarning)  # gates that get relevance may make it noise
            r = lrp.explain(model, x.double(), target=0, composite=composite)
        pairs.append(torch.stack([r.input.sum(2).flatten(), contributions.double().flatten()]))
        errors.append(r.explained - contributions.sum(0))
    relevance, truth = torch.cat(pairs, 1)
    counts = truth != 0
    return {
        "root mean square error of the network": float(torch.cat(errors).square().mean().sqrt()),
        "correlation over all steps": _correlation(relevance, truth),
        "correlation over the numbers that count": _correlation(relevance[counts], truth[counts]),
        "mean absolute relevance of a number that counts": float(relevance[counts].abs().mean()),
        "mean absolute relevance of a distractor": float(relevance[~counts].abs().mean()),
        "largest absolute relevance of a distractor": float(relevance[~counts].abs().max()),
    }


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one, other]))[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--train", action="store_true", help="make the weights anew")
    if parser.parse_args().train:
        torch.set_num_threads(1)
        models = {task: trained(task) for task in TASKS}
        save_file({f"{t}.{name}": w for t, model in models.items() for name, w in model.state_dict().items()}, WEIGHTS)
    found = {
        task: {name: measured(model, task, make()) for name, make in PRESETS.items()} for task, model in load().items()
    }
    record: dict[str, Any] = {
        "what": "relevance of the steps of an LSTM of one unit that adds or subtracts two numbers among distractors",
        **made_with("torch"),
        "sequences": PER_LENGTH * len(LENGTHS),
        "tasks": found,
    }
    write_record("arithmetic", record)
    rows = [
        [
            f"{task}, `{name}`",
            f"{numbers['correlation over all steps']:.4f}",
            f"{numbers['correlation over the numbers that count']:.4f}",
            f"{numbers['mean absolute relevance of a number that counts']:.3f}",
            f"{numbers['mean absolute relevance of a distractor']:.1e}",
        ]
        for task, by_preset in found.items()
        for name, numbers in by_preset.items()
    ]
    head = ["task, preset", "correlation, all steps", "numbers that count", "mean abs. R of these", "of distractors"]
    write_section("arithmetic", table(head, rows))
    print("\n".join(table(head, rows)))


if __name__ == "__main__":
    main()
