"""The app with small models, in a process of its own that notes every address it asks for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cases.texts import build

MODELS = """
import torch
from torch import nn

torch.manual_seed(0)


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


class Table(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))


class Broken(nn.Module):
    def forward(self, x):
        raise RuntimeError("no file /home/somebody/secret/weights.bin")
"""

HOSTILE = '<img src=x onerror="document.title=`owned`">'
LABELS = f"cat\n{HOSTILE}\n${{document.title='owned'}}{{{{7*7}}}}\n"

START = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        with open({log!r}, "a") as file:
            print(event, arguments[1] if event == "socket.connect" else arguments[0], file=file)

sys.addaudithook(watch)
from lrp.cli import main
main(sys.argv[1:])
"""


@dataclass(frozen=True)
class Served:
    """A running app: its address, a folder for files, and the notes of what it asked for."""

    address: str
    folder: Path
    log: Path

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def reader(folder: Path) -> Path:
    """A classifier of texts with its tokenizer, saved as transformers does."""
    model, tokenizer = build("classifier")
    model.float().save_pretrained(folder / "reader")
    tokenizer.save_pretrained(folder / "reader")
    return folder / "reader"


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Start it and stop it; it must then have deleted what was uploaded."""
    (folder / "nets.py").write_text(MODELS)
    (folder / "labels.txt").write_text(LABELS)
    log = folder / "asked.txt"
    log.touch()
    models = [f"{folder / 'nets.py'}:{name}" for name in ("Net", "Table", "Broken")] + [f"hf:{reader(folder)}"]
    command = [sys.executable, "-c", START.format(log=str(log)), "app", *models, "--port", "0"]
    command += ["--labels", str(folder / "labels.txt"), "--size", "32"]
    (folder / "tmp").mkdir()
    with (folder / "stderr.txt").open("w") as errors:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "tmp")}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("http://127.0.0.1:"), (folder / "stderr.txt").read_text()
            yield Served(line.split()[0], folder, log)
        finally:
            process.terminate()
            process.communicate(timeout=20)
    assert process.returncode == 0
    assert not list((folder / "tmp").glob("lrp-app-*")), "uploads outlive the app"
