"""Tiny random transformers, built from transformers' and torchvision's own classes (LXT environment only).

Two layers, float64, eval mode. Every parameter is random, so that a dropped one moves the numbers. Attention with
grouped heads where the architecture has it; Gemma's layers are one of each kind (a sliding window, and the whole past).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.agreement import torchvision_shim  # first: transformers imports torchvision

# isort: split
import torch
import transformers
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision.models import VisionTransformer

from tests.agreement.plain import filled

__all__ = ["GAMMA", "STABILISER", "TINY", "Double", "InDouble", "Tiny", "torchvision_shim"]

VOCABULARY, LENGTH = 40, 7
GAMMA, STABILISER = 0.25, 1e-6
DECODER = {
    **{"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64},
}


@dataclass(frozen=True)
class Tiny:
    """A model of one architecture, and what it is explained at: embeddings of tokens, or pixels."""

    name: str
    make: Callable[[str], nn.Module]
    """The model, given the way attention is carried out, `eager` or `sdpa`."""
    seed: int
    """Of a draw whose activations have no input nearer to zero than 1e-4: LXT adds 1e-10 to it."""
    of_tokens: bool = True
    answers_tokens: bool = True

    @property
    def attentions(self) -> tuple[str, ...]:
        """The ways in which attention is carried out; torchvision has one."""
        return ("eager", "sdpa") if self.of_tokens else ("sdpa",)

    def build(self, attention: str) -> nn.Module:
        return Double(filled(self.make(attention), self.seed))

    def inputs(self) -> dict[str, Tensor]:
        """Two samples of token numbers, or of pixels."""
        generator = torch.Generator().manual_seed(1000 + self.seed)
        if self.of_tokens:
            return {"input_ids": torch.randint(2, VOCABULARY, (2, LENGTH), generator=generator)}
        return {"x": torch.randn(2, 3, 16, 16, generator=generator, dtype=torch.float64)}

    def source(self, model: nn.Module) -> tuple[str, Tensor]:
        """The input that relevance is wanted for: the looked-up embeddings (scaled, where a model scales them), or
        the pixels."""
        given = self.inputs()
        if not self.of_tokens:
            return "x", given["x"]
        return "inputs_embeds", model.model.get_input_embeddings()(given["input_ids"]).detach()

    def explained(self, output: Any) -> Tensor:
        """One number for each sample: logit number 3, of the last token if there is one for each."""
        logits = output if isinstance(output, Tensor) else output.logits
        return logits[:, -1, 3] if self.answers_tokens else logits[:, 3]


class InDouble(TorchFunctionMode):
    """Casts to float32 become casts to float64: transformers' norms, rotary tables and softmax round otherwise."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.float:
            return args[0].double()
        wide = [torch.float64 if arg is torch.float32 else arg for arg in args]
        return func(*wide, **{k: torch.float64 if v is torch.float32 else v for k, v in (kwargs or {}).items()})


class Double(nn.Module):
    """A model of which no part computes in float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **given: Tensor) -> Any:
        with InDouble():
            return self.model(**given)


def _decoder(name: str, config: str = "", **more: Any) -> Callable[[str], nn.Module]:
    config, model = getattr(transformers, config or f"{name}Config"), getattr(transformers, f"{name}ForCausalLM")
    return lambda attention: model(config(**{**DECODER, **more}, attn_implementation=attention, use_cache=False))


def _gpt2(attention: str) -> nn.Module:
    config = transformers.GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=2, n_head=4)
    config._attn_implementation = attention
    return transformers.GPT2LMHeadModel(config)


def _bert(attention: str) -> nn.Module:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = transformers.BertConfig(vocab_size=VOCABULARY, num_labels=5, max_position_embeddings=64, **sizes)
    config._attn_implementation = attention
    return transformers.BertForSequenceClassification(config)


def _vit(attention: str) -> nn.Module:
    sizes = {"num_layers": 2, "num_heads": 4, "hidden_dim": 32, "mlp_dim": 48}
    return VisionTransformer(image_size=16, patch_size=4, num_classes=5, **sizes)


TINY = {
    tiny.name: tiny
    for tiny in (
        Tiny("llama", _decoder("Llama"), 1),
        Tiny("qwen2", _decoder("Qwen2", sliding_window=None), 2),
        Tiny("qwen3", _decoder("Qwen3", sliding_window=None), 3),
        Tiny("gemma3", _decoder("Gemma3", "Gemma3TextConfig", sliding_window=4, sliding_window_pattern=2), 14),
        Tiny("gpt2", _gpt2, 5),
        Tiny("bert", _bert, 6, answers_tokens=False),
        Tiny("vit", _vit, 7, of_tokens=False, answers_tokens=False),
    )
}
