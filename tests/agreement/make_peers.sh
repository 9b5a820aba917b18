#!/usr/bin/env bash
# `make peers` in one file: an environment with the peers, their stored values written anew, then lrp against them.
# PYTHON: an interpreter to make the environment with. PEERS: where the environment is (made if it is not there).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
peers=${PEERS:-.venv-peers}

if [ ! -x "$peers/bin/pip" ]; then
    "${PYTHON:-python3.11}" -m venv "$peers"
fi
"$peers/bin/python" -m pip install --disable-pip-version-check -qq -c constraints.txt -r tests/agreement/requirements-peers.txt

export PYTHONPATH=src
"$peers/bin/python" -m tests.agreement.write_golden
"$peers/bin/python" -m tests.agreement.known_wrong
"$peers/bin/python" -m tests.agreement.live
"$peers/bin/python" -m tests.agreement.speed
