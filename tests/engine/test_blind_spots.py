"""Where LRP tools built on module hooks are wrong without a word, the truth is known; ours is the truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import lrp
from lrp import presets
from tests.cases.blind_spots import BLIND_SPOTS
from tests.engine.checks import assert_balanced, assert_same

STORED = json.loads((Path(__file__).parents[1] / "agreement" / "golden" / "peers_wrong.json").read_text())["spots"]
WRONG = [
    (spot, peer)
    for spot, stored in STORED.items()
    for peer, answer in stored["peers"].items()
    if answer["verdict"] == "wrong"
]


@pytest.mark.parametrize("name", BLIND_SPOTS)
def test_ours_is_the_truth(name: str):
    spot = BLIND_SPOTS[name]
    r = lrp.explain(spot.build(), spot.x, composite=presets.zero(), ledger="calls")
    assert_same(r.input, spot.truth())
    assert_same(r.input.sum(), r.explained.sum())
    assert_balanced(r)


@pytest.mark.parametrize("name", BLIND_SPOTS)
def test_stored_truth_is_the_truth(name: str):
    spot = BLIND_SPOTS[name]
    assert_same(torch.tensor([STORED[name]["truth"]], dtype=torch.float64), spot.truth())
    assert STORED[name]["output"] == pytest.approx(spot.build()(spot.x).item(), rel=1e-12)


@pytest.mark.parametrize(("name", "peer"), WRONG)
def test_peer_is_not(name: str, peer: str):
    answer = STORED[name]["peers"][peer]
    theirs, truth = torch.tensor([answer["relevance"]], dtype=torch.float64), BLIND_SPOTS[name].truth()
    assert (theirs - truth).abs().max() > 0.1 * truth.abs().max()
    assert answer["warnings"] == []


def test_each_of_them_is_wrong_about_something():
    assert {peer for _, peer in WRONG} == {"zennit", "captum", "autoLRP"}
    assert {name for name, _ in WRONG} == set(BLIND_SPOTS)
