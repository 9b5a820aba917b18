"""The page that leads to the reports about many inputs, as text and in a browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

from lrp import report
from lrp.report.index import Entry, index, thumbnail
from tests.browser import Visit
from tests.report import results
from tests.report.test_in_browser import DARK_PHONE
from tests.report.test_page import Page

HOSTILE = "<img src=x onerror=alert(1)>.png"
ENTRIES = [
    Entry(HOSTILE, "reports/hostile.html", 1, "class 0", 1.5, 1.0, thumbnail(Image.new("RGB", (300, 200))), ""),
    Entry("b.csv", "reports/b%20c.html", 2, results.HOSTILE_END, -2.25, -2.0, "", "age -1.5"),
    Entry("c.csv", "reports/c.html", 1, "class 1", 10.0, 4.0, "", "<b>dose</b> +3"),
]
FAILED = [("bad.png", "no image\n  where: /home/ann/photos/bad.png")]


def made() -> str:
    return index(ENTRIES, failed=FAILED, command=["lrp", "explain", "/home/ann/net.py:Net", "photos"])


def test_the_index_is_whole_and_names_no_folder() -> None:
    page = Page(made())
    assert [link["href"] for link in page.all("a")] == ["relevance.csv", *(entry.link for entry in ENTRIES)]
    assert [(image["src"] or "")[:11] for image in page.all("img")] == ["data:image/"]
    assert {entry.name for entry in ENTRIES} <= {words for tag, words in page.texts if tag == "a"}
    assert "lrp explain net.py:Net photos" in page.text("code")
    assert "no image\n  where: bad.png" in page.text("dd")
    assert "/home" not in made()
    assert len(page.all("script")) == 1


def test_columns_that_say_nothing_are_left_out() -> None:
    entry = ENTRIES[0]
    heads = [words for tag, words in Page(index([entry], failed=(), command=["lrp"])).texts if tag == "th"]
    assert heads == ["input", "explained", "output", "reached the inputs"]
    heads = [words for tag, words in Page(made()).texts if tag == "th"]
    assert heads == ["input", "samples", "explained", "output", "reached the inputs", "strongest"]


@pytest.mark.parametrize("dark", [False, True])
def test_the_index_in_a_browser(dark: bool, visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "index.html").write_text(made())
    for name in ("hostile", "b c", "c"):
        (tmp_path / "reports" / f"{name}.html").write_text(report.page(results.table(), title=f"Report {name}"))
    page = visit((tmp_path / "index.html").as_uri(), **(DARK_PHONE if dark else {}))
    found = Axe().run(page).response["violations"]
    assert [json.dumps(v)[:300] for v in found if v["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("td img").evaluate("image => image.complete && image.naturalWidth") == 128
    heading = page.get_by_role("columnheader", name="output")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert page.locator("td a").all_inner_texts() == ["c.csv", HOSTILE, "b.csv"]
    for name in ("hostile", "b c", "c"):
        page.locator(f"a[href='{'reports/' + name.replace(' ', '%20')}.html']").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Report {name}")
        page.go_back()


def test_the_index_without_scripts(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(made())
    page = visit((tmp_path / "index.html").as_uri(), java_script_enabled=False)
    assert page.locator("td a").all_inner_texts() == [entry.name for entry in ENTRIES]
    expect(page.get_by_role("button")).to_have_count(0)
