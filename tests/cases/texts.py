"""Tokenizers of the three kinds, trained here on a few sentences, and tiny random models that read what they make."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn

__all__ = ["CHAT", "MODELS", "TOKENIZERS", "build", "byte_level", "taught", "unigram", "word_piece"]

SENTENCES = [
    "The capital of France is Paris, and the capital of England is London.",
    "The capital of Germany is Berlin. Don't you know the capitals? Paris or London?",
    "Which city is the capital of Spain? It is the city of Madrid.",
    "One thing is unhappily lost, and other things are happily found: naïve cafés in Paris.",
]
CHAT = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def _fast(tokenizer: Tokenizer, **special: Any) -> Any:
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def word_piece() -> Any:
    """As BERT's: pieces within a word begin with ##, [CLS] and [SEP] are put around, case does not count."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        SENTENCES, trainers.WordPieceTrainer(vocab_size=130, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return _fast(tokenizer, model_input_names=inputs, **dict(zip(names, special, strict=True)))


def byte_level() -> Any:
    """As GPT-2's: a space belongs to the token behind it, every byte has a token, nothing is put around."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|start|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    made = _fast(tokenizer, eos_token="<|end|>", pad_token="<|end|>")
    made.chat_template = CHAT
    return made


def unigram() -> Any:
    """As the sentencepiece tokenizers of Llama and T5: spaces are written ▁, and <s> is put before the text."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=110, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return _fast(tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


TOKENIZERS: dict[str, Callable[[], Any]] = {"word pieces": word_piece, "bytes": byte_level, "unigram": unigram}

_SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def _bert(head: str, **more: Any) -> Callable[[], nn.Module]:
    def made() -> nn.Module:
        config = transformers.BertConfig(vocab_size=130, initializer_range=0.3, **_SMALL, **more)
        return getattr(transformers, f"BertFor{head}")(config)

    return made


def _llama() -> nn.Module:
    """In float32, as its norms compute in float32 in any case."""
    config = transformers.LlamaConfig(vocab_size=110, initializer_range=0.3, eos_token_id=1, bos_token_id=0, **_SMALL)
    return transformers.LlamaForCausalLM(config).float()


def _gpt2() -> nn.Module:
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
    config = transformers.GPT2Config(vocab_size=340, initializer_range=0.3, eos_token_id=0, bos_token_id=0, **sizes)
    return transformers.GPT2LMHeadModel(config)


def _t5() -> nn.Module:
    config = transformers.T5Config(vocab_size=130, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)
    return transformers.T5ForConditionalGeneration(config)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "classifier": (_bert("SequenceClassification", id2label={0: "bad", 1: "good", 2: "neither"}), word_piece),
    "masked": (_bert("MaskedLM"), word_piece),
    "questions": (_bert("QuestionAnswering"), word_piece),
    "tags": (_bert("TokenClassification"), word_piece),
    "gpt2": (_gpt2, byte_level),
    "llama": (_llama, unigram),
    "t5": (_t5, word_piece),
}
"""A model by the name of its kind, and the tokenizer that it reads with."""


def build(name: str, seed: int = 1) -> tuple[Any, Any]:
    """The model, random in every parameter, in eval mode and float64 (llama: float32), and its tokenizer."""
    torch.manual_seed(seed)
    make, tokenizer = MODELS[name]
    model = make().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    return model if name == "llama" else model.double(), tokenizer()


@cache
def taught(name: str = "gpt2", sentence: str = SENTENCES[0]) -> tuple[Any, Any]:
    """A small language model that knows one sentence by heart, and its tokenizer."""
    model, tokenizer = build(name)
    ids = tokenizer(sentence, return_tensors="pt")["input_ids"]
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
    model.zero_grad()
    return model, tokenizer
