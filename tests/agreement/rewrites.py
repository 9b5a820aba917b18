"""Rewrites of the tiny transformers that change no output must change no map (LXT environment, `lrp` importable).

Prints the largest difference as a share of the map's largest entry, under AttnLRP and CP-LRP, and exits with 1 if one
is above 1e-10. Rewrites: fused attention for eager, one projection for queries, keys and values or three, each sample
by itself, padding on either side with a mask, and `nn.MultiheadAttention` written out.

    python -m tests.agreement.rewrites
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.agreement.tiny import LENGTH, TINY, Tiny  # first: it makes torchvision importable

# isort: split
import torch
from torch import Tensor, nn

import lrp
from lrp import presets
from tests.agreement.compared import apart

LIMIT = 1e-10
PADDING = 3


class Projection(nn.Module):
    """Queries, keys and values by one linear layer, which is called for the queries and kept for the others."""

    def __init__(self, parts: list[nn.Linear]) -> None:
        super().__init__()
        self.linear = nn.Linear(parts[0].in_features, sum(part.out_features for part in parts)).double()
        biases = [torch.zeros_like(part.weight[:, 0]) if part.bias is None else part.bias for part in parts]
        self.linear.weight.data, self.linear.bias.data = torch.cat([p.weight for p in parts]), torch.cat(biases)
        self.sizes = [part.out_features for part in parts]
        self.projected: tuple[Tensor, ...] = ()

    def part(self, index: int, x: Tensor) -> Tensor:
        if index == 0:
            self.projected = self.linear(x).split(self.sizes, -1)
        return self.projected[index]


class Part(nn.Module):
    def __init__(self, whole: Projection, index: int) -> None:
        super().__init__()
        self.whole, self.index = whole, index

    def forward(self, x: Tensor) -> Tensor:
        return self.whole.part(self.index, x)


class Split(nn.Module):
    """One projection of transformers' GPT-2 as three linear layers."""

    def __init__(self, given: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        for weight, bias in zip(given.weight.chunk(3, 1), given.bias.chunk(3), strict=True):
            part = nn.Linear(*weight.shape).double()
            part.weight.data, part.bias.data = weight.detach().T.contiguous(), bias.detach()
            self.parts.append(part)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], -1)


class WrittenOut(nn.Module):
    """`nn.MultiheadAttention` by linear layers, matrix products and a softmax."""

    def __init__(self, given: nn.MultiheadAttention) -> None:
        super().__init__()
        self.given = given

    def forward(self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool) -> tuple[Tensor, None]:
        weights, biases = self.given.in_proj_weight.chunk(3), self.given.in_proj_bias.chunk(3)
        q, k, v = (
            nn.functional.linear(x, weight, bias).unflatten(-1, (self.given.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        out = torch.softmax(q @ k.mT / q.size(-1) ** 0.5, -1) @ v
        return self.given.out_proj(out.transpose(1, 2).flatten(2)), None


def reprojected(model: nn.Module) -> nn.Module:
    """The model with one projection where it had three, or three where it had one; written out if it has
    `nn.MultiheadAttention`."""
    for module in model.modules():
        for names in (("q_proj", "k_proj", "v_proj"), ("query", "key", "value")):
            if all(isinstance(getattr(module, name, None), nn.Linear) for name in names):
                whole = Projection([getattr(module, name) for name in names])
                for index, name in enumerate(names):
                    setattr(module, name, Part(whole, index))
        if hasattr(module, "c_attn"):
            module.c_attn = Split(module.c_attn)
        if isinstance(getattr(module, "self_attention", None), nn.MultiheadAttention):
            module.self_attention = WrittenOut(module.self_attention)
    return model


def explain(model: nn.Module, given: dict[str, Tensor], target: Any, preset: Callable[[], lrp.Composite]) -> Tensor:
    source = next(iter(given))
    r = lrp.explain(model, given, target=target, composite=preset(), sources=[source], ledger=False)
    found: Tensor = r.input[source]
    return found


def padded(tiny: Tiny, x: Tensor, left: bool) -> tuple[dict[str, Tensor], Callable[[Any], Tensor]]:
    """The inputs with padding that the mask hides, and what is explained."""
    noise = torch.randn(len(x), PADDING, x.size(2), generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    hidden, seen = torch.zeros(len(x), PADDING, dtype=torch.long), torch.ones(len(x), LENGTH, dtype=torch.long)
    mask = torch.cat([hidden, seen] if left else [seen, hidden], 1)
    given = {"inputs_embeds": torch.cat([noise, x] if left else [x, noise], 1), "attention_mask": mask}
    given["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    last = -1 if left else LENGTH - 1
    return given, lambda output: output.logits[:, last, 3] if tiny.answers_tokens else output.logits[:, 3]


def rewrites(tiny: Tiny, attention: str, explained: Callable[..., Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Each rewrite's name, and the map it gives."""
    model = tiny.build(attention)
    source, x = tiny.source(model)
    if attention == "sdpa" and len(tiny.attentions) == 2:
        yield "eager", explained(tiny.build("eager"), {source: x}, tiny.explained)
    name = "projections" if tiny.of_tokens else "written out"
    yield name, explained(reprojected(tiny.build(attention)), {source: x}, tiny.explained)
    yield "singles", torch.cat([explained(model, {source: one[None]}, tiny.explained) for one in x])
    for side in ("left", "right") if tiny.answers_tokens else ("right",) if tiny.of_tokens else ():
        given, target = padded(tiny, x, side == "left")
        found = explained(model, given, target)
        hidden, seen = found.split([PADDING, LENGTH] if side == "left" else [LENGTH, PADDING], 1)
        if side == "right":
            hidden, seen = seen, hidden
        if hidden.any():
            sys.exit(f"{tiny.name} {attention}: {side} padding has relevance")
        yield f"{side} padding", seen


def main() -> int:
    worst = 0.0
    for tiny in TINY.values():
        for name, preset in (("attnlrp", presets.attnlrp), ("cp_lrp", presets.cp_lrp)):
            for attention in tiny.attentions:
                explained = partial(explain, preset=preset)
                model = tiny.build(attention)
                source, x = tiny.source(model)
                plain = explained(model, {source: x}, tiny.explained)
                row = []
                for rewrite, found in rewrites(tiny, attention, explained):
                    error = apart(found, plain)
                    worst = max(worst, error)
                    row.append(f"{rewrite} {error:.0e}" + (" ABOVE" if error > LIMIT else ""))
                print(f"{tiny.name:7} {name:8} {attention:6} " + ", ".join(row), flush=True)
    print(f"worst {worst:.1e}, allowed {LIMIT:.0e}")
    return int(not worst <= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
