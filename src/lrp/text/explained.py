"""`explain_text`, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from lrp.composite import Composite
from lrp.engine.taps import Books
from lrp.errors import InputError
from lrp.explainer import Keep, explain
from lrp.relevance import Relevance
from lrp.targets.base import PLAIN, scores_in
from lrp.text.aim import Likeliest, aimed
from lrp.text.encoding import Encoded, encoded
from lrp.text.pieces import Piece, tokens_and_words

__all__ = ["TextRelevance", "explain_text"]


@dataclass(frozen=True)
class TextRelevance:
    """Relevance of one text.

    Args:
        tokens: each token with its relevance, in order; of a continuation that is explained all but the last, which
            is not read.
        words: the same with the tokens of a word added up, and without the special tokens: `sum(words) + special` is
            the sum of the tokens. Of Chinese, Japanese, Thai and others that write no spaces, each token is a word.
        target: what was explained, in words.
        relevance: the `lrp.Relevance` of the token ids, with its plan and ledger.
    """

    tokens: Sequence[Piece]
    words: Sequence[Piece]
    target: str
    relevance: Relevance

    @property
    def special(self) -> float:
        """The relevance of the special tokens: those that frame a text or a message, and masks."""
        return sum(token.relevance for token in self.tokens if token.special)

    def top(self, k: int = 10) -> list[Piece]:
        """The `k` words of largest absolute relevance."""
        return sorted(self.words, key=lambda word: -abs(word.relevance))[:k]

    def report(self, path: str | PathLike[str], **options: Any) -> None:
        """Write one self-contained HTML page, as `Relevance.report` does, with the text in colour."""
        from lrp import report

        report.write(self, path, **options)

    def __str__(self) -> str:
        rows = list(self.words)
        if any(token.special for token in self.tokens):
            rows.append(Piece("(special tokens)", self.special))
        width = max(len(row.text) for row in rows)
        lines = [f"{row.text:{width}}  {row.relevance:+.4g}" for row in rows]
        return "\n".join([f"{self.target}: {float(self.relevance.explained):.4g}", *lines])


def explain_text(
    model: Callable[..., Any],
    tokenizer: Any,
    text: str | tuple[str, str] | list[Mapping[str, str]],
    *,
    target: Any = None,
    generate: int = 0,
    composite: Composite | None = None,
    keep: Keep = (),
    positions: bool = False,
    ledger: Books = "sinks",
) -> TextRelevance:
    """Say which words of a text an output of a language model or text classifier came from.

    The token ids are the sources: the relevance of all tokens and the rows of the ledger add up to the explained
    output. What the model adds for positions and for the texts of a pair are constants in the ledger; with
    `positions=True` they are sources of their own. The model runs as it is; the tokenizer is asked for ids, places and
    names.

    Args:
        model: a module that takes what the tokenizer makes as keywords, such as one of `transformers`, in eval mode.
        tokenizer: a fast tokenizer of `transformers`, or what behaves as one: it tells each token's place in the text.
        text: a text; a pair such as (question, context); or messages, a list of `{"role": ..., "content": ...}`, which
            the tokenizer's chat template puts together, ready for the answer.
        target: what is explained.

            - None: the top class of a classifier; the top next token of a causal language model; the top token at the
              first mask of a masked one; the best answer of a question answerer, the sum of the scores of its start
              and its end in the context.
            - a string: the class of this name in `model.config.id2label`; a continuation of the text, the sum of the
              logits of its tokens, each after those before it, in one backward pass; the token at the first mask.
              A space is put before a continuation where a word follows upon a word.
            - a pair of strings: the difference of two classes, or of two words of one token each.
            - anything that `lrp.explain` takes, but for `Several`.
        generate: this many tokens are generated greedily and explained, as a continuation is.
        composite, keep, positions, ledger: as in `lrp.explain`.

    Raises:
        InputError: a text or tokenizer that cannot be used, a model with an encoder and a decoder.
        TargetError: a target that the model's output does not have, a continuation that the tokenizer cuts otherwise.
    """
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False) and hasattr(model, "generate"):
        raise InputError(
            "a model that reads one text and writes another has two inputs",
            where="model",
            seen=type(model).__name__,
            cure='lrp.explain(model, {"input_ids": ..., "decoder_input_ids": ...}, target=lrp.targets.Token())',
        )
    given, aim = aimed(model, tokenizer, encoded(model, tokenizer, text), target, generate)
    names = getattr(getattr(model, "config", None), "id2label", None) or {}
    labels = [str(names[index]) for index in sorted(names)]
    relevance = explain(
        model,
        given.inputs,
        target=aim,
        composite=composite,
        sources=["input_ids"],
        keep=keep,
        labels=labels,
        positions=positions,
        ledger=ledger,
    )
    tokens, words = tokens_and_words(tokenizer, given, relevance.input["input_ids"][0].tolist())
    return TextRelevance(tokens, words, _in_words(tokenizer, given, relevance, labels), relevance)


def _in_words(tokenizer: Any, given: Encoded, relevance: Relevance, labels: Sequence[str]) -> str:
    """What was explained: of the likeliest answer, token or class its name."""
    target, output = relevance.target, relevance.output
    if not isinstance(target, Likeliest):
        return str(target)
    answer = target.answer(output)
    if answer is not None:
        first, last = (given.places[position] for position in answer)
        return repr(given.texts[-1][first.start : last.end])
    assert relevance.indices is not None  # of one token or class
    index = int(relevance.indices[0])
    if scores_in(output, PLAIN).dim() == 3:
        return repr(tokenizer.decode([index]))
    return labels[index] if index < len(labels) else f"class {index}"
