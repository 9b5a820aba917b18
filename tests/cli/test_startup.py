import resource
import subprocess
import sys

import pytest


@pytest.mark.parametrize("words", [["--help"], ["explain", "--help"], ["composites", "--help"]])
def test_help_is_quick(words: list[str]) -> None:
    seconds = []
    for _ in range(5):  # the processor's time, and the best of five: other work on the machine is no fault of ours
        start = children_seconds()
        done = subprocess.run([sys.executable, "-m", "lrp.cli", *words], capture_output=True, text=True, check=True)
        seconds.append(children_seconds() - start)
    assert "Usage: lrp" in done.stdout
    assert min(seconds) < 0.2


def test_help_imports_no_torch() -> None:
    code = (
        "import sys, lrp.cli; print([m for m in ('torch', 'numpy', 'PIL', 'tqdm', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
