"""A text as the tokens that a model reads, each with its place in the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lrp.errors import InputError, TargetError

__all__ = ["UNSPACED", "Encoded", "Place", "continued", "encoded", "generated"]

UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, which are written without spaces between words."""


class Place(NamedTuple):
    """Where a token stands: in which of the texts (None: it was put around them), from where to where."""

    text: int | None
    start: int
    end: int


@dataclass(frozen=True)
class Encoded:
    """A text as a model reads it.

    Args:
        inputs: what the model takes, each `(1, T)`.
        texts: the text, or the two of a pair.
        places: where each token stands.
    """

    inputs: dict[str, Tensor]
    texts: tuple[str, ...]
    places: Sequence[Place]

    @property
    def ids(self) -> list[int]:
        ids: list[int] = self.inputs["input_ids"][0].tolist()
        return ids

    def mask(self, tokenizer: Any) -> int | None:
        """The position of the first mask, if there is one."""
        return self.ids.index(tokenizer.mask_token_id) if tokenizer.mask_token_id in self.ids else None

    def followed_by(self, tokens: Sequence[int], more: str, places: Sequence[Place]) -> Encoded:
        """With tokens behind it; what else the model is told of each token is what it was told of the last one."""
        inputs = {
            name: torch.cat([item, item[:, -1:].expand(-1, len(tokens))], 1) for name, item in self.inputs.items()
        }
        inputs["input_ids"] = torch.tensor([[*self.ids, *tokens]], device=inputs["input_ids"].device)
        return Encoded(inputs, (self.texts[0] + more,), [*self.places, *places])


def encoded(model: Any, tokenizer: Any, text: Any) -> Encoded:
    """A text, a pair of texts or a list of messages as the tokenizer reads it, on the model's device.

    Raises:
        InputError: it is none of these or has no tokens, or the tokenizer does not tell where its tokens stand.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            "the tokenizer does not tell where its tokens stand in the text",
            where="tokenizer",
            seen=type(tokenizer).__name__,
            cure="a fast tokenizer of transformers, such as AutoTokenizer.from_pretrained gives",
        )
    texts, options = text if isinstance(text, tuple) else (text,), {}
    if isinstance(text, list) and text and all(isinstance(message, Mapping) for message in text):
        texts = (tokenizer.apply_chat_template(text, tokenize=False, add_generation_prompt=True),)
        options["add_special_tokens"] = False  # the template has put them in
    if len(texts) not in (1, 2) or not all(isinstance(part, str) for part in texts):
        raise InputError(
            "a text is a string, a pair of strings (a tuple), or a list of messages",
            where="text",
            seen=repr(text)[:80],
            cure="one call for each text",
        )
    made = tokenizer(*texts, return_tensors="pt", return_offsets_mapping=True, **options)
    offsets = made.pop("offset_mapping")[0].tolist()
    if not offsets:
        raise InputError("the text has no tokens", where="text", seen=repr(text)[:80], cure="a text with a word in it")
    places = [Place(number, *offset) for number, offset in zip(made.sequence_ids(0), offsets, strict=True)]
    parameter = next(iter(model.parameters()), None) if isinstance(model, torch.nn.Module) else None
    device = torch.device("cpu") if parameter is None else parameter.device
    return Encoded({name: item.to(device) for name, item in made.items()}, texts, places)


def continued(tokenizer: Any, given: Encoded, more: str) -> tuple[Encoded, list[int]]:
    """A text with its continuation, read but for the last token; and the tokens of the continuation.

    Raises:
        TargetError: its tokens do not follow upon those of the text, or the tokenizer does not know it.
    """
    _refuse_ended(given)
    text = given.texts[0]
    if re.search(r"[\w.,:;!?)\]]\Z", text) and re.match(r"\w", more) and not UNSPACED.match(more):
        more = " " + more
    before = tokenizer(text, add_special_tokens=False)["input_ids"]
    whole = tokenizer(text + more, add_special_tokens=False, return_offsets_mapping=True)
    tokens = whole["input_ids"][len(before) :]
    if not tokens or whole["input_ids"][: len(before)] != before or tokenizer.unk_token_id in tokens:
        raise TargetError(
            "the target is no continuation of the text, token by token",
            where=f"target {more!r}",
            seen=" ".join(tokenizer.convert_ids_to_tokens(whole["input_ids"])[-len(tokens) - 3 :]),
            cure="words that the tokenizer knows, or the number of a token: lrp.targets.Token(-1, number)",
        )
    places = [Place(0, *offset) for offset in whole["offset_mapping"][len(before) : -1]]
    return given.followed_by(tokens[:-1], more, places), tokens


def generated(model: Any, tokenizer: Any, given: Encoded, count: int) -> tuple[Encoded, list[int]]:
    """A text with the tokens that the model goes on with, read but for the last one; and these tokens."""
    _refuse_ended(given)
    with torch.no_grad():
        made = model.generate(**given.inputs, max_new_tokens=count, do_sample=False, num_beams=1)
    ids, length = made[0].tolist(), len(given.ids)
    texts = [tokenizer.decode(ids[:n], clean_up_tokenization_spaces=False) for n in range(length, len(ids) + 1)]
    start = len(given.texts[0]) - len(texts[0])
    # a character that is not whole yet shows as U+FFFD: the token before its end and the one behind both hold it
    places = [Place(0, start + len(a.rstrip("\ufffd")), start + len(b)) for a, b in pairwise(texts[:-1])]
    more = texts[-1][len(texts[0]) :]
    return given.followed_by(ids[length:-1], more, places), ids[length:]


def _refuse_ended(given: Encoded) -> None:
    """A pair, or a special token behind the text."""
    if len(given.texts) > 1 or given.places[-1].text is None:
        raise InputError(
            "the text does not go on: it is a pair, or the tokenizer ends it with a special token",
            where="text",
            seen=repr(given.texts)[:80],
            cure="one text, and a tokenizer with add_eos_token=False",
        )
