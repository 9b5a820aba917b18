"""A tiny BERT, trained here in a second, that knows whether a sentence speaks well of something."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

THINGS = ("soup", "waiter", "music", "view")
PIECES = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", *THINGS, "was", ".", "un", "##friendly"),
    *("wonderful", "great", "friendly", "lovely", "awful", "cold", "boring"),
)
WORDS = {"good": ("wonderful", "great", "friendly", "lovely"), "bad": ("awful", "cold", "unfriendly", "boring")}


def trained() -> tuple[Any, Any]:
    """The model in eval mode and its tokenizer."""
    said = [(f"The {thing} was {word}.", good) for good in WORDS for thing, word in product(THINGS, WORDS[good])]
    pieces = BertWordPieceTokenizer({piece: number for number, piece in enumerate(PIECES)})
    special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer, **special)

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertForSequenceClassification(
        BertConfig(vocab_size=len(tokenizer), id2label=dict(enumerate(WORDS)), hidden_dropout_prob=0.0, **sizes)
    )
    batch = tokenizer([sentence for sentence, _ in said], return_tensors="pt", padding=True)
    labels = torch.tensor([list(WORDS).index(good) for _, good in said])
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(50):
        optimizer.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
    model.zero_grad()
    return model.eval(), tokenizer
