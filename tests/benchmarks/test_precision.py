"""How maps in few bits are compared."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmarks.precision import TYPES, Subject, apart, cast, explain, measured
from tests.cases.networks import prepare

MODEL = prepare(nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3)), seed=1).float()
X = torch.randn(3, 4, generator=torch.Generator().manual_seed(2))


def test_error_and_ranks_by_hand() -> None:
    found = apart(torch.tensor([1.0, 2.5, -4.0]), torch.tensor([2.0, 1.0, -5.0]))
    assert found == {"error": pytest.approx(1.5 / 5), "rank": pytest.approx(0.5)}


def test_frequencies_of_rotary_positions_are_not_rounded() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rotary_emb, self.other = nn.Module(), nn.Module()
            for module in (self.rotary_emb, self.other):
                module.register_buffer("inv_freq", torch.tensor([0.1]))

    low = cast(Model(), torch.bfloat16)
    assert torch.equal(low.rotary_emb.inv_freq, torch.tensor([0.1]))
    assert low.other.inv_freq.dtype == torch.bfloat16


@pytest.mark.parametrize("name", TYPES)
def test_arithmetic_is_compared_on_the_same_weights(name: str) -> None:
    found = measured(Subject(MODEL, X.split(1), [0, 1, 2]), name)
    low = cast(MODEL, TYPES[name])
    same = cast(low, torch.float64)
    errors = []
    for k, x in enumerate(X.to(TYPES[name]).split(1)):
        with torch.autocast("cpu", torch.bfloat16, enabled=name.startswith("autocast")):
            relevance = explain(low, x, k)[0]
        errors.append(apart(relevance, explain(same, x.double(), k)[0])["error"])
    assert found["arithmetic"]["error"] == max(errors)
    assert found["arithmetic"]["median error"] == sorted(errors)[1]
    rounded = name in ("bfloat16", "float16")
    assert (found["arithmetic"]["error"] == found["with rounded weights"]["error"]) != rounded
    assert 0 < found["arithmetic"]["error"] < (1e-5 if name == "float32" else 2e-2)


def test_a_refusal_is_recorded() -> None:
    class Overflow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 1e4 * 1e4 * 1e-3

    found = measured(Subject(Overflow(), [X[:1] * 1e-4], [0]), "float16")
    assert found == {
        "refused": "ModelError: relevance per unit of activation went beyond the largest number of float16"
    }
