#!/usr/bin/env bash
# `make coverage` in one file: an environment with the libraries, the sweep (it resumes), the record and its page.
# PYTHON: an interpreter to make the environment with. ZOO: where the environment is (made if it is not there).
# Arguments go to the sweep, for example --again failed wrong, or --jobs 2.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
zoo=${ZOO:-.venv-zoo}

if [ ! -x "$zoo/bin/pip" ]; then
    "${PYTHON:-python3.11}" -m venv "$zoo"
fi
if [ ! -e "$zoo/.installed" ] || [ benchmarks/coverage/requirements.txt -nt "$zoo/.installed" ]; then
    install=("$zoo/bin/python" -m pip install --disable-pip-version-check -qq -c constraints.txt)
    "${install[@]}" torch
    # their requirements would bring another torch along
    "${install[@]}" --no-deps torchvision==0.28.0 timm==1.0.31
    "${install[@]}" -r benchmarks/coverage/requirements.txt
    touch "$zoo/.installed"
fi

export PYTHONPATH=src OMP_NUM_THREADS=1
nice -n 10 "$zoo/bin/python" -m benchmarks.coverage.sweep "$@"
"$zoo/bin/python" -m benchmarks.coverage.page
