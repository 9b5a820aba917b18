"""One rule on one layer of a small network, at a source or hidden behind another layer: zennit's rules one by one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from tests.cases.networks import prepare, signed

RULES = ("Epsilon", "Gamma", "AlphaBeta21", "AlphaBeta10", "ZPlus", "Flat", "WSquare", "Box")
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(6, 5),
    "conv": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
}
PLACES = ("source", "signed", "relu")
"""The layer reads the input; signed outputs of another layer; the same behind a ReLU, so that many are zero."""


@dataclass(frozen=True)
class OneRule:
    """`rule` on the layer `ruled`; Epsilon on the layer `below` it, if any, and relevance passes the ReLU `act`."""

    rule: str
    layer: str
    place: str

    @property
    def name(self) -> str:
        return f"{self.rule}/{self.layer}/{self.place}"

    def build(self) -> nn.Module:
        linear = self.layer == "linear"
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        if self.place != "source":
            modules["below"] = nn.Linear(6, 6) if linear else nn.Conv2d(4, 4, 3, padding=1)
        if self.place == "relu":
            modules["act"] = nn.ReLU()
        modules["ruled"] = LAYERS[self.layer]()
        model = prepare(nn.Sequential(modules), seed=20 + PLACES.index(self.place))
        if self.rule == "WSquare":  # zennit's lets the bias in with its square
            nn.init.zeros_(model.get_submodule("ruled").bias)
        return model

    def inputs(self) -> Tensor:
        x = signed(3, 6, seed=21) if self.layer == "linear" else signed(2, 4, 6, 5, seed=22)
        x[-1] = 0
        return x

    @staticmethod
    def explained(output: Tensor) -> Tensor:
        """One number per sample, with another multiplier at each output."""
        multipliers = torch.linspace(-1, 2, output[0].numel(), dtype=output.dtype).view(output[0].shape)
        return (output * multipliers).flatten(1).sum(1)


ONE_RULE = [OneRule(*each) for each in product(RULES, LAYERS, PLACES)]
