"""What is explained of a text, and that tokens, words and the ledger add up to it."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import lrp
from lrp.targets import Several, Token
from lrp.text import TextRelevance
from tests.cases.texts import MODELS, build, taught

# random models: parts that cancel are no news here
pytestmark = pytest.mark.filterwarnings("ignore:.*the map may be noise:lrp.LRPWarning")

TEXT = "The capital of France is"
MESSAGES = [{"role": "user", "content": "Which city is the capital of Spain?"}]
ASKED: dict[str, Any] = {
    "classifier": "Unhappily, other things are lost.",
    "masked": "The capital of France is [MASK].",
    "questions": ("Which city is the capital of Germany?", "It is the city of Berlin."),
    "gpt2": TEXT,
    "llama": TEXT,
}
"""A text for each kind of model."""


@cache
def model_and_tokenizer(name: str) -> tuple[Any, Any]:
    return build(name)


def explained(name: str, text: Any = None, **options: Any) -> TextRelevance:
    model, tokenizer = model_and_tokenizer(name)
    return lrp.explain_text(model, tokenizer, ASKED[name] if text is None else text, **options)


def by_ids(name: str, ids: list[int], target: Any) -> Tensor:
    """What `lrp.explain` says of token ids, `(T,)`, or `(K, T)` for several targets."""
    given = {"input_ids": torch.tensor([ids])}
    r = lrp.explain(model_and_tokenizer(name)[0], given, target=target, sources=["input_ids"])
    relevance: Tensor = r.input["input_ids"].squeeze(-2)
    return relevance


def numbers(r: TextRelevance) -> Tensor:
    return torch.tensor([token.relevance for token in r.tokens], dtype=torch.float64)


def assert_same(found: Tensor, truth: Tensor) -> None:
    assert found.shape == truth.shape
    assert float((found - truth).abs().max()) <= 1e-12 * float(truth.abs().max())


@pytest.mark.parametrize("name", ASKED)
def test_tokens_words_and_ledger_add_up(name: str) -> None:
    r = explained(name)
    ledger = r.relevance.ledger
    assert ledger is not None
    tolerance = (1e-5 if name == "llama" else 1e-12) * float(ledger.scale)
    assert float(numbers(r).sum() + ledger.kept) == pytest.approx(float(r.relevance.explained), abs=tolerance)
    words = sum(word.relevance for word in r.words) + r.special
    assert words == pytest.approx(float(numbers(r).sum()), abs=1e-12 * float(ledger.scale))
    assert not any(word.special for word in r.words)


def test_a_classifier_explains_its_top_class_or_one_by_name() -> None:
    model, tokenizer = model_and_tokenizer("classifier")
    made = tokenizer(ASKED["classifier"], return_tensors="pt")
    top = int(model(**made).logits.argmax())
    maps = [by_ids("classifier", made["input_ids"][0].tolist(), k) for k in range(3)]
    assert_same(numbers(explained("classifier")), maps[top])
    assert explained("classifier").target == model.config.id2label[top]
    assert_same(numbers(explained("classifier", target="Neither")), maps[2])
    assert_same(numbers(explained("classifier", target=1)), maps[1])
    assert_same(numbers(explained("classifier", target=("good", "bad"))), maps[1] - maps[0])
    assert explained("classifier", target=("good", "bad")).target == "class good minus class bad"


def test_types_of_a_pair_are_constants() -> None:
    r = explained("classifier", ("Which city?", "Paris."))
    assert r.relevance.input["token_type_ids"] is None
    assert [word.text for word in r.words] == ["Which", "city", "?", "Paris", "."]
    assert [token.text for token in r.tokens if token.special] == ["[CLS]", "[SEP]", "[SEP]"]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_next_token(name: str) -> None:
    model, tokenizer = model_and_tokenizer(name)
    ids = tokenizer(TEXT)["input_ids"]
    top = int(model(torch.tensor([ids])).logits[0, -1].argmax())
    r = explained(name)
    assert_same(numbers(r), by_ids(name, ids, Token(-1, top)).double())
    assert r.target == repr(tokenizer.decode([top]))
    assert explained(name, generate=1).tokens == r.tokens


def test_a_continuation_is_the_sum_of_its_tokens() -> None:
    _, tokenizer = model_and_tokenizer("gpt2")
    r = explained("gpt2", target="Paris, and")
    before, more = tokenizer(TEXT)["input_ids"], tokenizer(" Paris, and")["input_ids"]
    assert len(more) >= 3
    terms = [Token(len(before) - 1 + n, token) for n, token in enumerate(more)]
    single = by_ids("gpt2", before + more[:-1], Several(*terms))
    assert_same(numbers(r), single.sum(0))
    assert_same(single[0, : len(before)], by_ids("gpt2", before, Token(-1, more[0])))
    assert r.target == "' Paris, and'"
    assert "".join(token.text for token in r.tokens[len(before) :]) == "Paris,"


def test_a_contrast_is_the_difference_of_two_tokens() -> None:
    for name, more, less in (("gpt2", "Paris", "of"), ("masked", "Paris", "london")):
        r = explained(name, target=(more, less))
        assert_same(numbers(r), numbers(explained(name, target=more)) - numbers(explained(name, target=less)))
        assert r.target == f"{more!r} minus {less!r}"


def test_the_token_at_a_mask() -> None:
    model, tokenizer = model_and_tokenizer("masked")
    ids = tokenizer(ASKED["masked"])["input_ids"]
    at = ids.index(tokenizer.mask_token_id)
    top = int(model(torch.tensor([ids])).logits[0, at].argmax())
    assert_same(numbers(explained("masked")), by_ids("masked", ids, Token(at, top)))
    assert explained("masked").target == repr(tokenizer.decode([top]))
    paris = tokenizer.convert_tokens_to_ids("paris")
    assert_same(numbers(explained("masked", target="Paris")), by_ids("masked", ids, Token(at, paris)))


def test_a_mask_in_the_second_text_of_a_pair() -> None:
    _, tokenizer = model_and_tokenizer("masked")
    ids = tokenizer("Which city?", "It is [MASK].")["input_ids"]
    target = Token(ids.index(tokenizer.mask_token_id), tokenizer.convert_tokens_to_ids("paris"))
    r = explained("masked", ("Which city?", "It is [MASK]."), target="Paris")
    model = model_and_tokenizer("masked")[0]
    made = dict(tokenizer("Which city?", "It is [MASK].", return_tensors="pt"))
    truth = lrp.explain(model, made, target=target, sources=["input_ids"]).input["input_ids"][0]
    assert_same(numbers(r), truth)


@pytest.mark.parametrize("seed", [1, 2])
def test_an_answer_lies_in_the_context(seed: int) -> None:
    """It starts before it ends; by the second model, the likeliest start lies behind the likeliest end."""
    model, tokenizer = build("questions", seed)
    made = tokenizer(*ASKED["questions"], return_tensors="pt")
    context = [n for n, text in enumerate(made.sequence_ids(0)) if text == 1]
    with torch.no_grad():
        output = model(**made)
    scores = {
        (a, b): float(output.start_logits[0, a] + output.end_logits[0, b]) for a in context for b in context if a <= b
    }
    first, last = max(scores, key=lambda pair: scores[pair])
    r = lrp.explain_text(model, tokenizer, ASKED["questions"])
    assert float(r.relevance.explained) == pytest.approx(scores[first, last], rel=1e-12)
    start, end = made.token_to_chars(0, first).start, made.token_to_chars(0, last).end
    assert r.target == repr(ASKED["questions"][1][start:end])

    def answer(output: Any) -> Tensor:
        return output.start_logits[:, first] + output.end_logits[:, last]

    truth = lrp.explain(model, dict(made), target=answer, sources=["input_ids"], composite=lrp.presets.attnlrp())
    assert_same(numbers(r), truth.input["input_ids"][0])


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_generated_tokens_are_explained_as_the_same_continuation(name: str) -> None:
    model, tokenizer = taught(name)
    more = len(tokenizer(TEXT + " Paris, and the")["input_ids"]) - len(tokenizer(TEXT)["input_ids"])
    r = lrp.explain_text(model, tokenizer, TEXT, generate=more)
    same = lrp.explain_text(model, tokenizer, TEXT, target="Paris, and the")
    assert r.target == same.target == "' Paris, and the'"
    assert r.tokens == same.tokens
    assert r.words == same.words
    assert float(r.relevance.explained) == float(same.relevance.explained)


def test_tokens_that_end_within_a_character_hold_it_whole() -> None:
    sentence = "It is naïve, naïve."
    model, tokenizer = taught("gpt2", sentence)
    more = len(tokenizer(sentence)["input_ids"]) - len(tokenizer("It")["input_ids"])
    r = lrp.explain_text(model, tokenizer, "It", generate=more)
    assert [token.text for token in r.tokens if "ï" in token.text] == ["naï", "ïve", "naï", "ïve"]
    assert [word.text for word in r.words] == ["It", "is", "naïve", ",", "naïve"]
    assert r.tokens == lrp.explain_text(model, tokenizer, "It", target=sentence[2:]).tokens


def test_messages_are_put_together_by_the_chat_template() -> None:
    model, tokenizer = taught()
    r = lrp.explain_text(model, tokenizer, MESSAGES, target="The")
    ids = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, return_dict=False)
    token = Token(-1, tokenizer.convert_tokens_to_ids("The"))
    plain = lrp.explain(model, {"input_ids": torch.tensor([ids])}, target=token)
    assert [piece.text for piece in r.tokens if piece.special] == ["<|start|>", "<|end|>", "<|start|>"]
    assert r.target == "'The'"  # behind the line break no space is put
    assert_same(numbers(r), plain.input["input_ids"][0])
    assert [word.text for word in r.words][:4] == ["user", "'\\n'", "Which", "city"]


def test_the_chat_template_alone_puts_special_tokens_in() -> None:
    model, tokenizer = build("llama")
    tokenizer.chat_template = "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}"
    r = lrp.explain_text(model, tokenizer, MESSAGES, target="Paris")
    assert [token.text for token in r.tokens if token.special] == ["<s>"]
    assert [word.text for word in r.words][:2] == ["Which", "city"]


def test_no_space_is_put_where_a_script_has_none() -> None:
    assert explained("gpt2", "東", target="京").target == "'京'"


def test_other_targets_and_options_are_those_of_explain() -> None:
    _, tokenizer = model_and_tokenizer("gpt2")
    ids = tokenizer(TEXT)["input_ids"]
    assert_same(numbers(explained("gpt2", target=Token(2, 7))), by_ids("gpt2", ids, Token(2, 7)))
    r = explained("gpt2", keep=["transformer.h.0"], composite=lrp.presets.cp_lrp(), ledger="calls")
    assert r.relevance["transformer.h.0"].shape == (1, len(ids), 16)
    assert r.relevance.composite.name == "cp_lrp"
    assert r.relevance.ledger is not None
    assert r.relevance.ledger.lost


@pytest.mark.parametrize("name", ["classifier", "gpt2"])
def test_model_and_tokenizer_are_left_as_they_were(name: str) -> None:
    model, tokenizer = build(name)
    state, config = copy.deepcopy(model.state_dict()), model.config.to_dict()
    generation = model.generation_config.to_dict() if name == "gpt2" else None
    words, padding = tokenizer.backend_tokenizer.to_str(), tokenizer.padding_side
    lrp.explain_text(model, tokenizer, ASKED[name], **({"generate": 3} if name == "gpt2" else {}))
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert model.config.to_dict() == config
    assert generation is None or model.generation_config.to_dict() == generation
    assert (tokenizer.backend_tokenizer.to_str(), tokenizer.padding_side) == (words, padding)


def test_the_result_in_words() -> None:
    r = explained("classifier", target="good")
    lines = str(r).splitlines()
    assert lines[0] == f"class good: {float(r.relevance.explained):.4g}"
    assert [line.split()[0] for line in lines[1:-1]] == ["Unhappily", ",", "other", "things", "are", "lost", "."]
    assert lines[-1].startswith("(special tokens)")
    assert [word.text for word in r.top(2)] == [
        word.text for word in sorted(r.words, key=lambda word: abs(word.relevance), reverse=True)[:2]
    ]
    assert "special" not in str(explained("gpt2"))


def test_every_kind_of_model_is_built() -> None:
    assert set(ASKED) <= set(MODELS)
