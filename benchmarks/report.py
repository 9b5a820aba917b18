"""Records as JSON and their tables in docs/evidence.md, both written by scripts only."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["made_with", "read_record", "table", "write_record", "write_section"]

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "evidence.md"


def made_with(*packages: str) -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"date": datetime.date.today().isoformat(), "versions": {"python": platform.python_version(), **versions}}


def write_record(name: str, record: dict[str, Any]) -> None:
    (HERE / "records" / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def read_record(name: str) -> dict[str, Any]:
    """What was recorded; nothing, where nothing was yet."""
    path = HERE / "records" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table, numbers to the right."""
    line = "|---|" + "---:|" * (len(head) - 1)
    return ["| " + " | ".join(head) + " |", line, *("| " + " | ".join(row) + " |" for row in rows)]


def write_section(name: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Put the lines between the page's two comments `<!-- NAME -->` and `<!-- /NAME -->`."""
    section = "\n".join([f"<!-- {name} -->", "", *lines, "", f"<!-- /{name} -->"])
    text, found = re.subn(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: section, page.read_text(), flags=re.DOTALL)
    if found != 1:
        raise ValueError(f"{page.name} needs the comments <!-- {name} --> and <!-- /{name} --> once")
    page.write_text(text)
