"""What is explained of a text: the likeliest class or token, words that go on, one word rather than another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrp.errors import InputError, TargetError
from lrp.targets import Difference, Several, Target, Token, Top
from lrp.targets.base import PLAIN, Context, scores_in
from lrp.text.encoding import Encoded, continued, generated

__all__ = ["Likeliest", "aimed"]


@dataclass(frozen=True)
class Likeliest(Target):
    """What a model is most sure of: a class, a token, or where an answer starts and ends.

    Args:
        position: where a token is looked for; None where the model is no language model.
        answers: the positions at which an answer may start and end.
    """

    position: int | None
    answers: tuple[int, ...]

    def pick(self, output: Any, context: Context = PLAIN) -> tuple[Tensor, Tensor | None]:
        answer = self.answer(output)
        if answer is not None:
            return output.start_logits[:, answer[0]] + output.end_logits[:, answer[1]], None
        if scores_in(output, context).dim() != 3:
            return Top().pick(output, context)
        if self.position is None:
            raise TargetError(
                "the model has scores for every token, and nothing says which to explain",
                cure="a mask in the text, for a masked language model; or lrp.targets.Token(position, class)",
            )
        return Token(self.position).pick(output, context)

    def answer(self, output: Any) -> tuple[int, int] | None:
        """The positions where the likeliest answer starts and ends, if the model looks for one."""
        start, end = (getattr(output, f"{side}_logits", None) for side in ("start", "end"))
        if not isinstance(start, Tensor) or not isinstance(end, Tensor):
            return None
        among = torch.tensor(self.answers, device=start.device)
        pairs = start[0, among].detach().unsqueeze(1) + end[0, among].detach()
        first, last = divmod(int((pairs - torch.full_like(pairs, torch.inf).tril(-1)).argmax()), len(among))
        return self.answers[first], self.answers[last]

    def __str__(self) -> str:
        return "the top score"


@dataclass(frozen=True)
class Tokens(Target):
    """Logits of tokens at positions, added up or subtracted: `(position, token, sign)`."""

    terms: tuple[tuple[int, int, int], ...]
    words: str

    def pick(self, output: Any, context: Context = PLAIN) -> tuple[Tensor, None]:
        parts = [sign * Token(position, token).pick(output, context)[0] for position, token, sign in self.terms]
        return torch.stack(parts).sum(0), None

    def __str__(self) -> str:
        return self.words


def aimed(model: Any, tokenizer: Any, given: Encoded, target: Any, generate: int) -> tuple[Encoded, Any]:
    """The text, longer where its continuation is explained, and the target for `lrp.explain`.

    Raises:
        InputError: the text does not go on.
        TargetError: the target is not one of this model's.
    """
    mask, goes_on = given.mask(tokenizer), hasattr(model, "generate")
    if generate:
        if target is not None:
            raise TargetError("generated tokens are the target", seen=f"target={target!r}", cure="generate= or target=")
        if not goes_on:
            raise InputError("the model generates no text", where="generate", seen=type(model).__name__, cure="target=")
        return _span(given, *generated(model, tokenizer, given, generate))
    if target is None:
        spot = mask if mask is not None else len(given.ids) - 1 if goes_on else None
        answers = [n for n, place in enumerate(given.places) if place.text == len(given.texts) - 1]
        return given, Likeliest(spot, tuple(answers))
    if isinstance(target, Several):
        raise TargetError("a text is explained for one target a call", seen=str(target), cure="lrp.explain for several")
    words = target if isinstance(target, tuple) else (target,)
    if not all(isinstance(word, str) for word in words):
        return given, target
    if len(words) > 2:
        raise TargetError("a contrast is one of two words", seen=repr(target)[:80], cure='target=("Paris", "London")')
    if mask is None and not goes_on:
        return given, Difference(*words) if len(words) == 2 else target
    if mask is None and len(words) == 1:
        return _span(given, *continued(tokenizer, given, *words))
    spot = len(given.ids) - 1 if mask is None else mask
    tokens = [_one_token(tokenizer, given, word) for word in words]
    terms = tuple((spot, token, sign) for token, sign in zip(tokens, (1, -1), strict=False))
    return given, Tokens(terms, " minus ".join(map(repr, words)))


def _span(given: Encoded, longer: Encoded, tokens: list[int]) -> tuple[Encoded, Tokens]:
    """The logit of each token of a continuation, behind those before it."""
    first = len(given.ids) - 1
    more = longer.texts[0][len(given.texts[0]) :]
    return longer, Tokens(tuple((first + n, token, 1) for n, token in enumerate(tokens)), repr(more))


def _one_token(tokenizer: Any, given: Encoded, word: str) -> int:
    """The one token that a word is, in the place of the mask or where the text goes on."""
    mask = given.mask(tokenizer)
    found = continued(tokenizer, given, word)[1] if mask is None else _at_mask(tokenizer, given, mask, word)
    if len(found) != 1 or found[0] == tokenizer.unk_token_id:
        raise TargetError(
            f"{word!r} is not one token there",
            where="target",
            seen=" ".join(tokenizer.convert_ids_to_tokens(found)) or "nothing",
            cure="a word that is; or the number of a token: lrp.targets.Token(position, number)",
        )
    return found[0]


def _at_mask(tokenizer: Any, given: Encoded, mask: int, word: str) -> list[int]:
    """The tokens in the place of the mask when the word stands there; none if others change, too."""
    number, texts = given.places[mask].text or 0, list(given.texts)
    texts[number] = texts[number].replace(tokenizer.mask_token, word, 1)
    ids: list[int] = tokenizer(*texts)["input_ids"]
    end = len(ids) - (len(given.ids) - mask - 1)
    return ids[mask:end] if ids[:mask] + ids[end:] == given.ids[:mask] + given.ids[mask + 1 :] else []
