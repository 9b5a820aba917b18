"""Moving, adding up, Fourier transforms and complex numbers, worked by hand."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import lrp
from lrp.errors import UncoveredError
from lrp.ops.refused import REFUSED
from tests.cases.networks import signed
from tests.ops.driving import assert_bit_equal, assert_books_balance, assert_same_map, drive, kept

N = 8
PHASE = 2 * math.pi * torch.arange(N, dtype=torch.float64) / N


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def explained(function: Callable[..., Tensor], *inputs: Tensor) -> lrp.Relevance:
    """Relevance of a function of one number, with books that balance in every op call."""
    with lrp.record(ledger="calls") as tape:
        z = function(*map(tape.source, inputs))
    assert_bit_equal(z.detach(), function(*inputs))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*the map may be noise", lrp.LRPWarning)  # sums of few numbers may cancel
        r = tape.relevance(z)
    assert_books_balance(r)
    return r


@pytest.mark.parametrize(
    "add",
    [
        lambda into, at, x: into.index_add(0, at, x),
        lambda into, at, x: into.scatter_add(0, at, x),
        lambda into, at, x: into.scatter_reduce(0, at, x, "sum"),
        lambda into, at, x: into.index_put((at,), x, accumulate=True),
        lambda into, at, x: into.clone().index_add_(0, at, x),
        lambda into, at, x: into.clone().scatter_add_(0, at, x),
        lambda into, at, x: into.clone().index_put_((at,), x, accumulate=True),
    ],
)
def test_each_of_several_values_at_one_place_keeps_its_own_share(add: Callable[..., Tensor]) -> None:
    x, into, at = numbers(2, 3, 5), numbers(1, 10), torch.tensor([0, 0, 1])
    r = explained(lambda x: add(into, at, x)[0], x)
    assert_same_map(r.input, numbers(2, 3, 0))
    assert kept(r, "constant") == 1
    r = explained(lambda x, into: add(into, at, x)[1], x, into)
    assert_same_map(r.input[0], numbers(0, 0, 5))
    assert_same_map(r.input[1], numbers(0, 10))


@pytest.mark.parametrize(
    "put",
    [
        lambda into, at, x: into.index_copy(0, at, x),
        lambda into, at, x: into.scatter(0, at, x),
        lambda into, at, x: into.index_put((at,), x),
        lambda into, at, x: into.put(at, x),
        lambda into, at, x: into.clone().scatter_(0, at, x),
        lambda into, at, x: into.clone().index_copy_(0, at, x),
    ],
)
def test_a_value_that_is_overwritten_gets_nothing(put: Callable[..., Tensor]) -> None:
    x, into, at = numbers(2, 3, 5), numbers(1, 10, 7), torch.tensor([0, 0, 1])
    r = explained(lambda x, into: (put(into, at, x) * numbers(1, 2, 4)).sum(), x, into)
    assert_same_map(r.input[0], numbers(0, 3, 10))
    assert_same_map(r.input[1], numbers(0, 0, 28))


def test_the_count_of_factors_is_that_of_sums_of_pure_products_alone() -> None:
    """Of a product of three each gets a third; a sum with a constant is one factor, whatever it is made of."""
    a, b, c, at = numbers(2, 3), numbers(5, 7), numbers(11), torch.tensor([0, 0])
    into = torch.zeros(1, dtype=torch.float64)
    r = explained(lambda a, b, c: ((a * b).sum().reshape(1) * c).sum(), a, b, c)
    for relevance, share in zip(r.input, (31 * 11 / 3,) * 3, strict=True):
        assert float(relevance.sum()) == pytest.approx(share, rel=1e-12)
    r = explained(lambda a, b, c: (into.index_add(0, at, a * b) * c).sum(), a, b, c)
    for relevance, share in zip(r.input, (31 * 11 / 4, 31 * 11 / 4, 31 * 11 / 2), strict=True):
        assert float(relevance.sum()) == pytest.approx(share, rel=1e-12)


def test_fourier_coefficients() -> None:
    x = signed(N, seed=3) + 0.1
    assert_same_map(explained(lambda x: torch.fft.fft(x)[1].real, x).input, x * torch.cos(PHASE))
    assert_same_map(explained(lambda x: torch.fft.rfft(x)[1].imag, x).input, -x * torch.sin(PHASE))
    assert_same_map(explained(lambda x: torch.fft.irfft(torch.fft.rfft(x))[3], x).input, x * (torch.arange(N) == 3))


def test_the_power_of_a_frequency() -> None:
    """`|X|^2 = X conj(X)`, two factors that are each `sum x_n e^(-i n phase)`."""
    x = signed(N, seed=4)
    line = torch.fft.fft(x)[1]
    truth = x * torch.cos(PHASE) * line.real - x * torch.sin(PHASE) * line.imag

    def power(x: Tensor) -> Tensor:
        line = torch.fft.fft(x)[1]
        return (line * line.conj()).real

    r = explained(power, x)
    assert_same_map(r.input, truth)
    assert float(r.input.sum()) == pytest.approx(float(line.abs() ** 2), rel=1e-12)


def test_a_complex_source_gets_real_relevance() -> None:
    """`Re(w z) = Re(w) Re(z) - Im(w) Im(z)`: each number gets both of its parts."""
    z = torch.complex(numbers(1, -2, 0), numbers(3, 0.5, 4))
    w = torch.complex(numbers(2, 1, -1), numbers(-1, 4, 0.5))
    r = explained(lambda z: (w * z + (1 - 2j)).real.sum(), z)
    assert_same_map(r.input, w.real * z.real - w.imag * z.imag)
    assert not r.input.is_complex()
    assert kept(r, "constant") == 3
    r = lrp.explain(lambda z: torch.view_as_real(z).sum((1, 2)).unsqueeze(1), z.view(3, 1), ledger="calls")
    assert_same_map(r.input, (z.real + z.imag).view(3, 1))
    assert_books_balance(r)


def test_a_product_of_complex_factors_is_shared_evenly() -> None:
    a, b = torch.complex(numbers(1, 2), numbers(3, -1)), torch.complex(numbers(2, -1), numbers(0.5, 1))
    r = explained(lambda a, b: (a * b).imag.sum(), a, b)
    for relevance in r.input:
        assert_same_map(relevance, (a * b).imag / 2)


def test_constants_of_complex_sums_and_writes() -> None:
    z, c = torch.complex(numbers(1, 2), numbers(3, -1)), torch.complex(numbers(2, -1), numbers(0.5, 1))

    def model(z: Tensor) -> Tensor:
        y = c.clone()
        y[1:] = z[:1]
        return (torch.cat([y + c, z]) * 1j).real.sum()

    r = explained(model, z)
    assert_same_map(r.input, numbers(-6, 1))
    assert kept(r, "constant") == pytest.approx(-(0.5 + 1.5), rel=1e-12)


def test_power_average_pooling_and_windows_of_zeros() -> None:
    """`z = sqrt(3^2 + 4^2)`: shares of 9 and 16 in 25."""
    x = numbers(3, -4, 0, 0).view(1, 4)
    r = explained(lambda x: F.lp_pool1d(x, 2, 2).sum(), x)
    assert_same_map(r.input, numbers(9 / 5, 16 / 5, 0, 0).view(1, 4))


def test_renorm_takes_the_norm_for_a_constant() -> None:
    x = torch.stack([numbers(3, 4), numbers(0.3, 0.4)])
    m = numbers(1, -2)
    r = explained(lambda x: (torch.renorm(x, 2, 0, 1.0) * m).sum(), x)
    assert_same_map(r.input, torch.renorm(x, 2, 0, 1.0) * m)


def test_covariance_and_correlation() -> None:
    """The covariance shares its value between both deviations; the correlation divides by constants."""
    x = signed(2, 5, seed=8)
    a, b = x - x.mean(1, keepdim=True)
    r = explained(lambda x: torch.cov(x)[0, 1], x)
    half = torch.stack([x[0] * b, x[1] * a]) / 8
    assert_same_map(r.input, half)
    deviations = torch.diagonal(torch.cov(x)).sqrt()
    r = explained(lambda x: torch.corrcoef(x)[0, 1], x)
    assert_same_map(r.input, half / deviations.prod())


def test_unknown_places_keep_what_the_values_do_not_cover() -> None:
    x, taken = numbers(2, 3).view(1, 1, 2), torch.tensor([[[2, 0]]])
    r = explained(lambda x: (F.max_unpool1d(x, taken, 2) * numbers(1, 2, 3, 4)).sum(), x)
    assert_same_map(r.input, numbers(6, 3).view(1, 1, 2))


def test_the_largest_of_each_group_written_into_a_buffer() -> None:
    x, at = numbers(2, 3, -5), torch.tensor([0, 0, 1])
    for start, truth, constant in ((0.0, (0, 3, 0), 0), (10.0, (0, 0, 0), 30), (-9.0, (0, 3, -10), 0)):
        into = torch.full((2,), start, dtype=torch.float64)

        def largest(x: Tensor, into: Tensor = into) -> Tensor:
            return (into.clone().scatter_reduce_(0, at, x, "amax") * numbers(1, 2)).sum()

        r = explained(largest, x)
        assert torch.equal(r.input, numbers(*truth))
        assert kept(r, "constant") == constant


@pytest.mark.parametrize(
    ("function", "note"),
    [
        (
            lambda x: F.grid_sample(torch.ones(1, 1, 3, 3).double(), x.view(1, 1, 2, 2), align_corners=True),
            "data in argument 1",
        ),
        (lambda x: torch.quantile(torch.arange(5.0).double(), x.abs()), "data in argument 1"),
        (lambda x: torch.stft(torch.ones(12).double(), 4, window=x, return_complex=True).real, "data in"),
        (lambda x: torch.trapezoid(torch.ones(4).double(), x), "data in argument 1"),
        (lambda x: x.scatter_reduce(0, torch.tensor([0, 0]), x[:2], "prod"), "reduce='prod'"),
        (lambda x: torch.segment_reduce(x, "max", lengths=torch.tensor([4]), initial=1), "initial="),
        (lambda x: F.fractional_max_pool2d(x.view(1, 2, 2), 1, output_size=1), "drawn at random"),
        (lambda x: F.mse_loss(x, torch.zeros(4).double(), reduction="none"), REFUSED["mse_loss"]),
        (lambda x: torch.angle(torch.complex(x, x)), REFUSED["angle"]),
    ],
)
def test_what_has_no_rule_is_refused_with_its_reason(function: Any, note: str) -> None:
    x = numbers(0.1, 0.5, 0.3, 0.9)
    z = function(x).detach()
    with pytest.raises(UncoveredError) as caught:
        drive(function, x, torch.ones_like(z), ledger=False)
    assert note in str(caught.value)


@pytest.mark.parametrize(
    ("function", "truth"),
    [
        (torch.round, (0, 2, -3)),
        (torch.floor, (0, 1, -4)),
        (torch.sign, (1, 1, -1)),
        (lambda x: torch.fmod(x, 1), (0.25, 0.75, -0.25)),
        (lambda x: torch.fmax(x, numbers(-1)), (0.25, 1.75, -1)),
        (lambda x: torch.ldexp(x, torch.tensor([1, 2, 3])), (0.5, 7, -26)),
        (lambda x: torch.linalg.vander(x, N=3), (0.25 + 0.0625, 1.75 + 3.0625, -3.25 + 10.5625)),
    ],
)
def test_steps_and_powers_hand_on_their_value_above_that_at_zero(function: Callable[..., Tensor], truth: Any) -> None:
    r = explained(lambda x: function(x).sum(), numbers(0.25, 1.75, -3.25))
    assert_same_map(r.input, numbers(*truth))


def test_distances_of_all_pairs() -> None:
    x = numbers(1, 2, 4, 6).view(2, 2)
    r = explained(lambda x: F.pdist(x).sum(), x)
    assert_same_map(r.input, numbers(-0.6, -1.6, 2.4, 4.8).view(2, 2))


def test_cumulative_logsumexp_is_logsumexp_of_each_beginning() -> None:
    x = numbers(1, 3, -2)
    for n in range(3):
        r = explained(lambda x, n=n: torch.logcumsumexp(x, 0)[n], x)
        p = torch.softmax(x[: n + 1], 0)
        assert_same_map(r.input[: n + 1], p * x[: n + 1])
        assert not r.input[n + 1 :].any()
        assert kept(r, "softmax") == pytest.approx(float(-(p * p.log()).sum()), abs=1e-12)
