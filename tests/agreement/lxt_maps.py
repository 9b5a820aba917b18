"""LXT's relevance of the tiny models of `tiny.py`, in a process of its own: its patches change classes for good.

    python -m tests.agreement.lxt_maps VARIANT FILE

VARIANT: attnlrp, cp_lrp, or cp_lrp_gamma (with zennit's Gamma on linear layers and convolutions, as LXT's documentation
has it for vision transformers). LXT has no CP-LRP for BERT and no AttnLRP for vision transformers.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from tests.agreement.tiny import (
    GAMMA,
    STABILISER,
    TINY,
    Double,
    InDouble,
    Tiny,
)  # first: it makes torchvision importable

# isort: split
import torch
import transformers
from lxt.efficient import monkey_patch, monkey_patch_zennit
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import vision_transformer
from transformers.models.bert import modeling_bert
from zennit.composites import LayerMapComposite
from zennit.rules import Gamma

from tests.agreement import plain
from tests.cases.transformers import HEADS, VOCABULARY, WIDTH

MAPS = {"attnlrp": "attnLRP", "cp_lrp": "cp_LRP", "cp_lrp_gamma": "cp_LRP"}


def patched(name: str, variant: str) -> bool:
    """Have LXT change the classes of the model; False if it has no such variant for them."""
    if name == "vit":
        module: ModuleType = vision_transformer
        theirs = importlib.import_module("lxt.efficient.models.vit_torch")
    else:
        module = importlib.import_module(f"transformers.models.{name}.modeling_{name}")
        theirs = importlib.import_module(f"lxt.efficient.models.{name}")
    patches = getattr(theirs, MAPS[variant], None)
    if patches is not None:
        monkey_patch(module, patches)
    return patches is not None


def relevance(tiny: Tiny, attention: str, rules: Any = None) -> tuple[Tensor, Tensor]:
    """What is explained, and the input times its gradient."""
    model = tiny.build(attention).requires_grad_(False)
    name, x = tiny.source(model)
    if rules is not None:
        rules.register(model)
    x = x.clone().requires_grad_()
    explained = tiny.explained(model(**{name: x}))
    (gradient,) = torch.autograd.grad(explained.sum(), x)
    return explained.detach(), (x * gradient).detach()


def _layer_names(encoder: bool) -> dict[str, str]:
    """transformers' name for each part of a layer of tests/cases."""
    if encoder:
        attention = {name: f"attention.self.{full}" for name, full in (("q", "query"), ("k", "key"), ("v", "value"))}
        rest = {"out": "attention.output.dense", "norm1": "attention.output.LayerNorm", "up": "intermediate.dense"}
        return {**attention, **rest, "down": "output.dense", "norm2": "output.LayerNorm"}
    attention = {name: f"self_attn.{name}_proj" for name in "qkv"} | {"out": "self_attn.o_proj"}
    norms = {"norm1": "input_layernorm", "norm2": "post_attention_layernorm"}
    return attention | norms | {name: f"mlp.{name}_proj" for name in ("gate", "up", "down")}


def _renamed(state: dict[str, Tensor], prefix: str, parts: dict[str, str], others: dict[str, str]) -> dict[str, Tensor]:
    names: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith("layers."):
            _, number, part, kind = name.split(".")
            names[f"{prefix}.{number}.{parts[part]}.{kind}"] = tensor
        elif name in others:
            names[others[name]] = tensor
    return names


def plain_decoder() -> tuple[Tensor, Tensor]:
    """The decoder of tests/cases as a Llama: what is explained, and relevance of the tokens."""
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_key_value_heads": 1, "intermediate_size": 12}
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, num_hidden_layers=2, rope_theta=100.0, attn_implementation="eager", **sizes
    )
    with InDouble():  # rotary angles are made in float32 else
        model = transformers.LlamaForCausalLM(config).double().eval()
    others = {"embed.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}
    state = plain.build("decoder").state_dict()
    others["head.weight"] = "lm_head.weight"
    model.load_state_dict(_renamed(state, "model.layers", _layer_names(False), others))
    positions = (plain.MASK.cumsum(1) - 1).clamp(min=0)
    x = model.get_input_embeddings()(plain.IDS).detach().requires_grad_()
    logits = Double(model)(inputs_embeds=x, attention_mask=plain.MASK, position_ids=positions).logits
    explained = logits[torch.arange(2), plain.MASK.sum(1) - 1, plain.TOKEN]
    (gradient,) = torch.autograd.grad(explained.sum(), x)
    return explained.detach(), (x * gradient).detach().sum(-1)


def plain_encoder() -> tuple[Tensor, Tensor]:
    """The encoder of tests/cases with BERT's layers: what is explained, and relevance of the features."""
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": HEADS, "intermediate_size": 2 * WIDTH}
    config = transformers.BertConfig(layer_norm_eps=1e-5, **sizes)
    config._attn_implementation = "eager"
    layers, given = modeling_bert.BertEncoder(config).double().eval(), plain.build("encoder")
    layers.load_state_dict(_renamed(given.state_dict(), "layer", _layer_names(True), {}))
    hidden = torch.zeros(plain.SEEN.shape, dtype=torch.float64).masked_fill(~plain.SEEN, -torch.inf)
    x = plain.X.clone().requires_grad_()
    h = layers(x + given.positions, attention_mask=hidden[:, None, None]).last_hidden_state
    pooled = (h * plain.SEEN.unsqueeze(-1)).sum(1) / plain.SEEN.sum(1, keepdim=True)
    explained = given.head(pooled)[:, plain.CLASS]
    (gradient,) = torch.autograd.grad(explained.sum(), x)
    return explained.detach(), (x * gradient).detach()


PLAIN: dict[str, tuple[str, Callable[[], tuple[Tensor, Tensor]]]] = {
    "decoder": ("llama", plain_decoder),
    "encoder": ("bert", plain_encoder),
}


def main(variant: str, file: str) -> None:
    warnings.simplefilter("ignore")
    rules, wanted = None, list(TINY)
    if variant == "cp_lrp_gamma":
        monkey_patch_zennit()
        rules = LayerMapComposite([((nn.Conv2d, nn.Linear), Gamma(GAMMA, stabilizer=STABILISER))])
        wanted = ["vit"]
    tensors: dict[str, Tensor] = {}
    for name, (kind, explain) in PLAIN.items() if variant == "attnlrp" else ():
        patched(kind, variant)
        tensors[f"plain/{name}/explained"], tensors[f"plain/{name}"] = explain()
    for tiny in (TINY[name] for name in wanted):
        if not patched(tiny.name, variant):
            continue
        for attention in tiny.attentions:
            key = f"{variant}/{tiny.name}/{attention}"
            tensors[f"{key}/explained"], tensors[key] = relevance(tiny, attention, rules)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
