"""Trained networks out of other people's packages: do the books balance, and do maps name the tokens that count?

    make real               # about 40 minutes of one core's time, in an environment of its own
    make real PARTS=books   # or facts, reviews, sentiment, next_token

writes `records/real.json` and its tables in docs/evidence.md. `deletion.py` has the protocol of the last two parts,
`real_networks.py` and `texts.py` have the networks.
"""

from __future__ import annotations

import argparse
import copy
import warnings
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

import lrp
from benchmarks.deletion import gains
from benchmarks.faithfulness import BASELINE, RANDOM, SEEDS, beside, order_by_relevance, p_above, random_order
from benchmarks.real_networks import NETWORKS, Subject, silero_script, vowel
from benchmarks.real_tables import tables
from benchmarks.report import made_with, read_record, write_record, write_section
from benchmarks.texts import TextModel, held_out, language_model, prompts, sentiment
from lrp import presets, rules
from lrp.targets import Target

SENTENCES = 300
SAME_HERE = {
    *("epsilon_plus", "epsilon_gamma", "epsilon_alpha2_beta1"),  # epsilon
    *("epsilon_alpha2_beta1_flat", "epsilon_gamma_box"),  # epsilon_plus_flat, epsilon
    *("lrp_all", "mamba_lrp"),  # cp_lrp, zero
}
"""Presets that are another one on networks without convolutions, recurrence and state spaces, such as these."""
SHOWN = ("auto", "cp_lrp", BASELINE)
FACTS = {
    "The capital of France is": ("capital", "France"),
    "The opposite of hot is": ("opposite", "hot"),
    "The chemical symbol for hydrogen is": ("chemical", "symbol", "hydrogen"),
    "The Eiffel Tower is located in the city of": ("E", "iffel", "Tower", "located", "city"),
}
"""Prompts, and the tokens in them that are content words."""
REVIEWS = (
    "A wonderful little film, warm and funny from the first minute to the last.",
    "The plot makes no sense and the actors look bored.",
    "The food was cold and the waiter was rude, but the view is lovely.",
    "I would not buy this phone again.",
    "It is not bad at all.",
    "Best headphones I have ever owned.",
)

Method = Callable[[TextModel, Tensor, Target], Tensor]
"""A map of the tokens of one text, (T,)."""


def books() -> dict[str, Any]:
    """Every network explained by default, and one refused."""
    found = {name: balance(load()) for name, load in NETWORKS.items()}
    found["MiniLM sentiment"] = balance(subject(sentiment(), REVIEWS[0]))
    found["SmolLM2-135M"] = balance(subject(language_model(), next(iter(FACTS))))
    return {"networks": found, "refused": {"silero-vad as TorchScript": refusal()}}


def subject(text_model: TextModel, text: str) -> Subject:
    ids, _, target = text_model.read(text)
    says = f"{text!r}: {text_model.says(target)}"
    return Subject(text_model.model, text_model.inputs(ids), target, says, text_model.names(ids))


def balance(of: Subject) -> dict[str, Any]:
    """The books of an explanation by default, in float32 and float64."""
    found: dict[str, Any] = {"says": of.says}
    for dtype in (torch.float32, torch.float64):
        floating = isinstance(of.inputs, Tensor) and of.inputs.is_floating_point()
        inputs = of.inputs.to(dtype) if floating else of.inputs
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", lrp.LRPWarning)
            r = lrp.explain(copy.deepcopy(of.model).to(dtype), inputs, target=of.target)
        ledger = r.ledger
        found |= {
            f"residual / scale, {str(dtype).removeprefix('torch.')}": float((ledger.residual / ledger.scale).abs()),
            "preset": r.composite.name,
            "explained": float(r.explained.sum()),
            "sources": float(ledger.sources),
            "kept": {kind: float(amount) for kind, amount in ledger.by_kind().items()},
            "amplification": float(ledger.amplification),
            "warnings": [str(one.message) for one in said],
            "notes": list(r.notes),
        }
    if of.words:
        found["words"] = most_relevant(of.words, of_elements(r))
    return found


def of_elements(r: lrp.Relevance) -> Tensor:
    """The relevance of the elements of the first input, of one sample."""
    relevance = r.input
    if isinstance(relevance, dict):
        relevance = relevance["input_ids"]
    return (relevance[0] if isinstance(relevance, tuple) else relevance)[0]


def refusal() -> str:
    """What is said of a network that is TorchScript."""
    try:
        lrp.explain(silero_script(), (vowel(0.032)[None], 16000))
    except lrp.LRPError as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    raise AssertionError("TorchScript was explained")


def most_relevant(names: Sequence[str], relevance: Tensor, most: int = 6) -> str:
    """The words with the largest absolute relevance; neighbours of one name are one word."""
    runs = groupby(zip(names, relevance.tolist(), strict=True), key=lambda pair: pair[0])
    words = [(name, sum(amount for _, amount in run)) for name, run in runs]
    return listed(sorted(words, key=lambda word: -abs(word[1]))[:most])


def listed(words: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{word.strip()} {amount:.2f}" for word, amount in words)


def gradient_times_input(text_model: TextModel, ids: Tensor, target: Target) -> Tensor:
    vectors = text_model.embedding(ids).detach().requires_grad_()
    hook = text_model.embedding.register_forward_hook(lambda *_: vectors)
    explained = target.explained(text_model.model(**text_model.inputs(ids)))
    hook.remove()
    (gradient,) = torch.autograd.grad(explained.sum(), vectors)
    return (gradient * vectors.detach()).sum(2)[0]


def by(composite: lrp.Composite | None) -> Method:
    def explain(text_model: TextModel, ids: Tensor, target: Target) -> Tensor:
        return of_elements(lrp.explain(text_model.model, text_model.inputs(ids), target=target, composite=composite))

    return explain


def methods(text_model: TextModel, some: Sequence[str] = ()) -> dict[str, Method]:
    """Every preset that is no other one here, and gradient x input; or some of them."""
    names = [name for name in presets.__all__ if name not in SAME_HERE]
    found = {name: by(None if name == "auto" else getattr(presets, name)()) for name in names}
    if text_model.gated:
        constant = (text_model.gated, rules.SignalTakesAll(signal=1))
        as_lxt = lrp.Composite([constant, *presets.cp_lrp().entries], strict=False)
        found["cp_lrp, activated branch constant"] = by(as_lxt)
    found[BASELINE] = gradient_times_input
    return {name: method for name, method in found.items() if not some or name in some}


def facts() -> dict[str, Any]:
    """The relevance of the tokens of prompts, and which of the content words leads."""
    text_model = language_model()
    told: dict[str, Any] = {}
    for prompt, content in FACTS.items():
        ids, _, target = text_model.read(prompt)
        names = [name.strip() for name in text_model.names(ids)]
        told[prompt] = {"says": text_model.says(target)}
        for name, method in methods(text_model, SHOWN).items():
            words = list(zip(names, method(text_model, ids, target).tolist(), strict=True))
            leader, _ = max((word for word in words if word[0] in content), key=lambda word: word[1])
            told[prompt][name] = {"leads": leader, "tokens": listed(words)}
    return {"prompts": told}


def reviews() -> dict[str, Any]:
    """The words of reviews with the largest relevance."""
    text_model = sentiment()
    told: dict[str, Any] = {}
    for review in REVIEWS:
        ids, _, target = text_model.read(review)
        told[review] = {"says": text_model.says(target)}
        for name, method in methods(text_model, SHOWN).items():
            told[review][name] = most_relevant(text_model.names(ids), method(text_model, ids, target))
    return {"reviews": told}


def on_sentences() -> dict[str, Any]:
    text_model = sentiment()
    texts, labels = held_out()
    top = torch.tensor([text_model.read(text)[2].a for text in texts])
    accuracy = round(float((top == labels).double().mean()), 3)
    return {"held_out": len(texts), "accuracy": accuracy} | by_deletion(text_model, texts[:SENTENCES])


def on_prompts() -> dict[str, Any]:
    return by_deletion(language_model(), prompts())


def by_deletion(text_model: TextModel, texts: Sequence[str]) -> dict[str, Any]:
    """The protocol of `deletion.py`: SRG and its tests, by method."""
    found = [of_text(text_model, text, number) for number, text in enumerate(tqdm(texts))]
    gained = {name: torch.tensor([gain[name] for gain, _ in found], dtype=torch.float64) for name in found[0][0]}
    shares = {name: torch.tensor([share[name] for _, share in found]).median().item() for name in found[0][1]}
    rows = {
        name: {
            **beside(gain, gained),
            "p_above_auto": p_above(gain, gained["auto"]),
            "median_share_of_explained": round(shares[name], 4) if name in shares else None,
        }
        for name, gain in gained.items()
    }
    return {"texts": len(texts), "methods": rows}


def of_text(text_model: TextModel, text: str, number: int) -> tuple[dict[str, float], dict[str, float]]:
    """SRG by method, and the share of the explained output that each map adds up to."""
    ids, deletable, target = text_model.read(text)
    maps = {name: method(text_model, ids, target) for name, method in methods(text_model).items()}
    orders = {name: order_by_relevance(relevance[None, deletable])[0] for name, relevance in maps.items()}
    seeds = {f"seed {seed}": 1000 * number + seed for seed in SEEDS}
    at_random = {name: random_order(1, int(deletable.sum()), seed)[0] for name, seed in seeds.items()}

    def value(gone: Tensor) -> Tensor:
        of_all = torch.zeros(len(gone), ids.shape[1], dtype=torch.bool)
        of_all[:, deletable] = gone
        return text_model.value(ids, of_all, target)

    gained = gains(orders | at_random, value)
    mean = sum(gained.pop(name) for name in at_random) / len(at_random)
    explained = value(torch.zeros(1, int(deletable.sum()), dtype=torch.bool)).item()
    return gained | {RANDOM: mean}, {name: relevance.sum().item() / explained for name, relevance in maps.items()}


PARTS = {"books": books, "facts": facts, "reviews": reviews, "sentiment": on_sentences, "next_token": on_prompts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all unless said")
    parts = parser.parse_args().parts or list(PARTS)
    torch.set_num_threads(1)
    versions = made_with("torch", "transformers", "scipy")
    for part in parts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", lrp.LRPWarning)  # some presets amplify, and the table shows what that does
            measured = versions | PARTS[part]()
        record = {name: kept for name, kept in read_record("real").items() if name != part} | {part: measured}
        write_record("real", record)
        for name, lines in tables(record).items():
            write_section(name, lines)
            print("\n".join(["", *lines]))


if __name__ == "__main__":
    main()
