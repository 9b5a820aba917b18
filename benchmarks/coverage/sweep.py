"""`lrp.explain` on every architecture, at one and the same commit; resumes where it was stopped.

python -m benchmarks.coverage.sweep [--only REGEX] [--again failed wrong] [--most 100] [--jobs 2]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

__all__ = ["in_order", "main", "read"]

RESULTS = Path(os.environ.get("COVERAGE_RESULTS", ".coverage-results.jsonl"))
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
BATCH = 100
SILENCE = 300
"""Seconds without a line after which a worker is given up."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="a regular expression for the keys, library/head/name")
    parser.add_argument("--again", nargs="*", default=[], help="which outcomes are run anew: failed wrong excluded")
    parser.add_argument("--most", type=int, default=10**6)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread and up to 12 GiB each")
    options = parser.parse_args()
    from benchmarks.coverage.worker import all_cases

    known = read()
    if others := {record["commit"] for record in known.values()} - {commit()}:
        raise SystemExit(f"{RESULTS} is of {', '.join(others)}, this is {commit()}: move the file away, or go back")
    keys = in_order([case.key for case in all_cases()])
    wanted = [k for k in keys if re.search(options.only, k) and (k not in known or known[k]["status"] in options.again)]
    Sweep(wanted[: options.most]).run(options.jobs)


def commit() -> str:
    """What is swept; where something on top of the commit is not committed, no record can be made of the results."""
    head = _git("rev-parse", "--short=10", "HEAD")
    return f"{head}-dirty" if _git("status", "--porcelain", "--", "src", "benchmarks/coverage") else head


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()


def in_order(keys: list[str]) -> list[str]:
    """First one head of each architecture, then the other heads, torchvision's large networks last; each shuffled."""
    random.Random(0).shuffle(keys)
    seen: set[tuple[str, str]] = set()
    first, later = [], []
    for key in keys:
        library, _, name = key.split("/")
        (later if (library, name) in seen else first).append(key)
        seen.add((library, name))
    return sorted(first + later, key=lambda key: key.startswith("torchvision"))


def read() -> dict[str, dict[str, Any]]:
    """The last record of each model."""
    if not RESULTS.exists():
        return {}
    return {record["key"]: record for record in map(json.loads, RESULTS.read_text().splitlines())}


class Sweep:
    def __init__(self, keys: list[str]) -> None:
        self.batches = [keys[i : i + BATCH] for i in range(0, len(keys), BATCH)]
        self.progress = tqdm(total=len(keys))
        self.commit = commit()
        self.lock = threading.Lock()

    def run(self, jobs: int) -> None:
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(self._examine, self.batches))

    def _examine(self, keys: list[str]) -> None:
        """In a process of their own; in another one behind a model that ended the first."""
        while keys:
            worker = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.coverage.worker", *keys],
                env={**os.environ, **ENVIRONMENT},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert worker.stdout is not None
            for key in keys:
                silence = threading.Timer(SILENCE, worker.kill)
                silence.start()
                line = worker.stdout.readline()
                silence.cancel()
                keys = keys[1:]
                if not line:
                    self._write({"key": key, "status": "failed", "error": f"the process ended with {worker.wait()}"})
                    break
                self._write(json.loads(line))
            worker.wait()

    def _write(self, record: dict[str, Any]) -> None:
        with self.lock, RESULTS.open("a") as file:
            file.write(json.dumps({**record, "commit": self.commit}) + "\n")
            self.progress.update()


if __name__ == "__main__":
    main()
