"""What captum's DeepLift and `reference=` are asked: networks, reference inputs and the explained class.

captum's rule for max pooling hands `M - z0` to the input's winner and `z - M` to the reference's, `M = max(z, z0)`, and
conserves; overlapping windows overwrite one another. But of two of its layers in a row, as ReLU and MaxPool, the first
one reads the gradient of the second instead of its multiplier: a pool right behind a ReLU is the native gradient at the
input, and does not conserve.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from tests.cases.networks import signed
from tests.cases.relu_networks import RELU_CASES

TARGET = 1
POOLS = {"conv1d_net": "native", "relu_then_pool": "native", "conv_then_pool": "conserving"}
"""How captum treats the max pools of a network; the others have none."""


@dataclass(frozen=True)
class Difference:
    """A network, its inputs and one reference input for each of them."""

    network: str
    reference: str

    @property
    def conserves(self) -> bool:
        return POOLS.get(self.network) != "native"

    @property
    def name(self) -> str:
        return f"{self.network}/{self.reference}"

    def build(self) -> nn.Module:
        return RELU_CASES[self.network].build()

    def inputs(self) -> Tensor:
        return RELU_CASES[self.network].blank_inputs()

    def reference_inputs(self) -> Tensor:
        x = self.inputs()
        return torch.zeros_like(x) if self.reference == "zero" else signed(*x.shape, seed=41)

    def explained(self) -> Tensor:
        """`f(x) - f(reference)` of the explained class."""
        model = self.build()
        with torch.no_grad():
            return (model(self.inputs()) - model(self.reference_inputs()))[:, TARGET]


DIFFERENCES = [Difference(*each) for each in product(RELU_CASES, ("zero", "random"))]
