"""Small transformers in plain torch: an encoder and a causal decoder, with attention as a function that is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.cases.attention import LOWEST, Attention

WIDTH, HEADS, VOCABULARY = 8, 2, 11


def heads(x: Tensor, count: int = HEADS) -> Tensor:
    """`(N, length, width)` as `(N, heads, length, width / heads)`."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


class Encoder(nn.Module):
    """Two post-norm layers with learned positions, GELU and a padding mask; the mean over tokens is classified."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        self.positions = nn.Parameter(0.3 * torch.randn(6, WIDTH))
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    **{name: nn.Linear(WIDTH, WIDTH) for name in ("q", "k", "v", "out")},
                    **{"up": nn.Linear(WIDTH, 2 * WIDTH), "down": nn.Linear(2 * WIDTH, WIDTH)},
                    **{"norm1": nn.LayerNorm(WIDTH), "norm2": nn.LayerNorm(WIDTH)},
                }
            )
            for _ in range(2)
        )
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        h = x + self.positions[: x.size(1)]
        mask = torch.zeros(seen.shape, dtype=x.dtype).masked_fill(~seen, LOWEST)[:, None, None]
        for layer in self.layers:
            q, k, v = (heads(layer[name](h)) for name in ("q", "k", "v"))
            out = self.attention(q, k, v, mask).transpose(1, 2).flatten(2)
            h = layer["norm1"](h + layer["out"](out))
            h = layer["norm2"](h + layer["down"](F.gelu(layer["up"](h))))
        pooled = (h * seen.unsqueeze(-1)).sum(1) / seen.sum(1, keepdim=True)
        return self.head(pooled)


class RMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def rotated(x: Tensor, positions: Tensor) -> Tensor:
    """Rotary embedding of `(N, heads, length, width)`."""
    half = x.size(-1) // 2
    angles = positions[:, None, :, None] * 10.0 ** -torch.arange(half, dtype=x.dtype)
    angles = torch.cat([angles, angles], -1)
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * angles.cos() + turned * angles.sin()


class Decoder(nn.Module):
    """Two pre-norm layers with rotary positions, RMS norm, SwiGLU and one head of keys and values; left or right
    padding, logits of each next token."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        inner = {"q": WIDTH, "k": WIDTH // HEADS, "v": WIDTH // HEADS, "out": WIDTH, "gate": 12, "up": 12}
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    **{name: nn.Linear(WIDTH, size, bias=False) for name, size in inner.items()},
                    **{"down": nn.Linear(12, WIDTH, bias=False), "norm1": RMSNorm(), "norm2": RMSNorm()},
                }
            )
            for _ in range(2)
        )
        self.norm, self.head = RMSNorm(), nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        h = self.embed(input_ids)
        seen = attention_mask.bool()
        positions = (attention_mask.cumsum(1) - 1).clamp(min=0)
        causal = torch.ones(h.size(1), h.size(1), dtype=torch.bool).tril() & seen[:, None]
        mask = torch.zeros(causal.shape, dtype=h.dtype).masked_fill(~causal, LOWEST)[:, None]
        for layer in self.layers:
            x = layer["norm1"](h)
            q, k, v = heads(layer["q"](x)), heads(layer["k"](x), 1), heads(layer["v"](x), 1)
            k = rotated(k, positions).expand(-1, HEADS, -1, -1)
            out = self.attention(rotated(q, positions), k, v.expand(-1, HEADS, -1, -1), mask)
            h = h + layer["out"](out.transpose(1, 2).flatten(2))
            x = layer["norm2"](h)
            h = h + layer["down"](F.silu(layer["gate"](x)) * layer["up"](x))
        return {"logits": self.head(self.norm(h))}
