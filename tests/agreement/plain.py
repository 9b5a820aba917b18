"""The transformers of tests/cases with every weight random, norms' too: LXT explains them as transformers' own classes.

`Decoder` is a Llama, and the layers of `Encoder` are BERT's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import lrp
from lrp import presets, targets
from tests.cases.attention import fused
from tests.cases.networks import signed
from tests.cases.transformers import WIDTH, Decoder, Encoder

IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 0, 0]])
MASK = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
X = signed(2, 6, WIDTH, seed=95)
SEEN = MASK.bool()
CLASS, TOKEN = 1, 3

COMPARED = ("decoder", "encoder")


def filled(model: Any, seed: int) -> Any:
    """Random float64 numbers in every parameter: activations stay near 1, and so do the weights of norms.

    Weights of norms stay near what they are at first: 1, or 0 where the norm itself adds 1.
    """
    generator = torch.Generator().manual_seed(seed)
    model.double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            vector = parameter.dim() < 2
            middle = parameter.mean() if vector and name.endswith("weight") else 0
            scale = 0.2 if vector else 1.2 * parameter[0].numel() ** -0.5
            parameter.copy_(middle + scale * noise)
    return model


def build(name: str) -> nn.Module:
    return filled(Decoder(fused), seed=21) if name == "decoder" else filled(Encoder(fused), seed=22)


def ours(name: str) -> lrp.Relevance:
    """Our explanation: one number for each token of the decoder, one for each feature of the encoder's input."""
    model = build(name)
    if name == "decoder":
        given = {"input_ids": IDS, "attention_mask": MASK}
        return lrp.explain(model, given, target=targets.Token(token=TOKEN), composite=presets.attnlrp())
    return lrp.explain(lambda x: model(x, SEEN), X, target=CLASS, composite=presets.attnlrp())


def relevance(r: lrp.Relevance) -> Tensor:
    found: Tensor = r.input if isinstance(r.input, Tensor) else r.input["input_ids"]
    return found
