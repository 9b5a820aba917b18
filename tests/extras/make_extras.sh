#!/usr/bin/env bash
# Fresh environments with the core, the core and [report], [tables] or [hf]: `lrp explain` end to end in each, and the
# pip line where an extra is missing. EXTRAS names a folder for them (default: a temporary one, removed at the end).
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
work=${EXTRAS:-$(mktemp -d)}
[ -n "${EXTRAS:-}" ] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work/files"
python=${PYTHON:-python3}

made() { # NAME [EXTRA]: a fresh environment
    "$python" -m venv --clear "$work/$1"
    "$work/$1/bin/python" -m pip install --disable-pip-version-check -qq -c "$root/constraints.txt" "$root${2:+[$2]}"
    echo "== $1: $("$work/$1/bin/python" -m pip list --disable-pip-version-check 2>/dev/null | tail -n +3 | wc -l) packages"
}

explains() { # ENVIRONMENT WORDS...: it works, and something is printed
    "$work/$1/bin/lrp" explain "${@:2}" --format json 2> stderr > stdout || { cat stderr; exit 1; }
    "$work/$1/bin/python" -c 'import json; r = json.load(open("stdout")); assert r["samples"] and not r["failed"]
print("  explained", len(r["samples"]), "samples of", " ".join(r["inputs"]))'
}

wants() { # ENVIRONMENT EXTRA WORDS...: refused with the pip line
    if "$work/$1/bin/lrp" explain "${@:3}" 2> stderr > stdout; then echo "not refused: ${*:3}"; exit 1; fi
    grep -F "pip install \"lrp[$2]\"" stderr
}

cd "$work/files"
made core
"$work/core/bin/python" "$root/tests/extras/files.py"
explains core models.py:Image photos
explains core models.py:Image "photos/*.png" --preprocess preprocessor_config.json
for file in table.csv rows.npy rows.npz; do explains core models.py:Table $file; done
explains core models.py:Sound sound.wav
"$work/core/bin/lrp" explain models.py:Image photos --out maps --format png 2> stderr
ls maps/*.png
wants core tables models.py:Table table.parquet
wants core tables models.py:Table table.csv --out r.parquet
wants core hf hf:bert --text "a good thing"

"$work/core/bin/python" -m pip uninstall -qq -y Jinja2 # which torch brings along
wants core report models.py:Image photos --out page.html
"$work/core/bin/python" -m pip install --disable-pip-version-check -qq -c "$root/constraints.txt" "$root[report]"
"$work/core/bin/lrp" explain models.py:Image photos --out page.html 2> stderr
grep -q "<img" page.html

made tables tables
"$work/tables/bin/lrp" explain models.py:Table table.csv rows.npz --out two.parquet 2> stderr
"$work/tables/bin/python" "$root/tests/extras/files.py" table.parquet
explains tables models.py:Table table.parquet
wants tables hf hf:bert --text "a good thing"

made hf hf
"$work/hf/bin/python" "$root/tests/extras/files.py" bert 2> stderr
explains hf hf:bert --text "a good thing"
wants hf tables models.py:Table table.parquet
