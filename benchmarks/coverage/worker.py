"""Examine some models in this process, and write one line each to the standard output.

python -m benchmarks.coverage.worker KEY ...
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import warnings
from typing import Any

import torch
import transformers

from benchmarks.coverage import timm_models, torchvision_models, transformers_models
from benchmarks.coverage.case import Case
from benchmarks.coverage.check import examine

__all__ = ["SECONDS", "all_cases", "main"]

LIBRARIES: dict[str, Any] = {
    "torchvision": torchvision_models,
    "timm": timm_models,
    "transformers": transformers_models,
}
SECONDS = 240
MEMORY = 12 << 30


class OutOfTime(BaseException):
    """Caught by nothing that catches errors."""


def all_cases() -> list[Case]:
    return [case for module in LIBRARIES.values() for case in module.cases()]


def main() -> None:
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the models print
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _too_long)
    for key in sys.argv[1:]:
        case = Case(*key.split("/"))
        started = time.perf_counter()
        torch.manual_seed(0)
        signal.alarm(SECONDS)
        try:
            record = examine(LIBRARIES[case.library].candidates(case))
        except OutOfTime:
            record = {"status": "failed", "error": f"longer than {SECONDS} s"}
        finally:
            signal.alarm(0)
        lines.write(json.dumps({"key": key, **record, "seconds": round(time.perf_counter() - started, 1)}) + "\n")


def _too_long(*_: Any) -> None:
    raise OutOfTime


if __name__ == "__main__":
    main()
