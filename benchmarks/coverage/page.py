"""The sweep's record and docs/coverage.md: counts by library and head, and every failure by name with its cause.

python -m benchmarks.coverage.page
"""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.coverage.sweep import read

__all__ = ["causes", "main", "page", "record_of", "summary"]

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"
Record = dict[str, Any]
HOW = """\
Each model is built small, with random weights, norm statistics and biases, and explained on two random samples by
`lrp.explain(model, inputs, target=...)`, with nothing registered and nothing edited. It counts as explained where

- the ledger's residual is at most 1e-6 of its scale; 1e-4 for large models and those that run in float32 only;
- no number is NaN, the explained output is the model's own, and the model is left as it was;
- a batch of two gives what two single samples give (compared for {batches} models);
- eager attention gives what fused attention gives (compared for the {eager} that have both).

A model is excluded where its own forward and backward pass does not run here. Of the explained ones, {warned} came
with a warning. The time is that of explaining one sample over that of gradient x input, each taken once; the tables
have the median of the models."""


def main() -> None:
    record = record_of(dict(sorted(read().items())))
    report.write_record("coverage", record)
    PAGE.write_text("\n".join(page(record)) + "\n")
    print(*page(record)[:8], sep="\n")


def record_of(results: dict[str, Record]) -> Record:
    """Raises ValueError where the results are not those of one commit as it is."""
    commits = {result["commit"] for result in results.values()}
    if len(commits) != 1 or any(commit.endswith("-dirty") for commit in commits):
        raise ValueError(f"a record is of one commit, without changes on top: {', '.join(sorted(commits))}")
    return {
        "what": "lrp.explain on every architecture, unmodified, with random weights",
        **report.made_with("torch", "torchvision", "timm", "transformers"),
        "commit": commits.pop(),
        "models": {key: _short(result) for key, result in results.items()},
    }


def _short(result: Record) -> Record:
    """What the page is made of, and of what was not explained all there is to know."""
    left_out = {"key", "frames", "commit", "seconds"}
    return {k: _rounded(v) for k, v in result.items() if k not in left_out and v not in ([], "", None)}


def _rounded(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


def summary(results: Collection[Record]) -> Record:
    ran = [r for r in results if r["status"] != "excluded"]
    explained = [r for r in ran if r["status"] == "explained"]

    def median(name: str) -> float | None:
        values = [r[name] for r in explained if name in r]
        return statistics.median(values) if values else None

    return {
        "models": len(results),
        "excluded": len(results) - len(ran),
        "ran": len(ran),
        "explained": len(explained),
        "share": round(len(explained) / max(1, len(ran)), 4),
        "wrong_in_silence": sum(r["status"] == "wrong" for r in ran),
        "warned": sum("warnings" in r for r in explained),
        "float64": max((r["residual"] for r in explained if r["dtype"] == "float64"), default=0.0),
        "float32": max((r["residual"] for r in explained if r["dtype"] == "float32"), default=0.0),
        "batches": sum(isinstance(r.get("batch"), float) for r in explained),
        "eager": sum(isinstance(r.get("eager"), float) for r in explained),
        "time": median("batch_times"),
    }


def page(record: Record) -> list[str]:
    """The lines of docs/coverage.md, out of the record alone."""
    results: dict[str, Record] = record["models"]
    total = summary(results.values())
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return [
        "# Which models are explained as they are",
        "",
        f"`make coverage` writes this page. Measured on {record['date']} at commit {record['commit']} ({versions}).",
        "",
        f"**{total['explained']} of {total['ran']} models explained ({total['share']:.1%}); {total['excluded']} of "
        f"{total['models']} excluded; wrong in silence: {total['wrong_in_silence']}; worst residual "
        f"{total['float64']:.1e} (float64), {total['float32']:.1e} (float32).**",
        f"A model is an architecture with a head: {_whole_architectures(results)}.",
        *([f"How it was run: {record['note']}."] if "note" in record else []),
        "",
        *HOW.format(**total).splitlines(),
        "",
        *_by(results, "library, head", lambda key, r: key.rpartition("/")[0].replace("/", ", ")),
        "",
        *_by(results, "chosen by `auto`", lambda key, r: r.get("preset", "none, as not explained")),
        "",
        "## Not explained, by cause",
        "",
        *(f"- {why} ({len(keys)}): {_names(keys)}" for why, keys in causes(results).items()),
        "",
        "## Excluded: the model does not run by itself",
        "",
        *(f"- {why}: {_names(keys)}" for why, keys in _grouped(results, "excluded", lambda r: _general(r["reason"]))),
        "",
        "## Explained",
        "",
        *(f"- {head}: {names}" for head, names in _explained(results).items()),
    ]


def _whole_architectures(results: dict[str, Record]) -> str:
    statuses: dict[tuple[str, str], set[str]] = defaultdict(set)
    for key, r in results.items():
        library, _, name = key.split("/")
        if r["status"] != "excluded":
            statuses[library, name].add(r["status"])
    whole = sum(found == {"explained"} for found in statuses.values())
    share = f"{whole} of {len(statuses)} architectures ({whole / len(statuses):.1%})"
    return f"{share} are explained with every head they have"


def _names(keys: list[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _explained(results: dict[str, Record]) -> dict[str, str]:
    found: dict[str, list[str]] = defaultdict(list)
    for key, r in results.items():
        if r["status"] == "explained":
            library_and_head, _, name = key.rpartition("/")
            found[library_and_head.replace("/", ", ")].append(name)
    return {head: ", ".join(names) for head, names in found.items()}


def _by(results: dict[str, Record], what: str, group: Callable[[str, Record], str]) -> list[str]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for key, r in results.items():
        groups[group(key, r)].append(r)
    rows = []
    for name, members in sorted(groups.items()):
        s = summary(members)
        counts = [str(s["models"]), str(s["excluded"]), str(s["explained"]), f"{s['share']:.1%}" if s["ran"] else ""]
        worst = [f"{s[dtype]:.0e}" if s[dtype] else "" for dtype in ("float64", "float32")]
        rows.append([name, *counts, *worst, f"{s['time']:.1f}" if s["time"] else ""])
    head = [what, "models", "excluded", "explained", "share", "worst residual, float64", "float32"]
    return report.table([*head, "time over gradient x input"], rows)


def _grouped(results: dict[str, Record], status: str, why: Callable[[Record], str]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = defaultdict(list)
    for key, r in results.items():
        if r["status"] == status:
            found[why(r)].append(key)
    return sorted(found.items(), key=lambda item: -len(item[1]))


def causes(results: dict[str, Record]) -> dict[str, list[str]]:
    """Keys by cause, the silent ones first, then the commonest."""
    return dict([*_grouped(results, "wrong", cause), *_grouped(results, "failed", cause)])


def cause(r: Record) -> str:
    if r["status"] == "wrong":
        return "silent: " + ", ".join(r["wrong"])
    error = r["error"]
    if error.startswith("UncoveredError"):
        rows = [line.strip() for line in r["message"].splitlines()[1:] if line.startswith("    ")]
        calls = sorted({re.split(r"\s{2,}", row)[0] + ": " + re.split(r"\s{2,}", row)[-1] for row in rows})
        return "UncoveredError: " + _general("; ".join(calls))
    if error.startswith("UnseenError"):
        nodes = sorted(set(re.findall(r"(\w+), which reads", r["message"])))
        return "UnseenError: " + ", ".join(nodes)
    return _general(error + (f" <- {r['cause']}" if r.get("cause") else ""))


def _general(text: str) -> str:
    """Without the numbers and names that differ from model to model."""
    return re.sub(r"\b\d+\b", "#", re.sub(r"^(small|narrow layers kept|few layers|input \d+), float\d+: ", "", text))[
        :300
    ]


if __name__ == "__main__":
    main()
