"""lrp's rules one by one against zennit's stored maps, written by `make peers` (write_golden.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

import lrp
from lrp import on, rules
from tests.agreement.compared import BOX, HIDDEN, apart, hidden_flat
from tests.agreement.one_rule import ONE_RULE, OneRule
from tests.cases.networks import CASES

STORED = load_file(Path(__file__).parent / "golden" / "zennit_rules.safetensors")
RULES: dict[str, Callable[[], rules.Rule]] = {
    "Epsilon": lambda: rules.Epsilon(1e-6),
    "Gamma": lambda: rules.Gamma(0.25),
    "AlphaBeta21": lambda: rules.AlphaBeta(2.0, 1.0),
    "AlphaBeta10": lambda: rules.AlphaBeta(1.0, 0.0),
    "ZPlus": lambda: rules.ZPlus(),
    "Flat": lambda: rules.Flat(),
    "WSquare": lambda: rules.WSquare(),
    "Box": lambda: rules.Box(*BOX),
}


@pytest.mark.parametrize("case", ONE_RULE, ids=lambda case: case.name)
def test_rule_equals_zennit(case: OneRule) -> None:
    entries = [("ruled", RULES[case.rule]())]
    if case.place != "source":
        entries.append(("below", rules.Epsilon(1e-6)))
    if case.place == "relu":
        entries.append((on.activation, rules.Pass()))
    r = lrp.explain(case.build(), case.inputs(), target=case.explained, composite=lrp.Composite(entries), ledger=False)
    assert apart(r.input, STORED[case.name]) <= 1e-13


@pytest.mark.parametrize("network", HIDDEN)
def test_hidden_flat_equals_zennit(network: str) -> None:
    case = CASES[network]
    r = lrp.explain(case.build(), case.agreement_inputs(), composite=hidden_flat(network), ledger=False)
    assert apart(r.input, STORED[f"hidden_flat/{network}"]) <= 1e-10


def test_every_stored_map_is_compared() -> None:
    assert STORED.keys() == {case.name for case in ONE_RULE} | {f"hidden_flat/{network}" for network in HIDDEN}
