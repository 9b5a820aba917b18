"""Completion by click's protocol, as a shell asks for it; and what is misspelt is answered with what is near."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from lrp import presets
from lrp.cli.completion import preset_names

Cli = Callable[..., Result]


def completed(folder: Path, *words: str) -> list[str]:
    """Ask as bash does, in a process of its own, which must not import torch."""
    code = "import sys; sys.argv = ['lrp']\nfrom lrp.cli import main\ntry:\n    main(prog_name='lrp')\nfinally:\n"
    code += "    assert 'torch' not in sys.modules"
    asked = {"_LRP_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["lrp", *words]), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_a_shell_completes(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("tabby\ntiger\ntop hat\n")
    assert completed(tmp_path, "expl") == ["explain"]
    words = ["explain", "net.py:Net", "x.png"]
    assert completed(tmp_path, *words, "--composite", "epsilon_p") == ["epsilon_plus", "epsilon_plus_flat"]
    assert completed(tmp_path, *words, "--target", "to") == ["top", "top:", "token:"]
    assert completed(tmp_path, *words, "--labels", "labels.txt", "--target", "t")[3:] == ["tabby", "tiger", "top hat"]
    assert completed(tmp_path, *words, "--labels", "absent", "--target", "diff") == ["diff:"]
    assert completed(tmp_path, *words, "--format", "p") == ["parquet", "png"]


def test_the_presets_are_those_there_are() -> None:
    assert preset_names() == sorted(presets.__all__)


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["--format", "jsno"], "'json'"),
        (["--target", "difff:0,1"], "'diff:0,1'"),
        (["--composite", "epsilonn"], "'epsilon'"),
        (["--layers", "fc22"], "fc2"),
    ],
)
def test_what_is_misspelt_is_answered_with_what_is_near(
    lrp_cli: Cli, tutorial: list[str], words: list[str], near: str
) -> None:
    result = lrp_cli("explain", *tutorial, *words)
    assert result.exit_code == 2
    assert near in result.stderr
