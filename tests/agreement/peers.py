"""The peers' relevance maps: zennit for the agreement runs, all three for `known_wrong` (peers environment only)."""

from __future__ import annotations

import importlib.metadata
import platform
import warnings
from collections.abc import Callable, Sequence

from tests.agreement import torchvision_shim  # first: zennit and captum import torchvision

# isort: split
import autolrp
import captum.attr
import torch
from torch import Tensor, nn
from zennit.attribution import Gradient
from zennit.canonizers import AttributeCanonizer, CompositeCanonizer, SequentialMergeBatchNorm
from zennit.composites import (
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    ExcitationBackprop,
    LayerMapComposite,
    MixedComposite,
    NameMapComposite,
    layer_map_base,
)
from zennit.core import Composite, Hook
from zennit.layer import Sum
from zennit.rules import AlphaBeta, Epsilon, Flat, Gamma, Pass, WSquare, ZBox, ZPlus
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetCanonizer
from zennit.types import Activation, BatchNorm, Convolution, Linear

from tests.agreement.compared import BOX
from tests.agreement.one_rule import OneRule
from tests.cases.networks import BasicBlock, InvertedResidual

__all__ = [
    "COMPOSITES",
    "PEERS",
    "captum_deeplift",
    "top_logit",
    "torchvision_shim",
    "versions",
    "zennit_hidden_flat",
    "zennit_map",
    "zennit_rule",
]


def versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages} | {"python": platform.python_version()}


def _inverted_residual(self: InvertedResidual, x: Tensor) -> Tensor:
    """The block's forward with zennit's module in the place of `x + out`."""
    out = self.act(self.bn1(self.expand(x)))
    out = self.act(self.bn2(self.depthwise(out)))
    out = self.bn3(self.project(out))
    return self.canonizer_sum(torch.stack([x, out], dim=-1)) if self.residual else out


_FORWARDS = {BasicBlock: ResNetBasicBlockCanonizer.forward, InvertedResidual: _inverted_residual}


def _block_attributes(name: str, module: nn.Module) -> dict[str, object] | None:
    """What zennit does to torchvision's block, done to ours: functional additions become modules."""
    forward = _FORWARDS.get(type(module))
    return forward and {"forward": forward.__get__(module), "canonizer_sum": Sum()}


def _canonizer(model: nn.Module) -> CompositeCanonizer:
    if type(model).__module__.startswith("torchvision.models.resnet"):
        return ResNetCanonizer()
    return CompositeCanonizer([SequentialMergeBatchNorm(), AttributeCanonizer(_block_attributes)])


def _epsilon(x: Tensor, canonizers: list) -> Composite:
    """Epsilon on every linear and convolution, all else as in zennit's own composites."""
    return LayerMapComposite([*layer_map_base(), (Linear, Epsilon(1e-6))], canonizers=canonizers)


def _gamma_box(x: Tensor, canonizers: list) -> Composite:
    low, high = BOX
    return EpsilonGammaBox(torch.full_like(x, low), torch.full_like(x, high), canonizers=canonizers)


def _excitation_backprop(x: Tensor, canonizers: list) -> Composite:
    """With `Pass` for activations and batch norms, as in zennit's other composites.

    This one lacks them and so multiplies relevance by the gradient. For ReLU that is the same; a saturated ReLU6 drops
    its relevance, and a batch norm on its own scales it.
    """
    return ExcitationBackprop(layer_map=[(Activation, Pass()), (BatchNorm, Pass())], canonizers=canonizers)


COMPOSITES: dict[str, Callable[[Tensor, list], Composite]] = {
    "epsilon": _epsilon,
    "epsilon_plus": lambda x, canonizers: EpsilonPlus(canonizers=canonizers),
    "epsilon_plus_flat": lambda x, canonizers: EpsilonPlusFlat(canonizers=canonizers),
    "epsilon_gamma_box": _gamma_box,
    "epsilon_alpha2_beta1": lambda x, canonizers: EpsilonAlpha2Beta1(canonizers=canonizers),
    "epsilon_alpha2_beta1_flat": lambda x, canonizers: EpsilonAlpha2Beta1Flat(canonizers=canonizers),
    "excitation_backprop": _excitation_backprop,
}


def top_logit(output: Tensor) -> Tensor:
    """Relevance at the output: the top logit of each sample, zero for the other classes."""
    return output.detach() * nn.functional.one_hot(output.argmax(-1), output.shape[-1])


def zennit_map(model: nn.Module, x: Tensor, composite: str) -> tuple[Tensor, Tensor]:
    """The model's output and zennit's relevance of the input for the top class of each sample."""
    return _zennit_map(model, x, COMPOSITES[composite](x, [_canonizer(model)]))


def zennit_hidden_flat(model: nn.Module, x: Tensor, layers: Sequence[str], others: str) -> Tensor:
    """The same with Flat on these layers, and a rule on all other convolutions."""
    canonizers = [_canonizer(model)]
    flat = NameMapComposite([(list(layers), Flat())], canonizers=canonizers)
    rest = LayerMapComposite([*layer_map_base(), (Convolution, RULES[others]()), (Linear, Epsilon(1e-6))])
    return _zennit_map(model, x, MixedComposite([flat, rest]))[1]


def _zennit_map(model: nn.Module, x: Tensor, composite: Composite) -> tuple[Tensor, Tensor]:
    with Gradient(model=model, composite=composite) as attributor:
        output, relevance = attributor(x.clone(), top_logit)
    return output.detach(), relevance.detach()


RULES: dict[str, Callable[[], Hook]] = {
    "Epsilon": lambda: Epsilon(1e-6),
    "Gamma": lambda: Gamma(0.25),
    "AlphaBeta21": lambda: AlphaBeta(2.0, 1.0),
    "AlphaBeta10": lambda: AlphaBeta(1.0, 0.0),
    "ZPlus": lambda: ZPlus(),
    "Flat": lambda: Flat(),
    "WSquare": lambda: WSquare(),
    "Box": lambda: ZBox(*(torch.tensor(bound, dtype=torch.float64) for bound in BOX)),
}


def zennit_rule(case: OneRule) -> Tensor:
    """zennit's relevance of the input with one rule on one layer."""
    rules = NameMapComposite([(["ruled"], RULES[case.rule]()), (["below"], Epsilon(1e-6)), (["act"], Pass())])

    def relevance_out(output: Tensor) -> Tensor:
        z = output.detach().requires_grad_()
        return z.detach() * torch.autograd.grad(case.explained(z).sum(), z)[0]

    with Gradient(model=case.build(), composite=rules) as attributor:
        return attributor(case.inputs(), relevance_out)[1].detach()


def captum_deeplift(model: nn.Module, x: Tensor, reference: Tensor, target: int) -> Tensor:
    """captum's DeepLift for one class, with one reference input per sample."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting forward, backward hooks")
        return (
            captum.attr.DeepLift(model)
            .attribute(x.clone().requires_grad_(), baselines=reference, target=target)
            .detach()
        )


# One output, one sample, every tool as its README uses it, with the rule nearest to LRP-0.


def _zennit(model: nn.Module, x: Tensor) -> Tensor:
    with Gradient(model=model, composite=EpsilonPlus()) as attributor:
        return attributor(x.clone(), lambda output: output.detach())[1]


def _captum(model: nn.Module, x: Tensor) -> Tensor:
    return captum.attr.LRP(model).attribute(x.clone().requires_grad_(), target=0).detach()


def _autolrp(model: nn.Module, x: Tensor) -> Tensor:
    wrapped = autolrp.tensor(x.clone())
    output = model(wrapped)
    output[0, 0].lrp()
    # it starts from 1 instead of the logit
    with torch.no_grad():
        return torch.as_tensor(wrapped.relevance).detach() * model(x)


PEERS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {"zennit": _zennit, "captum": _captum, "autoLRP": _autolrp}
