"""Every operation with a reference input: what changes its output is handed on, or it is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

import lrp
from lrp.errors import ModelError, UncoveredError
from tests.cases.networks import signed
from tests.ops import operations, wider
from tests.ops.driving import assert_books_balance, multiplier_for
from tests.ops.test_activations import DOMAIN, calls, fitted, function_of
from tests.ops.test_activations import NAMES as ACTIVATIONS
from tests.ops.test_contractions import PRODUCTS
from tests.ops.test_homogeneous import DEGREES, NORMS

pytestmark = [
    pytest.mark.filterwarnings("ignore:index_reduce.. is in beta"),
    pytest.mark.filterwarnings("ignore:the sources' relevance is"),
]

PICKING = {**operations.SELECTING, **wider.SELECTING, "max-data": operations.SELECTING["max-data"]}
POOLS = [name for name in PICKING if "max_pool" in name and not name.startswith("fractional") and "indices" not in name]
OPERATIONS = {**operations.AFFINE, **wider.MOVING, **wider.FILLING, **wider.ADDING, **wider.FOURIER}
OPERATIONS |= {name: PICKING[name] for name in (*POOLS, "rows")}
S = operations.S


def differences(function: Callable[..., Tensor], x: Any, x0: Any) -> tuple[lrp.Relevance, float]:
    """The relevance of random multipliers at the function's output, and what they make of its change."""
    inputs, references = (tensors if isinstance(tensors, tuple) else (tensors,) for tensors in (x, x0))
    before, after = (function(*(t.clone() for t in tensors)).detach() for tensors in (references, inputs))
    m = multiplier_for(after)

    def total(*tensors: Tensor) -> Tensor:
        return (function(*tensors) * m).sum().reshape(1)

    r = lrp.explain(total, x, target=lambda z: z, reference=x0, ledger="calls")
    return r, float(((after - before) * m).sum())


def assert_handed_on(function: Callable[..., Tensor], x: Any, x0: Any) -> None:
    r, change = differences(function, x, x0)
    maps = r.input if isinstance(r.input, tuple) else (r.input,)
    assert abs(sum(float(each.sum()) for each in maps) - change) <= 1e-11 * float(r.ledger.scale)
    assert not r.ledger.rows
    assert_books_balance(r)


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_changes_is_handed_on(name: str) -> None:
    function, shape = OPERATIONS[name]
    assert_handed_on(function, signed(*shape, seed=1), signed(*shape, seed=2))


@pytest.mark.parametrize(("name", "arguments"), calls(ACTIVATIONS))
def test_activations(name: str, arguments: Any) -> None:
    low, high = DOMAIN.get(name, (-6, 6))
    x, x0 = (3 * signed(3, 8, seed=seed).clamp(low / 3, high / 3) for seed in (1, 2))
    x0[:, 0] = x[:, 0]
    args, kwargs = fitted(arguments, x)
    assert_handed_on(lambda x: function_of(name)(x, *args, **kwargs), x, x0)


@pytest.mark.parametrize("name", sorted(PRODUCTS.keys() - {"einsum-three"}))
def test_products_of_pairs(name: str) -> None:
    function, factors = PRODUCTS[name]
    assert_handed_on(function, factors, tuple(signed(*f.shape, seed=20 + i) for i, f in enumerate(factors)))


ELEMENTWISE = ("square", "pow", "pow, keyword", "**", "**= ", "float_power", "abs", "sqrt")
MEANS = ("mean of var_mean", "mean of var_mean, all")
NORMS_BY_PRODUCTS = ("RMS by hand", "reciprocal", "scaled reciprocal", "within 0 and 1", "power")
FUNCTIONS = {name: function for name, (function, _) in (*DEGREES.items(), *NORMS.items())}


@pytest.mark.parametrize("name", [*ELEMENTWISE, *MEANS, *NORMS_BY_PRODUCTS])
def test_what_is_made_of_powers_and_products(name: str) -> None:
    assert_handed_on(FUNCTIONS[name], signed(*S, seed=1), signed(*S, seed=2))


REFUSED = {name: PICKING[name] for name in sorted(PICKING.keys() - OPERATIONS.keys())}
REFUSED |= {name: (FUNCTIONS[name], S) for name in FUNCTIONS.keys() - {*ELEMENTWISE, *MEANS, *NORMS_BY_PRODUCTS}}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_has_no_rule_for_differences_is_refused(name: str) -> None:
    function, shape = REFUSED[name]
    with pytest.raises((UncoveredError, ModelError)):
        differences(function, signed(*shape, seed=1), signed(*shape, seed=2))
