"""Token deletion, worked by hand on an output that is a sum over tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks import deletion
from benchmarks.deletion import deleted, gains
from benchmarks.faithfulness import order_by_relevance

DATA = Path(deletion.__file__).parent / "data"
WEIGHTS = torch.tensor([3.0, 1.0, 2.0])


def test_tokens_go_in_order_and_stay_gone() -> None:
    assert deleted(torch.tensor([2, 0, 1])).tolist() == [[False, False, True], [True, False, True], [True] * 3]
    in_groups = deleted(torch.arange(5), steps=2)
    assert in_groups.tolist() == [[True, True, False, False, False], [True] * 5]


def test_gain_by_hand() -> None:
    """Most relevant first leaves 3, 1, 0; least relevant first leaves 5, 3, 0."""
    asked: list[Tensor] = []

    def value(gone: Tensor) -> Tensor:
        asked.append(gone)
        return (WEIGHTS * ~gone).sum(1)

    best = order_by_relevance(WEIGHTS[None])[0]
    found = gains({"best": best, "worst": best.flip(0), "best again": best.clone()}, value)
    assert found == pytest.approx({"best": 4 / 3, "worst": -4 / 3, "best again": 4 / 3})
    assert [len(sets) for sets in asked] == [len({tuple(gone) for gone in asked[0].tolist()})]


def test_fifty_prompts_and_a_head_are_there() -> None:
    prompts = (DATA / "prompts.txt").read_text().splitlines()
    assert len({*prompts}) == 50
    assert all(prompt == prompt.strip() for prompt in prompts)
    head = load_file(DATA / "sentiment_head.safetensors")
    assert {name: tuple(value.shape) for name, value in head.items()} == {"weight": (2, 384), "bias": (2,)}
