"""The committed digits and the network that reads them."""

from __future__ import annotations

import pytest
import torch

from benchmarks import digits


def test_a_hundred_digits_of_each_class_within_the_range_of_the_network() -> None:
    x, labels = digits.digits()
    assert x.shape == (1000, 1, 28, 28)
    assert labels.bincount().tolist() == [100] * 10
    assert (x.min().item(), x.max().item()) == pytest.approx(digits.LOW_HIGH, abs=1e-6)
    few, few_labels = digits.digits(per_class=2)
    assert torch.equal(few, x.view(10, 100, 1, 28, 28)[:, :2].flatten(0, 1))
    assert few_labels.bincount().tolist() == [2] * 10
    others, _ = digits.digits(per_class=50, skip=50)
    assert torch.equal(others, x.view(10, 100, 1, 28, 28)[:, 50:].flatten(0, 1))


def test_the_network_reads_997_of_1000() -> None:
    x, labels = digits.digits()
    with torch.inference_mode():
        read = digits.classifier()(x).argmax(1)
    assert (read == labels).sum() == 997
