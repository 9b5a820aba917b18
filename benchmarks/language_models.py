"""Language models at their published sizes, with random weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers
from torch import Tensor, nn

__all__ = ["TRANSFORMERS", "embedded"]


class FromEmbeddings(nn.Module):
    """A text model that starts at its embeddings; of a language model the last position's logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)

    def forward(self, embeddings: Tensor) -> Tensor:
        logits = self.model(inputs_embeds=embeddings).logits
        return logits if logits.dim() == 2 else logits[:, -1]


def bert_base() -> nn.Module:
    """Devlin et al. 2019."""
    torch.manual_seed(24)
    return FromEmbeddings(transformers.BertForSequenceClassification(transformers.BertConfig()))


def llama_135m() -> nn.Module:
    """A Llama of the size of SmolLM2-135M."""
    torch.manual_seed(25)
    heads = {"num_attention_heads": 9, "num_key_value_heads": 3}
    config = transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, **heads
    )
    return FromEmbeddings(transformers.LlamaForCausalLM(config))


def embedded(width: int, length: int) -> Tensor:
    """Embeddings of a text, (1, length, width)."""
    return 0.02 * torch.randn(1, length, width, generator=torch.Generator().manual_seed(26))


TRANSFORMERS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "bert_base, 128 tokens": (bert_base, 768, 128),
    "llama of 135 million, 128 tokens": (llama_135m, 576, 128),
    "llama of 135 million, 8 tokens": (llama_135m, 576, 8),
}
"""Network, width of its embeddings, length of the text."""
