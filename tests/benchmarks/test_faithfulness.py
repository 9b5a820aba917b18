"""The faithfulness measure, by hand on a linear model, where SRG has a closed form."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor, nn

from benchmarks.faithfulness import STEPS, curve, order_by_relevance, patch_scores, random_order, srg

# Four patches of 2 x 2 in a row. The image's mean is 0, so a removed patch takes exactly its contribution with it.
VALUES = torch.tensor([1.0, -1.0, 2.0, -2.0], dtype=torch.float64)
CONTRIBUTIONS = torch.tensor([3.0, -1.0, 6.0, 0.0], dtype=torch.float64)
X = VALUES.repeat_interleave(2).expand(1, 1, 2, 8)
CLASSES = torch.tensor([1])


class Weighted(nn.Module):
    """Logit 1 is the sum of the patches' contributions, logit 0 is something else."""

    def forward(self, x: Tensor) -> Tensor:
        weights = (CONTRIBUTIONS / VALUES / 4).repeat_interleave(2)
        return torch.stack([x.square().sum((1, 2, 3)), (x * weights).sum((1, 2, 3))], 1)


def gain(*order: int) -> float:
    return srg(Weighted(), X, CLASSES, torch.tensor([order]), patch=2, steps=4).item()


def test_curves_by_hand() -> None:
    relevance = X * (CONTRIBUTIONS / VALUES / 4).repeat_interleave(2)
    assert patch_scores(relevance, 2).tolist() == [CONTRIBUTIONS.tolist()]
    order = order_by_relevance(patch_scores(relevance, 2))
    assert order.tolist() == [[2, 0, 3, 1]]
    assert curve(Weighted(), X, CLASSES, order, 2, 4).tolist() == [[8, 2, -1, -1, 0]]
    assert curve(Weighted(), X, CLASSES, order.flip(1), 2, 4).tolist() == [[8, 9, 9, 6, 0]]
    assert srg(Weighted(), X, CLASSES, order, 2, 4).item() == (7 + 10 + 7 + 0) / 4


def test_closed_form_and_the_best_order() -> None:
    gains = {}
    for order in permutations(range(4)):
        weights = torch.tensor([3.0, 1.0, -1.0, -3.0], dtype=torch.float64)  # (n + 1 - 2 j) for the j-th removed
        closed = (weights * CONTRIBUTIONS[list(order)]).sum().item() / 4
        gains[order] = gain(*order)
        assert gains[order] == pytest.approx(closed, abs=1e-14)
        assert gains[order] == pytest.approx(-gain(*reversed(order)), abs=1e-14)
    assert max(gains, key=gains.__getitem__) == (2, 0, 3, 1)
    assert sum(gains.values()) == pytest.approx(0, abs=1e-13)  # what random orders come to


def test_fifty_steps_are_as_equal_as_196_patches_allow() -> None:
    class Left(nn.Module):
        """How much of the image is not yet filled: the mean of a 0/1 image with mean 1/2 is neither 0 nor 1."""

        def forward(self, x: Tensor) -> Tensor:
            return ((x - 0.5).abs() > 0.1).sum((1, 2, 3), dtype=torch.float64)[:, None] / 4

    x = torch.ones(3, 1, 28, 28)
    x[..., ::2] = 0
    left = curve(Left(), x, torch.zeros(3, dtype=torch.long), random_order(3, 196, seed=0), patch=2)
    sizes = -left.diff(dim=1)
    assert left.shape == (3, STEPS + 1)
    assert left[:, 0].tolist() == [196] * 3
    assert left[:, -1].tolist() == [0] * 3
    assert set(sizes.unique().tolist()) == {3, 4}
    assert torch.equal(sizes, sizes.flip(1))  # so that the reversed order removes what the other one left


def test_each_channel_is_filled_with_its_own_mean() -> None:
    class Channels(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :, 0, 0]

    x = torch.tensor([1.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0, 40.0], dtype=torch.float64).view(1, 2, 2, 2)
    order = torch.tensor([[3, 0, 1, 2]])
    for channel, (value, mean) in enumerate([(1, 4), (10, 25)]):
        logits = curve(Channels(), x, torch.tensor([channel]), order, patch=1, steps=4)
        assert logits.tolist() == [[value, value, mean, mean, mean]]


def test_ties_are_in_random_order_the_same_in_every_run() -> None:
    scores = torch.zeros(2, 9, dtype=torch.float64)
    scores[:, 4] = 1
    order = order_by_relevance(scores)
    assert order[:, 0].tolist() == [4, 4]
    assert order.sort(1).values.tolist() == [list(range(9))] * 2
    assert torch.equal(order, order_by_relevance(scores))
    assert not torch.equal(order[0], order[1])
    assert not torch.equal(order, order_by_relevance(scores, seed=1))


def test_a_map_that_is_not_finite_has_no_order() -> None:
    with pytest.raises(ValueError, match="not finite"):
        order_by_relevance(torch.tensor([[0.0, float("nan")]]))
