"""A newcomer's path, README -> docs/start.md -> a model file of one's own, run as a script in a folder of its own."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_HERE = ("pip ", "make ", "lrp app")
"""What begins so has been done where this test runs, or runs until it is stopped."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples, and `python` and `lrp` on the path."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    for name, words in (("python", ""), ("lrp", "-m lrp.cli")):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def run(command: str, folder: Path) -> str:
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_doctests(text: str, folder: Path) -> None:
    """The `>>>` lines of a page as one script."""
    examples = doctest.DocTestParser().get_examples(text)
    (folder / "page.py").write_text("".join(example.source for example in examples))
    run("python page.py", folder)


def commands(shell: str) -> Iterator[str]:
    """The commands of a shell block, without what is not for here."""
    for line in shell.replace("\\\n", " ").splitlines():
        command = line.partition(" # ")[0].strip()
        if command and not command.startswith(NOT_HERE):
            yield command


def test_the_lines_of_the_readme(folder: Path) -> None:
    text = (ROOT / "README.md").read_text()
    run_doctests(text, folder)
    blocks = re.findall(r"(?<=\n\n)(?: {4}.*\n)+", text)
    said = [command for block in blocks for command in commands(block)]
    assert sum(command.startswith("lrp ") for command in said) >= 4
    for command in said:
        run(command, folder)


FENCE = re.compile(
    r"```\{code-block\} \w+\n:caption: (?P<file>\S+)\n\n(?P<content>.*?)```"
    r"|```sh\n(?P<shell>.*?)```(?:\s*```text\n(?P<said>.*?)```)?",
    re.DOTALL,
)


def test_the_start_page_to_a_model_of_ones_own(folder: Path) -> None:
    text = (ROOT / "docs" / "start.md").read_text()
    run_doctests(text, folder)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    ran = []
    for block in FENCE.finditer(text):
        if block["file"]:
            (folder / block["file"]).write_text(block["content"])
            continue
        said = "".join(run(command, folder) for command in commands(block["shell"]))
        if block["said"]:
            assert doctest.OutputChecker().check_output(block["said"], said, flags), said
        ran += commands(block["shell"])
    assert [command.split()[0] for command in ran] == ["lrp", "python", "lrp"]
    assert (folder / "relevance.csv").read_text().count("\n") > 8
