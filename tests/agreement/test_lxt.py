"""lrp's AttnLRP against LXT's stored one, written by `make peers-lxt` (live_lxt.py): a Llama and BERT's layers."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.agreement import plain
from tests.agreement.compared import apart

GOLDEN = Path(__file__).parent / "golden" / "lxt.safetensors"
STORED = load_file(GOLDEN)


@pytest.mark.parametrize("name", plain.COMPARED)
def test_attnlrp_equals_lxt(name: str):
    """LXT adds 1e-10 to the denominators of activations' gates, which makes up for all of the difference."""
    r = plain.ours(name)
    assert apart(plain.relevance(r), STORED[name]) <= 1e-8
    torch.testing.assert_close(r.explained, STORED[f"{name}/explained"], rtol=1e-11, atol=1e-11)


def test_stored_values_say_where_they_come_from():
    with safe_open(GOLDEN, "pt") as file:
        metadata = json.loads(file.metadata()["lrp"])
    assert metadata["versions"]["lxt"] == "2.1"
    assert {"about", "versions", "seeds", "date"} <= metadata.keys()
    assert sorted(STORED) == sorted([*plain.COMPARED, *(f"{name}/explained" for name in plain.COMPARED)])
