"""Named, published composites."""

from __future__ import annotations

from collections.abc import Sequence, Set

import torch

from lrp import rules
from lrp.composite import Composite, Selector, on
from lrp.rules.first_layer import Bound

__all__ = [
    "attnlrp",
    "auto",
    "cp_lrp",
    "epsilon",
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
    "epsilon_gamma",
    "epsilon_gamma_box",
    "epsilon_plus",
    "epsilon_plus_flat",
    "excitation_backprop",
    "lrp_all",
    "mamba_lrp",
    "reslrp",
    "zero",
]

_LAYERS = on.conv | on.linear


def zero() -> Composite:
    """LRP-0 everywhere: for models of linear layers and ReLU it is gradient x input, with the biases in the ledger.

    Use: for shallow models and tables, and wherever every number must be traceable.

    Source: Bach et al. 2015; Montavon et al. 2019, section 10.2.1.

    >>> zero().name
    'zero'
    """
    return Composite([], name="zero", strict=False)


def epsilon(epsilon: float = 1e-6) -> Composite:
    """LRP-epsilon on linear layers, convolutions, sums and average pooling; relevance passes activations unchanged.

    The same numbers as zennit's `Epsilon` on all linear layers and convolutions with `Norm` and `Pass` as in its
    presets. Batch norm behind a linear layer or convolution is folded; elsewhere relevance passes it unchanged.

    Use: for fully connected networks and short stacks of layers; a larger epsilon gives sparser, calmer maps.

    Args:
        epsilon: in units of each layer's output.

    Source: Bach et al. 2015, equation 58.

    >>> epsilon(1e-3).name
    'epsilon'
    """
    return Composite([(_LAYERS, rules.Epsilon(epsilon)), *_around(epsilon)], name="epsilon", strict=False)


def epsilon_plus(epsilon: float = 1e-6, stabiliser: float = 1e-6) -> Composite:
    """LRP-z+ on convolutions, LRP-epsilon on linear layers: zennit's `EpsilonPlus`.

    Use: for convolutional networks, where the map should say which pixels speak for the output.

    Args:
        epsilon: of linear layers, in units of their output.
        stabiliser: of all other denominators, in units of each call's output.

    Source: Montavon et al. 2019, section 10.3; Anders et al. 2021 (zennit).

    >>> epsilon_plus().name
    'epsilon_plus'
    """
    return _named("epsilon_plus", [], rules.ZPlus(stabiliser), epsilon, stabiliser)


def epsilon_plus_flat(epsilon: float = 1e-6, stabiliser: float = 1e-6) -> Composite:
    """`epsilon_plus` with Flat on the first layer: zennit's `EpsilonPlusFlat`.

    *First* is by execution order in each branch; zennit's is by registration order, one for the whole model.

    Use: for convolutional networks on images, where the map should be smooth and not follow the pixels' brightness.

    Args:
        epsilon: of linear layers, in units of their output.
        stabiliser: of all other denominators, in units of each call's output.

    Source: Montavon et al. 2019, section 10.3; Lapuschkin et al. 2019; Anders et al. 2021 (zennit).

    >>> epsilon_plus_flat().name
    'epsilon_plus_flat'
    """
    first = [(on.first & _LAYERS, rules.Flat(stabiliser))]
    return _named("epsilon_plus_flat", first, rules.ZPlus(stabiliser), epsilon, stabiliser)


def epsilon_gamma(epsilon: float = 1e-6, gamma: float = 0.25, stabiliser: float = 1e-6) -> Composite:
    """LRP-gamma on convolutions, LRP-epsilon on linear layers: `epsilon_gamma_box` where no bounds are known.

    Use: for convolutional networks, where the map should name the parts that the output depends on.

    Args:
        epsilon: of linear layers, in units of their output.
        gamma: how much contributions of the output's sign outweigh the others.
        stabiliser: of all other denominators, in units of each call's output.

    Source: Montavon et al. 2019, section 10.3 (there with Box on the first layer).

    >>> epsilon_gamma().name
    'epsilon_gamma'
    """
    return _named("epsilon_gamma", [], rules.Gamma(gamma, stabiliser), epsilon, stabiliser)


def epsilon_gamma_box(
    low: Bound, high: Bound, epsilon: float = 1e-6, gamma: float = 0.25, stabiliser: float = 1e-6
) -> Composite:
    """Box on a first convolution, LRP-gamma on other convolutions, LRP-epsilon on linear layers: zennit's
    `EpsilonGammaBox`.

    *First* is by execution order in each branch; zennit's is by registration order, one for the whole model.

    Use: for convolutional networks on images whose pixels have known bounds; shows evidence against the output too.

    Args:
        low, high: bounds of the input of the first convolution, as for `rules.Box`.
        epsilon: of linear layers, in units of their output.
        gamma: how much contributions of the output's sign outweigh the others.
        stabiliser: of all other denominators, in units of each call's output.

    Source: Montavon et al. 2019, section 10.3; Anders et al. 2021 (zennit).

    >>> print(epsilon_gamma_box(low=(-2.1, -2.0, -1.8), high=(2.2, 2.4, 2.6)))
    epsilon_gamma_box
      first & conv         Box(low=(-2.1, -2, -1.8), high=(2.2, 2.4, 2.6), epsilon=1e-06)
      conv                 Gamma(gamma=0.25, epsilon=1e-06)
      linear               Epsilon(epsilon=1e-06)
      (sum | pool)         Epsilon(epsilon=1e-06)
      (activation | norm)  Pass()
      (others)             Zero, Gate for activation, Uniform for product, Taylor for softmax, Constant for normaliser
    """
    first = [(on.first & on.conv, rules.Box(low, high, stabiliser))]
    return _named("epsilon_gamma_box", first, rules.Gamma(gamma, stabiliser), epsilon, stabiliser)


def epsilon_alpha2_beta1(epsilon: float = 1e-6, stabiliser: float = 1e-6) -> Composite:
    """LRP-alpha-beta with alpha 2 and beta 1 on convolutions, LRP-epsilon on linear layers: zennit's
    `EpsilonAlpha2Beta1`.

    Use: for convolutional networks, where the map should weigh evidence for and against in each layer.

    Args:
        epsilon: of linear layers, in units of their output.
        stabiliser: of all other denominators, in units of each call's output.

    Source: Bach et al. 2015, equation 60; Lapuschkin et al. 2017; Anders et al. 2021 (zennit).

    >>> epsilon_alpha2_beta1().name
    'epsilon_alpha2_beta1'
    """
    return _named("epsilon_alpha2_beta1", [], rules.AlphaBeta(2, 1, stabiliser), epsilon, stabiliser)


def epsilon_alpha2_beta1_flat(epsilon: float = 1e-6, stabiliser: float = 1e-6) -> Composite:
    """`epsilon_alpha2_beta1` with Flat on the first layer: zennit's `EpsilonAlpha2Beta1Flat`.

    *First* is by execution order in each branch; zennit's is by registration order, one for the whole model.

    Use: as `epsilon_alpha2_beta1`, where the map should not follow the pixels' brightness.

    Args:
        epsilon: of linear layers, in units of their output.
        stabiliser: of all other denominators, in units of each call's output.

    Source: Lapuschkin et al. 2017; Lapuschkin et al. 2019; Anders et al. 2021 (zennit).

    >>> epsilon_alpha2_beta1_flat().name
    'epsilon_alpha2_beta1_flat'
    """
    first = [(on.first & _LAYERS, rules.Flat(stabiliser))]
    return _named("epsilon_alpha2_beta1_flat", first, rules.AlphaBeta(2, 1, stabiliser), epsilon, stabiliser)


def excitation_backprop(stabiliser: float = 1e-6) -> Composite:
    """LRP-z+ on linear layers and convolutions: zennit's `ExcitationBackprop`.

    Relevance passes activations and batch norms on their own unchanged, as probabilities do in the paper and in
    zennit's other presets. (zennit's multiplies it by their gradient here: for ReLU that is the same, a saturated ReLU6
    loses its relevance.)

    Use: where the map should be of one sign: which inputs excited the output, by winning probabilities layer by layer.

    Args:
        stabiliser: of all denominators, in units of each call's output.

    Source: Zhang et al. 2016; Anders et al. 2021 (zennit).

    >>> excitation_backprop().name
    'excitation_backprop'
    """
    entries = [(_LAYERS, rules.ZPlus(stabiliser)), *_around(stabiliser)]
    return Composite(entries, name="excitation_backprop", strict=False)


def lrp_all() -> Composite:
    """LRP-0, where each product of a gate and a signal gives all its relevance to the signal: LRP-all for LSTM and GRU.

    Gates are what comes out of a sigmoid, hardsigmoid, softmax or exponential; between two signals, or two gates, a
    product gives each half. The paper stabilises denominators by 0.001; carried as multipliers, LRP-0 divides by
    nothing.

    Use: for recurrent networks, where the map should say which steps brought in what the output is made of.

    Source: Arras et al. 2017; Arras et al. 2019 (LRP-all).

    >>> print(lrp_all())
    lrp_all
      product   SignalTakesAll()
      (others)  Zero, Gate for activation, Uniform for product, Taylor for softmax, Constant for normaliser
    """
    return Composite([(on.product, rules.SignalTakesAll())], name="lrp_all", strict=False)


def attnlrp(gamma: float = 0.0, stabiliser: float = 1e-6) -> Composite:
    """AttnLRP: half of what attention gives goes to the values, half to its weights, and through them by the Taylor
    expansion of the softmax to queries and keys.

    All products are Uniform, activations are gates on their input, norms pass relevance on with their denominator as a
    constant, linear layers are LRP-0 or, with a gamma, LRP-gamma. Softmax does not conserve by design: its rows in the
    ledger (*softmax*) can be large. Fused attention stays fused.

    Use: for transformers, where the map should say what the attention looked for as well as what it took.

    Args:
        gamma: of linear layers and convolutions; 0 is LRP-0. The paper takes 0 for language models and LRP-gamma for
            vision transformers, whose maps are noisy else.
        stabiliser: of LRP-gamma's denominators, in units of each call's output.

    Source: Achtibat et al. 2024 (AttnLRP), section 3.

    >>> print(attnlrp())
    attnlrp
      softmax     Taylor()
      product     Uniform()
      activation  Gate()
      norm        Constant()
      (others)    Zero, Gate for activation, Uniform for product, Taylor for softmax, Constant for normaliser
    """
    return Composite([*_gamma(gamma, stabiliser), *_ATTNLRP], name="attnlrp", strict=False)


def cp_lrp() -> Composite:
    """CP-LRP, *conservative propagation*: attention weights, gates and the denominators of norms count as constants.

    All that attention gives goes to the values, and the softmax keeps nothing. A product without a gate is Uniform.
    Activations are gates on their input, linear layers LRP-0.

    Use: for transformers, where relevance should be conserved: which tokens' content reached the output.

    Source: Ali et al. 2022 (XAI for Transformers), section 4.

    >>> print(cp_lrp())
    cp_lrp
      softmax   Constant()
      norm      Constant()
      product   SignalTakesAll()
      (others)  Zero, Gate for activation, Uniform for product, Taylor for softmax, Constant for normaliser
    """
    constant = rules.Constant()
    entries = [(on.softmax, constant), (on.norm, constant), (on.product, rules.SignalTakesAll())]
    return Composite(entries, name="cp_lrp", strict=False)


def reslrp(residual: float = 1.0, gamma: float = 0.0, stabiliser: float = 1e-6) -> Composite:
    """ResLRP: `attnlrp` with LRP-gamma on residual sums, so that relevance stays small where stream and branch cancel.

    Residual sums add to a tensor something made of it; other sums (positions, rotary embeddings) are LRP-0.

    Use: for deep transformers and residual networks whose maps by `attnlrp` are noise; see `r.ledger.amplification`.

    Args:
        residual: gamma of residual sums: how much what has the sum's sign outweighs the rest.
        gamma: of linear layers and convolutions, as in `attnlrp`; 0 is LRP-0.
        stabiliser: of LRP-gamma's denominators there, in units of each call's output.

    Source: ResLRP, 2026; Achtibat et al. 2024 (AttnLRP).

    >>> print(reslrp())
    reslrp
      residual    ResidualGamma(gamma=1)
      softmax     Taylor()
      product     Uniform()
      activation  Gate()
      norm        Constant()
      (others)    Zero, Gate for activation, Uniform for product, Taylor for softmax, Constant for normaliser
    """
    sums = [(on.residual, rules.ResidualGamma(residual))]
    return Composite([*sums, *_gamma(gamma, stabiliser), *_ATTNLRP], name="reslrp", strict=False)


def mamba_lrp(gamma: float = 0.0, stabiliser: float = 1e-6) -> Composite:
    """MambaLRP: what a selective scan makes of the data for itself, delta, A, B and C, counts as a constant.

    So the scan is linear in what goes through it, and relevance does not fade with each of its steps, as it would if
    products shared it with the decay. The gate beside the scan gets half, activations are gates on their input, the
    denominators of norms constants, linear layers and convolutions LRP-0 or, with a gamma, LRP-gamma.

    What delta, B and C are is told by names that Mamba, its heirs in `transformers` and most rewrites share: in Mamba
    what the module `x_proj` gives; in Mamba-2, in a module with parameters `A_log` and `D`, the second and third part
    of its second split, and each softplus. `print(r.plan)` shows them; where a model has other names, say so in a
    composite.

    Use: for Mamba, Mamba-2 and models with such layers; beside attention put its first entries before another preset's:
    `lrp.Composite([*presets.mamba_lrp().entries[:3], *presets.cp_lrp().entries])`.

    Args:
        gamma: of linear layers and convolutions; 0 is LRP-0. The paper takes 0 for language models.
        stabiliser: of LRP-gamma's denominators, in units of each call's output.

    Source: Jafari et al. 2024 (MambaLRP), section 4.

    >>> print(mamba_lrp())
    mamba_lrp
      '*x_proj'            AsConstant()
      scan & op(softplus)  AsConstant()
      scan & op(split #1)  AsConstant(outputs=(1, 2))
      (others)             Zero, Gate for activation, Uniform for product, Taylor for softmax, Constant for normaliser
    """
    return Composite([*_SCAN, *_gamma(gamma, stabiliser)], name="mamba_lrp", strict=False)


_SCAN: tuple[tuple[Selector | str, rules.Rule], ...] = (
    ("*x_proj", rules.AsConstant()),
    (on.scan & on.op(torch.nn.functional.softplus), rules.AsConstant()),
    (on.scan & on.op(torch.split, nth=1), rules.AsConstant(outputs=(1, 2))),
)

_ATTNLRP: tuple[tuple[Selector, rules.Rule], ...] = (
    (on.softmax, rules.Taylor()),
    (on.product, rules.Uniform()),
    (on.activation, rules.Gate()),
    (on.norm, rules.Constant()),
)


def _gamma(gamma: float, stabiliser: float) -> list[tuple[Selector, rules.Rule]]:
    """LRP-gamma on linear layers and convolutions, or nothing, which is LRP-0."""
    return [(_LAYERS, rules.Gamma(gamma, stabiliser))] if gamma else []


def _named(
    name: str, first: Sequence[tuple[Selector, rules.Rule]], conv: rules.Rule, epsilon: float, stabiliser: float
) -> Composite:
    """A preset of zennit's: a rule for the first layer, one for convolutions, LRP-epsilon on linear layers."""
    layers = [*first, (on.conv, conv), (on.linear, rules.Epsilon(epsilon))]
    return Composite([*layers, *_around(stabiliser)], name=name, strict=False)


def _around(stabiliser: float) -> list[tuple[Selector | str, rules.Rule]]:
    """What zennit's presets do between the layers."""
    return [(on.sum | on.pool, rules.Epsilon(stabiliser)), (on.activation | on.norm, rules.Pass())]


def auto(families: Set[str]) -> Composite:
    """The preset that fits the operations of a model; `composite=None` means this.

    Attention -> `attnlrp`; else a selective scan -> `mamba_lrp`; else a convolution -> `epsilon_gamma`; else an LSTM,
    GRU or RNN, or a cell of these -> `lrp_all`; else `zero`. In all of them what a gate multiplies takes all the
    relevance of the product (`rules.SignalTakesAll`); beside attention that is said of elementwise products. In a
    selective scan beside attention what is a constant for `mamba_lrp` is one too. The choice is in the result:
    `r.composite.why`. Among the presets it is LRP-gamma whose maps order the parts of an image best by what removing
    them does to the output, and AttnLRP the tokens of a text, for an encoder and a decoder (docs/evidence.md).

    Use: where no other is called for; it is the default.

    Args:
        families: the families of operations that the model's forward pass met.

    >>> auto({"linear", "activation"}).why
    'neither attention nor a convolution was met, so LRP-0 (auto)'
    """
    gated = on.product
    if "attention" in families:
        chosen, why = attnlrp(), "attention was met, so AttnLRP (auto)"
        gated = on.op(torch.mul)
    elif "scan" in families:
        chosen, why = mamba_lrp(), "a selective scan was met, so MambaLRP (auto)"
    elif "conv" in families:
        chosen, why = epsilon_gamma(), "a convolution was met, so LRP-gamma on convolutions (auto)"
    elif "recurrence" in families:
        chosen, why = lrp_all(), "an LSTM, GRU or RNN was met, so LRP-all (auto)"
    else:
        chosen, why = zero(), "neither attention nor a convolution was met, so LRP-0 (auto)"
    entries: list[tuple[Selector | str, rules.Rule]] = list(chosen.entries)
    if chosen.name != "lrp_all":
        entries.insert(0, (gated, rules.SignalTakesAll()))
    if "scan" in families and chosen.name != "mamba_lrp":
        entries = [*_SCAN, *entries]
        why = f"{why}, and MambaLRP in the selective scan"
    return Composite(entries, name=chosen.name, why=why, strict=False)
