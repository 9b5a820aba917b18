"""Write golden/peers_wrong.json: what the peers say where the truth is known (peers environment).

The models and the truths are in tests/cases/blind_spots.py. A peer is *right* within 1e-5 of the truth's largest
entry (their stabilisers of up to 1e-6 are no fault), *refuses* if it raises, and is *wrong* if it returns other
numbers without a word.
"""

from __future__ import annotations

import datetime
import json
import warnings
from pathlib import Path

from tests.agreement.peers import PEERS, versions
from tests.cases.blind_spots import BLIND_SPOTS, BlindSpot

FILE = Path(__file__).parent / "golden" / "peers_wrong.json"


def ask(peer: str, spot: BlindSpot) -> dict[str, object]:
    truth = spot.truth()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            relevance = PEERS[peer](spot.build(), spot.x)
        except Exception as error:
            return {"verdict": "refuses", "says": f"{type(error).__name__}: {error}"}
    apart = ((relevance - truth).abs().max() / truth.abs().max()).item()
    return {
        "verdict": "right" if apart < 1e-5 else "wrong",
        "relevance": relevance[0].tolist(),
        "sum": relevance.sum().item(),
        "error": apart,
        "warnings": sorted({str(warning.message) for warning in caught}),
    }


def main() -> None:
    spots = {}
    print("relevance of the three inputs; a right map sums to the output")
    for spot in BLIND_SPOTS.values():
        truth, answers = spot.truth()[0].tolist(), {peer: ask(peer, spot) for peer in PEERS}
        output = spot.build()(spot.x).item()
        spots[spot.name] = {"why": spot.why, "output": output, "truth": truth, "peers": answers}
        print(f"\n{spot.why}: output {output:.6g}\n  {'truth':8} {'':8} {show(truth)}")
        for peer, answer in answers.items():
            said = answer["says"] if answer["verdict"] == "refuses" else show(answer["relevance"])
            print(f"  {peer:8} {answer['verdict']:8} {said}")
    about = {"versions": versions("zennit", "captum", "autoLRP", "torch"), "date": datetime.date.today().isoformat()}
    FILE.write_text(json.dumps(about | {"spots": spots}, indent=1) + "\n")


def show(relevance: list[float]) -> str:
    return " ".join(f"{value:9.4f}" for value in relevance) + f"   sum {sum(relevance):9.4f}"


if __name__ == "__main__":
    main()
