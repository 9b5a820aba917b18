"""A text's tokens with their relevance, and its words with that of their tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

from lrp.text.encoding import UNSPACED, Encoded, Place

__all__ = ["Piece", "tokens_and_words"]


class Piece(NamedTuple):
    """A token or a word, its relevance, and whether it is one of the tokenizer's special tokens."""

    text: str
    relevance: float
    special: bool = False


def tokens_and_words(tokenizer: Any, given: Encoded, relevance: Sequence[float]) -> tuple[list[Piece], list[Piece]]:
    """The tokens with the relevance of each, and the words with the sums of theirs."""
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    special.discard(tokenizer.unk_token_id)  # it stands for a word
    names = tokenizer.convert_ids_to_tokens(given.ids)
    tokens: list[Piece] = []
    words: list[Piece] = []
    word: Place | None = None
    for token, name, place, number in zip(given.ids, names, given.places, relevance, strict=True):
        if place.text is None or token in special:
            tokens.append(Piece(name, number, True))
            continue
        text = given.texts[place.text]
        tokens.append(Piece(_shown(text, place, name), number))
        if word is not None and _is_one_word(text, word, place):
            word = Place(place.text, word.start, max(word.end, place.end))
            words[-1] = Piece(_shown(text, word, name), words[-1].relevance + number)
        else:
            word = place
            words.append(Piece(_shown(text, place, name), number))
    return tokens, words


def _shown(text: str, place: Place, name: str) -> str:
    """What stands at a place, without the space before it."""
    shown = text[place.start : place.end]
    return shown.strip() or (repr(shown) if shown else name)


def _is_one_word(text: str, word: Place, token: Place) -> bool:
    """Whether a token belongs to the word before it: within its letters, or behind no more than spaces."""
    if word.text != token.text or token.start > word.end:
        return False
    blank = not text[word.start : word.end].strip(" ")
    return blank or token.start < word.end or (_is_letter(text, word.end - 1) and _is_letter(text, token.start))


def _is_letter(text: str, at: int) -> bool:
    """Whether a character is part of a word: a letter, digit or accent, or an apostrophe within them."""
    letters = [
        0 <= n < len(text)
        and (text[n].isalnum() or unicodedata.category(text[n])[0] == "M" or text[n] == "_")
        and not UNSPACED.match(text[n])
        for n in (at - 1, at, at + 1)
    ]
    return letters[1] or (text[at : at + 1] in ("'", "’") and letters[0] and letters[2])
