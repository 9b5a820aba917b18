#!/usr/bin/env bash
# `make peers-lxt` in one file: an environment with LXT and the transformers it works with, lrp against it, its stored
# values written anew, the rewrites of the same models, and transformers' state-space models against scans by hand.
# PYTHON: an interpreter to make the environment with. LXT: where the environment is (made if it is not there).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
lxt=${LXT:-.venv-lxt}
pip=("$lxt/bin/python" -m pip install --disable-pip-version-check -qq -c constraints.txt)

if [ ! -x "$lxt/bin/pip" ]; then
    "${PYTHON:-python3.11}" -m venv "$lxt"
fi
"${pip[@]}" -r tests/agreement/requirements-lxt.txt
"${pip[@]}" --no-deps lxt==2.1

export PYTHONPATH=src TRANSFORMERS_VERBOSITY=error PYTHONWARNINGS=ignore
"$lxt/bin/python" -m tests.agreement.live_lxt --write
"$lxt/bin/python" -m tests.agreement.rewrites
"$lxt/bin/python" -m tests.agreement.live_scans
