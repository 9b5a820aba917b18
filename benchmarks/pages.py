"""Tables of pages of the documentation that show records side by side.

python -m benchmarks.pages
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.report import read_record, table, write_section

__all__ = ["PAGES", "TABLES"]

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs"
PRESETS = (
    *("auto", "zero", "epsilon", "epsilon_plus", "epsilon_plus_flat", "epsilon_gamma", "epsilon_gamma_box"),
    *("epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "excitation_backprop", "attnlrp", "cp_lrp", "reslrp"),
    *("gradient x input", "random order"),
)


def presets() -> list[str]:
    """How faithful each preset's maps were, and how long they took."""
    faithfulness, real, speed = (read_record(name) for name in ("faithfulness", "real", "speed"))
    gains = [faithfulness["digits"], faithfulness["photographs"], real["sentiment"], real["next_token"]]
    times = speed["ratios"]["resnet18"]

    def row(name: str) -> list[str]:
        shown = [f"{part['methods'][name]['srg']:.2f}" if name in part["methods"] else "" for part in gains]
        time = f"{times[name]['ledger']['processor']:.2f}" if name in times else ""
        return [name if " " in name else f"`{name}`", *shown, time]

    networks = ("digits: CNN", "photographs: EfficientNet-Lite0", "sentiment: MiniLM", "next token: SmolLM2")
    return table(["", *networks, "time: ResNet-18"], [row(name) for name in PRESETS])


def blind_spots() -> list[str]:
    """What other tools say of small models whose relevance is known."""
    said = json.loads((ROOT / "tests" / "agreement" / "golden" / "peers_wrong.json").read_text())

    def numbers(relevance: list[float]) -> str:
        return ", ".join(f"{round(value, 2) + 0.0:.2f}" for value in relevance)

    def answer(spot: dict[str, dict[str, dict[str, object]]], peer: str) -> str:
        found = spot["peers"][peer]
        shown = numbers(found["relevance"]) if "relevance" in found else "refuses"  # type: ignore[arg-type]  # read from JSON
        return f"**{shown}**" if found["verdict"] == "right" else shown

    peers = ("zennit", "captum", "autoLRP")
    rows = [
        [f"`{spot['why']}`" if " " not in spot["why"] or "(" in spot["why"] else spot["why"], numbers(spot["truth"])]
        + [answer(spot, peer) for peer in peers]
        for spot in said["spots"].values()
    ]
    versions = (f"{peer} {said['versions'][peer]}" for peer in peers)
    return table(["the model uses", "by hand, and lrp", *versions], rows)


def speed() -> list[str]:
    """Time over gradient x input, without and with the ledger."""
    ratios = read_record("speed")["ratios"]
    networks = {
        "vgg11_bn": "VGG-11 with batch norm",
        "resnet18": "ResNet-18",
        "efficientnet_lite0": "EfficientNet-Lite0",
    }
    names = ("zero", "epsilon_plus_flat", "epsilon_gamma_box")

    def both(network: str, preset: str) -> str:
        return " / ".join(f"{ratios[network][preset][books]['processor']:.2f}" for books in ("no ledger", "ledger"))

    rows = [[words, *(both(network, name) for name in names)] for network, words in networks.items()]
    return table(["", *(f"`{name}`" for name in names)], rows)


TABLES = {
    "presets": ("presets.md", presets),
    "blind_spots": ("coming_from.md", blind_spots),
    "speed": ("performance.md", speed),
}
"""The name of each table, its page and what makes it."""

if __name__ == "__main__":
    for name, (page, lines) in TABLES.items():
        write_section(name, lines(), PAGES / page)
