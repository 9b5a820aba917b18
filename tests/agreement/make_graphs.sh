#!/usr/bin/env bash
# `make peers-graphs` in one file: an environment with torch_geometric, and its layers against dense adjacency matrices.
# PYTHON: an interpreter to make the environment with. GRAPHS: where the environment is (made if it is not there).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
graphs=${GRAPHS:-.venv-graphs}

if [ ! -x "$graphs/bin/pip" ]; then
    "${PYTHON:-python3.11}" -m venv "$graphs"
fi
"$graphs/bin/python" -m pip install --disable-pip-version-check -qq -c constraints.txt -r tests/agreement/requirements-graphs.txt

export PYTHONPATH=src PYTHONWARNINGS=ignore
"$graphs/bin/python" -m tests.agreement.live_graphs
