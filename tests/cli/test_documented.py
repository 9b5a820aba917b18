"""docs/cli.md names every key of the JSON, and no other; its commands run."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from tests.cases.texts import build
from tests.extras import files

Cli = Callable[..., Result]
PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
PER_TARGET = {"asked", "explained", "target", "class", "layers", "inputs", "ledger"}

pytestmark = pytest.mark.filterwarnings("ignore:.*the map may be noise:lrp.LRPWarning")


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


def first_column(heading: str) -> list[str]:
    """What stands in backticks in the first column of the table under a heading."""
    part = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0] for line in part.splitlines() if line.startswith("| `")]
    return [words for row in rows for words in re.findall("`(.*?)`", row)]


def save(name: str, folder: Path) -> None:
    for part in build(name):
        part.save_pretrained(folder)


def test_the_commands_run(lrp_cli: Cli, tmp_path: Path) -> None:
    files.core()
    files.parquet()
    save("classifier", tmp_path / "bert")
    for command in first_column("One of each"):
        result = lrp_cli(*shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}\n{result.output}"
    made = [path.name for path in (*tmp_path.glob("re*.*"), *tmp_path.glob("maps/*"))]
    pictures = [f"{name}-{kind}.png" for name in ("cat", "dog") for kind in ("heatmap", "overlay")]
    assert sorted(made) == sorted([*pictures, "relevance.csv", "relevance.npz", "relevance.parquet", "report.html"])


def test_every_key_is_on_the_page(lrp_cli: Cli, tutorial: list[str], tmp_path: Path) -> None:
    save("classifier", tmp_path / "bert")
    (tmp_path / "bad.csv").write_text("age,kind\n1,benign\n")
    np.save(tmp_path / "none.npy", np.zeros((1, 10)))
    several = [tutorial[0], tutorial[1], "bad.csv", *tutorial[2:], "--layers", "all"]
    runs = [
        [*several, "--reference-output", "0.5"],
        [tutorial[0], "none.npy", *tutorial[2:], "--reference", "none.npy"],
        ["hf:bert", "--text", "lost things", "--positions"],
    ]
    read = [json.loads(lrp_cli("explain", *words, "--format", "json").stdout) for words in runs]
    found = {key for each in read for key in keys_in(each)}
    assert found == {key.removesuffix("[]") for key in first_column("JSON")} - {"samples[].targets"}

    (tmp_path / "net.py").write_text("from torch import nn\nnet = nn.Linear(10, 3)\n")
    np.save(tmp_path / "x.npy", np.ones((1, 10)))
    targets = ["--target", "0", "--target", "top"]
    sample = json.loads(lrp_cli("explain", "net.py:net", "x.npy", *targets, "--format", "json").stdout)["samples"][0]
    assert {*sample["targets"][0]} == PER_TARGET
    assert not {*sample} & PER_TARGET
