"""Tokens merged to words, for the three kinds of tokenizers."""

from __future__ import annotations

from typing import Any

import pytest

from lrp.text.encoding import encoded
from lrp.text.pieces import Piece, tokens_and_words
from tests.cases.texts import TOKENIZERS, byte_level, word_piece

MADE = {name: make() for name, make in TOKENIZERS.items()}


def pieces(tokenizer: Any, text: Any) -> tuple[list[Piece], list[Piece]]:
    """The tokens, of which the n-th gets 2^n, so that a sum says which are in it, and the words."""
    given = encoded(None, tokenizer, text)
    return tokens_and_words(tokenizer, given, [2.0**n for n in range(len(given.ids))])


def words(tokenizer: Any, text: Any) -> list[str]:
    return [word.text for word in pieces(tokenizer, text)[1]]


@pytest.mark.parametrize("name", MADE)
def test_tokens_of_a_word_are_added_up(name: str) -> None:
    tokens, found = pieces(MADE[name], "Don't the cafés  of France, unhappily, naïve?")
    assert [word.text for word in found] == [
        "Don't",
        "the",
        "cafés",
        "of",
        "France",
        ",",
        "unhappily",
        ",",
        "naïve",
        "?",
    ]
    assert len(tokens) > len(found)
    assert sum(word.relevance for word in found) == sum(token.relevance for token in tokens if not token.special)
    numbers = iter(token for token in tokens if not token.special)
    for word in found:  # each word holds the tokens that come next
        rest = word.relevance
        while rest > 0:
            rest -= next(numbers).relevance
        assert rest == 0


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("'don't' rock'n'roll", ["'", "don't", "'", "rock'n'roll"]),
        ("3.5 % of x_1", ["3", ".", "5", "%", "of", "x_1"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("the city\n\nof", ["the", "city", "'\\n'", "'\\n'", "of"]),
        ("東京 is", ["東", "京", "is"]),
        ("  the", ["the"]),
        ("the ", ["the", "' '"]),
        ("the👍🏽city", ["the", "👍", "🏽", "city"]),
    ],
)
def test_what_a_word_is(text: str, truth: list[str]) -> None:
    assert words(MADE["bytes"], text) == truth


def test_two_texts_and_special_tokens_end_a_word() -> None:
    tokens, found = pieces(word_piece(), ("happily", "happily"))
    assert [word.text for word in found] == ["happily", "happily"]
    assert [token.text for token in tokens if token.special] == ["[CLS]", "[SEP]", "[SEP]"]
    assert words(byte_level(), ("the", "city")) == ["the", "city"]
    assert words(byte_level(), "the<|end|>city") == ["the", "city"]


def test_a_word_that_the_tokenizer_does_not_know_is_no_special_token() -> None:
    tokens, found = pieces(word_piece(), "the 東京")
    assert [word.text for word in found] == ["the", "東", "京"]
    assert [token.special for token in tokens] == [True, False, False, False, True]


def test_added_tokens_may_be_special_without_a_name() -> None:
    tokenizer = byte_level()
    tokenizer.backend_tokenizer.add_special_tokens(["<|header|>"])
    assert tokenizer.convert_tokens_to_ids("<|header|>") not in tokenizer.all_special_ids
    tokens, found = pieces(tokenizer, "<|header|>the")
    assert [token.text for token in tokens] == ["<|header|>", "the"]
    assert [word.text for word in found] == ["the"]
