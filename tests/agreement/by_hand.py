"""AttnLRP and CP-LRP of the tiny transformers written by hand: modules whose plain gradient is the multiplier.

Whatever counts as a constant is detached: denominators of norms, the gates `phi(x) / x` of activations and, in CP-LRP,
the attention weights. A product of two tensors of data gives each half of its relevance. What lies between is
transformers' and torchvision's own code.
"""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from unittest import mock

from tests.agreement.tiny import Tiny  # first: it makes torchvision importable

# isort: split
import torch
from torch import Tensor, nn

__all__ = ["Rules", "relevance"]


@dataclass(frozen=True)
class Rules:
    """What the modules do in their backward pass.

    `constant_weights`: attention weights are constants (CP-LRP). `constant_gates`: so is the activated branch of a
    gated MLP. `epsilon` stands beside the denominators of the activations' gates, whatever their sign.
    """

    constant_weights: bool = False
    constant_gates: bool = False
    epsilon: float = 0.0


def halved(x: Tensor) -> Tensor:
    return x / 2 + (x / 2).detach()


@dataclass
class Attention:
    """Scaled dot-product attention of `(N, heads, length, width)`."""

    rules: Rules

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None = None) -> Tensor:
        k, v = (t.repeat_interleave(q.size(1) // t.size(1), 1) for t in (k, v))
        scores = halved(q @ k.mT) * scale
        weights = torch.softmax(scores if mask is None else scores + mask, -1)
        return weights.detach() @ v if self.rules.constant_weights else halved(weights @ v)

    def of_a_decoder(self, module: nn.Module, q: Tensor, k: Tensor, v: Tensor, mask: Any, **more: Any) -> Any:
        """In the place of transformers' `eager_attention_forward`."""
        hidden = torch.ones(q.size(2), k.size(2), dtype=torch.bool).triu(1)
        mask = torch.zeros(1, dtype=q.dtype) if mask is None else mask[..., : k.size(2)]
        mask = mask.masked_fill(hidden, -torch.inf)
        return self(q, k, v, more.get("scaling") or q.size(-1) ** -0.5, mask).transpose(1, 2), None


class OfBert(nn.Module):
    """In the place of BERT's self-attention."""

    def __init__(self, given: nn.Module, attention: Attention) -> None:
        super().__init__()
        self.given, self.attention = given, attention

    def forward(self, x: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
        heads = self.given.num_attention_heads
        parts = (self.given.query, self.given.key, self.given.value)
        q, k, v = (part(x).unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
        return (self.attention(q, k, v, q.size(-1) ** -0.5).transpose(1, 2).flatten(2),)


class MultiHead(nn.Module):
    """In the place of `nn.MultiheadAttention`."""

    def __init__(self, given: nn.MultiheadAttention, attention: Attention) -> None:
        super().__init__()
        self.given, self.attention = given, attention

    def forward(self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool) -> tuple[Tensor, None]:
        given = self.given
        weights, biases = given.in_proj_weight.chunk(3), given.in_proj_bias.chunk(3)
        q, k, v = (
            (x @ weight.T + bias).unflatten(-1, (given.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        out = self.attention(q, k, v, q.size(-1) ** -0.5).transpose(1, 2).flatten(2)
        return out @ given.out_proj.weight.T + given.out_proj.bias, None


class Norm(nn.Module):
    """In the place of layer norm and RMS norm."""

    def __init__(self, given: Any) -> None:
        super().__init__()
        self.eps = getattr(given, "variance_epsilon", getattr(given, "eps", None))
        self.weight, self.bias = given.weight, getattr(given, "bias", None)
        self.centred = isinstance(given, nn.LayerNorm)
        self.added = 1.0 if "Gemma" in type(given).__name__ else 0.0

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True) if self.centred else x
        z = x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt().detach() * (self.weight + self.added)
        return z if self.bias is None else z + self.bias


class Activation(nn.Module):
    def __init__(self, given: nn.Module, rules: Rules) -> None:
        super().__init__()
        self.given, self.rules = given, rules

    def forward(self, x: Tensor) -> Tensor:
        z = self.given(x).detach()
        through = x * (z / (x + self.rules.epsilon)).detach()
        return through + (z - through).detach()


class GatedMLP(nn.Module):
    def __init__(self, given: Any, rules: Rules) -> None:
        super().__init__()
        self.given, self.act, self.rules = given, Activation(given.act_fn, rules), rules

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.act(self.given.gate_proj(x)), self.given.up_proj(x)
        return self.given.down_proj(gate.detach() * up if self.rules.constant_gates else halved(gate * up))


def _twin(module: nn.Module, rules: Rules) -> nn.Module | None:
    """What stands in the place of a module, if anything does."""
    kind = type(module).__name__
    if isinstance(module, nn.MultiheadAttention):
        return MultiHead(module, Attention(rules))
    if kind == "BertSelfAttention":
        return OfBert(module, Attention(rules))
    if isinstance(module, nn.LayerNorm) or kind.endswith("RMSNorm"):
        return Norm(module)
    if hasattr(module, "gate_proj"):
        return GatedMLP(module, rules)
    if isinstance(module, nn.Tanh) or "GELU" in kind:
        return Activation(module, rules)
    return None


def _rewritten(parent: nn.Module, rules: Rules) -> nn.Module:
    for name, child in parent.named_children():
        twin = _twin(child, rules)
        if twin is None:
            _rewritten(child, rules)
        else:
            setattr(parent, name, twin)
    return parent


def relevance(tiny: Tiny, rules: Rules) -> tuple[Tensor, Tensor]:
    """What is explained, and the input times the gradient of the model written by hand."""
    model = tiny.build("eager")
    name, x = tiny.source(model)
    _rewritten(model, rules)
    patch: Any = nullcontext()
    if tiny.name not in ("bert", "vit"):
        modeling = importlib.import_module(f"transformers.models.{tiny.name}.modeling_{tiny.name}")
        patch = mock.patch.object(modeling, "eager_attention_forward", Attention(rules).of_a_decoder)
    x = x.clone().requires_grad_()
    with patch:
        explained = tiny.explained(model(**{name: x}))
    (gradient,) = torch.autograd.grad(explained.sum(), x)
    return explained.detach(), (x * gradient).detach()
