"""The peers' relevance maps: zennit for the agreement runs, all three for `known_wrong` (peers environment only)."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable

from tests.agreement import torchvision_shim  # first: zennit and captum import torchvision

# isort: split
import autolrp
import captum.attr
import torch
from torch import Tensor, nn
from zennit.attribution import Gradient
from zennit.canonizers import AttributeCanonizer, CompositeCanonizer, SequentialMergeBatchNorm
from zennit.composites import EpsilonPlus, EpsilonPlusFlat, LayerMapComposite, layer_map_base
from zennit.core import Composite
from zennit.layer import Sum
from zennit.rules import Epsilon
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetCanonizer
from zennit.types import Linear

from tests.cases.networks import BasicBlock

__all__ = ["COMPOSITES", "PEERS", "top_logit", "torchvision_shim", "versions", "zennit_map"]


def versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages} | {"python": platform.python_version()}


def _block_attributes(name: str, module: nn.Module) -> dict[str, object] | None:
    """What zennit does to torchvision's block, done to ours: its attributes have the same names."""
    if not isinstance(module, BasicBlock):
        return None
    return {"forward": ResNetBasicBlockCanonizer.forward.__get__(module), "canonizer_sum": Sum()}


def _canonizer(model: nn.Module) -> CompositeCanonizer:
    if type(model).__module__.startswith("torchvision.models.resnet"):
        return ResNetCanonizer()
    return CompositeCanonizer([SequentialMergeBatchNorm(), AttributeCanonizer(_block_attributes)])


COMPOSITES: dict[str, Callable[[list], Composite]] = {
    # Epsilon on every linear and convolution, all else as in zennit's own composites
    "epsilon": lambda canonizers: LayerMapComposite([*layer_map_base(), (Linear, Epsilon(1e-6))], canonizers),
    "epsilon_plus": lambda canonizers: EpsilonPlus(canonizers=canonizers),
    "epsilon_plus_flat": lambda canonizers: EpsilonPlusFlat(canonizers=canonizers),
}


def top_logit(output: Tensor) -> Tensor:
    """Relevance at the output: the top logit of each sample, zero for the other classes."""
    return output.detach() * nn.functional.one_hot(output.argmax(-1), output.shape[-1])


def zennit_map(model: nn.Module, x: Tensor, composite: str) -> tuple[Tensor, Tensor]:
    """The model's output and zennit's relevance of the input for the top class of each sample."""
    rules = COMPOSITES[composite]([_canonizer(model)])
    with Gradient(model=model, composite=rules) as attributor:
        output, relevance = attributor(x.clone(), top_logit)
    return output.detach(), relevance.detach()


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
