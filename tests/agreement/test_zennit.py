"""lrp's maps against zennit's stored ones, written by `make peers` (write_golden.py)."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import lrp
from tests.agreement.compared import NETWORKS, PRESETS, apart
from tests.cases.networks import CASES

GOLDEN = Path(__file__).parent / "golden" / "zennit.safetensors"
STORED = load_file(GOLDEN)
MAPS = [key.split("/") for key in sorted(STORED) if not key.endswith("/output")]


@pytest.mark.parametrize(("network", "composite"), MAPS, ids=["-".join(each) for each in MAPS])
def test_preset_equals_zennit(network, composite):
    case = CASES[network]
    r = lrp.explain(case.build(), case.agreement_inputs(), composite=PRESETS[composite](), ledger=False)
    assert apart(r.input, STORED[f"{network}/{composite}"]) <= 1e-10
    torch.testing.assert_close(r.explained, STORED[f"{network}/output"].max(1).values, rtol=1e-12, atol=0)


@pytest.mark.parametrize("network", NETWORKS)
def test_stored_values_belong_to_these_networks(network):
    """If this fails, a network or the random stream changed: `make peers` writes the values anew."""
    case = CASES[network]
    output = case.build()(case.agreement_inputs())
    torch.testing.assert_close(output, STORED[f"{network}/output"], rtol=1e-11, atol=1e-11)


def test_stored_values_say_where_they_come_from():
    with safe_open(GOLDEN, "pt") as file:
        metadata = json.loads(file.metadata()["lrp"])
    assert metadata["versions"]["zennit"] == "0.5.1"
    assert {"about", "versions", "seeds", "date"} <= metadata.keys()
    assert sorted(MAPS) == sorted([network, composite] for network in NETWORKS for composite in PRESETS)
