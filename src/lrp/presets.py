"""Named, published composites."""

from __future__ import annotations

from collections.abc import Set

from lrp import rules
from lrp.composite import Composite, Selector, on

__all__ = ["auto", "epsilon", "epsilon_plus", "epsilon_plus_flat", "zero"]


def zero() -> Composite:
    """LRP-0 everywhere: for models of linear layers and ReLU it is gradient x input, with the biases in the ledger.

    Source: Bach et al. 2015; Montavon et al. 2019, section 10.2.1.

    >>> zero().name
    'zero'
    """
    return Composite([], name="zero", strict=False)


def epsilon(epsilon: float = 1e-6) -> Composite:
    """LRP-epsilon on linear layers, convolutions, sums and average pooling; relevance passes activations unchanged.

    The same numbers as zennit's `Epsilon` on all linear layers and convolutions with `Norm` and `Pass` as in its
    presets. Batch norm behind a linear layer or convolution is folded; elsewhere relevance passes it unchanged.

    Args:
        epsilon: stabiliser, in units of each layer's output.

    Source: Bach et al. 2015, equation 58.

    >>> epsilon(1e-3).name
    'epsilon'
    """
    layers = [(on.conv | on.linear, rules.Epsilon(epsilon))]
    return Composite([*layers, *_around(epsilon)], name="epsilon", strict=False)


def epsilon_plus(epsilon: float = 1e-6) -> Composite:
    """LRP-z+ on convolutions, LRP-epsilon on linear layers: zennit's `EpsilonPlus`.

    Args:
        epsilon: stabiliser, in units of each layer's output.

    Source: Montavon et al. 2019; Anders et al. 2021 (zennit).

    >>> epsilon_plus().name
    'epsilon_plus'
    """
    layers = [(on.conv, rules.ZPlus(epsilon)), (on.linear, rules.Epsilon(epsilon))]
    return Composite([*layers, *_around(epsilon)], name="epsilon_plus", strict=False)


def epsilon_plus_flat(epsilon: float = 1e-6) -> Composite:
    """`epsilon_plus` with Flat on the first layer: zennit's `EpsilonPlusFlat`.

    *First* is by execution order in each branch; zennit's is by registration order, one for the whole model.

    Args:
        epsilon: stabiliser, in units of each layer's output.

    Source: Montavon et al. 2019; Lapuschkin et al. 2019; Anders et al. 2021 (zennit).

    >>> epsilon_plus_flat().name
    'epsilon_plus_flat'
    """
    layers = [
        (on.first & (on.conv | on.linear), rules.Flat(epsilon)),
        (on.conv, rules.ZPlus(epsilon)),
        (on.linear, rules.Epsilon(epsilon)),
    ]
    return Composite([*layers, *_around(epsilon)], name="epsilon_plus_flat", strict=False)


def _around(epsilon: float) -> list[tuple[Selector | str, rules.Rule]]:
    """What zennit's presets do between the layers."""
    return [(on.sum | on.pool, rules.Epsilon(epsilon)), (on.activation | on.norm, rules.Pass())]


def auto(families: Set[str]) -> Composite:
    """The preset that fits the operations of a model; `composite=None` means this.

    A convolution -> `epsilon_plus_flat`, else `zero`. The choice is in the result: `r.composite.why`.

    Args:
        families: the families of operations that the model's forward pass met.

    >>> auto({"linear", "activation"}).why
    'no convolution was met, so LRP-0 (auto)'
    """
    if "conv" in families:
        chosen, why = epsilon_plus_flat(), "a convolution was met, so z+ with a flat first layer (auto)"
    else:
        chosen, why = zero(), "no convolution was met, so LRP-0 (auto)"
    return Composite(chosen.entries, name=chosen.name, why=why, strict=False)
