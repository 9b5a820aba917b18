"""The sections of docs/evidence.md that `real.py` writes, out of its record."""

from __future__ import annotations

from typing import Any

from benchmarks.report import table

__all__ = ["tables"]


def tables(record: dict[str, Any]) -> dict[str, list[str]]:
    """The lines of each section whose parts were all run."""
    found = {"real_books": _books, "real_words": _words, "real_deletion": _deletion}
    needs = {"real_books": {"books"}, "real_words": {"facts", "reviews"}, "real_deletion": {"sentiment", "next_token"}}
    return {name: make(record) for name, make in found.items() if needs[name] <= record.keys()}


def _books(record: dict[str, Any]) -> list[str]:
    head = ["network, and what it says", "`auto` took", "residual, float32", "float64", "explained", "sources", "kept"]
    rows = [
        [
            f"{name}: {row['says']}",
            f"`{row['preset']}`",
            f"{row['residual / scale, float32']:.0e}",
            f"{row['residual / scale, float64']:.0e}",
            f"{row['explained']:.2f}",
            f"{row['sources']:.2f}",
            ", ".join(f"{kind} {amount:.2f}" for kind, amount in row["kept"].items() if abs(amount) >= 0.005),
        ]
        for name, row in record["books"]["networks"].items()
    ]
    refused = [f"Refused: {name} (`{error}`)." for name, error in record["books"]["refused"].items()]
    return [*table(head, rows), "", *refused]


def _words(record: dict[str, Any]) -> list[str]:
    prompts, reviews = record["facts"]["prompts"], record["reviews"]["reviews"]
    shown = [name for name in next(iter(reviews.values())) if name != "says"]
    of_prompts = [
        [f"{prompt} **{row['says']}**", *(f"{row[name]['leads']}: {row[name]['tokens']}" for name in shown)]
        for prompt, row in prompts.items()
    ]
    of_reviews = [[f"{review} **{row['says']}**", *(row[name] for name in shown)] for review, row in reviews.items()]
    return [
        *table(["prompt **next token**", *(f"{name}: leading content word, all tokens" for name in shown)], of_prompts),
        "",
        *table(["review **class**", *(f"{name}: largest" for name in shown)], of_reviews),
    ]


def _deletion(record: dict[str, Any]) -> list[str]:
    sentiment, prompts = record["sentiment"], record["next_token"]
    accuracy = f"accuracy {sentiment['accuracy']:.3f} on all {sentiment['held_out']} held out"
    return [
        f"**Sentiment: MiniLM, {sentiment['texts']} sentences, {accuracy}**",
        "",
        *_gains(sentiment),
        "",
        f"**Next token: SmolLM2-135M-Instruct, {prompts['texts']} prompts**",
        "",
        *_gains(prompts),
    ]


def _gains(record: dict[str, Any]) -> list[str]:
    against = ["p above random", "p above gradient x input", "p above auto"]
    head = ["method", "SRG", "texts above random", *against, "map / explained"]
    best_first = sorted(record["methods"].items(), key=lambda item: -item[1]["srg"])
    rows = [
        [
            name,
            f"{row['srg']:.2f} ± {row['standard_error']:.2f}",
            f"{row['above_random']:.1%}",
            *(f"{row[key.replace(' ', '_')]:.1g}" for key in against),
            "" if row["median_share_of_explained"] is None else f"{row['median_share_of_explained']:.0%}",
        ]
        for name, row in best_first
    ]
    return table(head, rows)
