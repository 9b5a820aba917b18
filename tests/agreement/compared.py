"""What is compared with zennit: networks, composites, and how far apart two maps are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lrp import Composite, on, presets, rules

NETWORKS = (
    "mlp",
    "conv1d_net",
    "conv3d_net",
    "vgg_bn",
    "resnet18_small",
    "avgpool_net",
    "depthwise_modules",
    "smooth_net",
    "norm_first",
    "decoder",
)
BOX = (-3.0, 3.0)
PRESETS: dict[str, Callable[[], Composite]] = {
    "epsilon": presets.epsilon,
    "epsilon_plus": presets.epsilon_plus,
    "epsilon_plus_flat": presets.epsilon_plus_flat,
    "epsilon_gamma_box": lambda: presets.epsilon_gamma_box(*BOX),
    "epsilon_alpha2_beta1": presets.epsilon_alpha2_beta1,
    "epsilon_alpha2_beta1_flat": presets.epsilon_alpha2_beta1_flat,
    "excitation_backprop": presets.excitation_backprop,
}
"""lrp's preset for each name that `peers.COMPOSITES` has."""

HIDDEN: dict[str, tuple[tuple[str, ...], str]] = {
    "vgg_bn": (("7",), "Gamma"),
    "resnet18_small": (("layer2.0.conv1", "layer2.0.downsample.0", "layer3.1.conv2"), "ZPlus"),
    "avgpool_net": (("3",), "Gamma"),
    "depthwise_modules": (("block2.depthwise",), "ZPlus"),
    "decoder": (("6",), "Gamma"),
}
"""Convolutions that get Flat though other layers lie below them, and the rule of all other convolutions.

Units that are zero get relevance from Flat, so that all that is below hands on relevance itself, not multipliers.
"""


def hidden_flat(network: str) -> Composite:
    """Flat on the hidden layers of a network, and what `HIDDEN` says on its other convolutions."""
    layers, name = HIDDEN[network]
    others = rules.Gamma(0.25) if name == "Gamma" else rules.ZPlus(1e-6)
    around = on.linear | on.sum | on.pool, rules.Epsilon(1e-6)
    flat = [(layer, rules.Flat(1e-6)) for layer in layers]
    return Composite([*flat, (on.conv, others), around, (on.activation, rules.Pass())])


def apart(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference within a sample, as a share of the sample's largest entry."""
    error, size = ((ours - theirs).abs().flatten(1).amax(1), theirs.abs().flatten(1).amax(1))
    return float(torch.where(error == 0, error, error / size).max())
