"""docs/cli.md names every key of the JSON, and no other."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from tests.cases.texts import build

Cli = Callable[..., Result]
PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
PER_TARGET = {"asked", "explained", "target", "class", "layers", "inputs", "ledger"}


def keys_in(value: Any, at: str = "") -> Iterator[str]:
    """Yield the path of every key that leads to a number, text or list of them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from keys_in(inner, f"{at}.{key}".lstrip("."))
    elif value == []:  # of what, another run shows
        return
    elif isinstance(value, list) and isinstance(value[0], dict):
        for inner in value:
            yield from keys_in(inner, f"{at}[]")
    else:
        yield at


def documented() -> set[str]:
    part = PAGE.read_text().split("\n## JSON\n")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0] for line in part.splitlines() if line.startswith("| `")]
    return {name.removesuffix("[]") for row in rows for name in re.findall("`(.*?)`", row)}


@pytest.mark.filterwarnings("ignore:.*the map may be noise:lrp.LRPWarning")
def test_every_key_is_on_the_page(lrp_cli: Cli, tutorial: list[str], tmp_path: Path) -> None:
    model, tokenizer = build("classifier")
    model.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    (tmp_path / "bad.csv").write_text("age,kind\n1,benign\n")
    np.save(tmp_path / "none.npy", np.zeros((1, 10)))
    several = [tutorial[0], tutorial[1], "bad.csv", *tutorial[2:], "--layers", "all"]
    runs = [
        [*several, "--reference-output", "0.5"],
        [tutorial[0], "none.npy", *tutorial[2:], "--reference", "none.npy"],
        ["hf:bert", "--text", "lost things"],
    ]
    read = [json.loads(lrp_cli("explain", *words, "--format", "json").stdout) for words in runs]
    found = {key for each in read for key in keys_in(each)}
    assert found == documented() - {"samples[].targets"}

    (tmp_path / "net.py").write_text("from torch import nn\nnet = nn.Linear(10, 3)\n")
    np.save(tmp_path / "x.npy", np.ones((1, 10)))
    targets = ["--target", "0", "--target", "top"]
    sample = json.loads(lrp_cli("explain", "net.py:net", "x.npy", *targets, "--format", "json").stdout)["samples"][0]
    assert {*sample["targets"][0]} == PER_TARGET
    assert not {*sample} & PER_TARGET
