"""The app in a browser: what one drops, chooses, types, sees and saves."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from tests.app.serving import HOSTILE, Served
from tests.browser import Visit

PATIENCE = 30_000
UPLOAD = "Click to upload or drop files"
DARK_PHONE = {"viewport": {"width": 380, "height": 800}, "color_scheme": "dark"}

DROP = """([name, data]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name));
    return transfer;
}"""

OPAQUE = """() => {
    for (let e = document.querySelector("#lrp-result h2"); e; e = e.parentElement)
        if (getComputedStyle(e).opacity !== "1") return false;
    return true;
}"""
"""Gradio fades results in."""


@pytest.fixture
def page(served: Served, visit: Visit) -> Page:
    return opened(served, visit)


def opened(served: Served, visit: Visit, **context: Any) -> Page:
    page = visit(served.address + "/", **context)
    page.set_default_timeout(PATIENCE)
    page.get_by_role("button", name="Explain").wait_for()
    return page


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photograph.png")
    return tmp_path / "photograph.png"


def drop(page: Page, file: Path, name: str = "") -> None:
    data = base64.b64encode(file.read_bytes()).decode()
    page.get_by_role("button", name=UPLOAD).dispatch_event(
        "drop", {"dataTransfer": page.evaluate_handle(DROP, [name or file.name, data])}
    )
    expect(page.locator("#lrp-file table")).to_be_visible(timeout=PATIENCE)


def choose(page: Page, label: str, words: str) -> None:
    box = page.get_by_label(label, exact=True)
    box.fill(words)
    box.press("Enter")


def explain(page: Page) -> None:
    page.get_by_role("button", name="Explain").click()


def row(page: Page, name: str) -> list[str]:
    """A row of the ledger."""
    return (
        page.locator(".lrp-ledger tr", has=page.get_by_role("rowheader", name=name, exact=True))
        .locator("td")
        .all_inner_texts()
    )


def test_an_image_is_explained_by_two_presets_beside_each_other(page: Page, photograph: Path) -> None:
    drop(page, photograph)
    choose(page, "Target", "cat")
    choose(page, "Preset", "zero")
    choose(page, "Beside it: preset", "epsilon:epsilon=0.5")
    explain(page)
    titles = page.locator("#lrp-result h2")
    expect(titles).to_have_text(["nets.py:Net, zero", "nets.py:Net, epsilon:epsilon=0.5"], timeout=PATIENCE)
    expect(page.get_by_alt_text("The same over the picture that the model was shown")).to_have_count(2)
    for name in ("nets.py:Net, zero, 32 x 32", "nets.py:Net, epsilon:epsilon=0.5, 32 x 32"):
        heatmap = page.get_by_alt_text(f"Relevance at the input by {name}")
        expect(heatmap).to_be_visible()
        assert heatmap.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [32, 32]
    first, second = page.locator("dt:text('Colours') + dd").all_inner_texts()
    assert first == second
    zero, epsilon = (float(number) for number in row(page, "reached the input"))
    kept = [float(number) for number in row(page, "kept as bias")]
    explained = [float(number) for number in row(page, "explained")]
    assert explained[0] == explained[1]
    assert zero + kept[0] == pytest.approx(explained[0], rel=1e-3)
    assert abs(epsilon) < abs(zero)
    expect(page.locator("dt:text('Explained') + dd").first).to_contain_text("class 0, cat")


def test_each_map_can_have_its_own_scale(page: Page, photograph: Path) -> None:
    drop(page, photograph)
    choose(page, "Beside it: preset", "epsilon:epsilon=0.5")
    page.get_by_label("One colour scale for both").uncheck()
    explain(page)
    expect(page.locator("#lrp-result h2")).to_have_count(2, timeout=PATIENCE)
    first, second = page.locator("dt:text('Colours') + dd").all_inner_texts()
    assert first != second


def test_a_layer_is_shown(page: Page, photograph: Path) -> None:
    drop(page, photograph)
    choose(page, "Layer", "0")
    explain(page)
    expect(page.get_by_alt_text("Relevance at 0 by nets.py:Net, epsilon_gamma, 30 x 30")).to_be_visible(
        timeout=PATIENCE
    )
    choose(page, "Layer", "3")
    explain(page)
    expect(page.locator(".lrp-bars tbody tr")).to_have_count(4, timeout=PATIENCE)


def test_a_row_of_a_table_is_explained_by_another_model(page: Page, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("age,<b>bold</b>\n1,2\n-3,4\n")
    choose(page, "Model", "nets.py:Table")
    drop(page, tmp_path / "table.csv")
    page.get_by_label("Row of the file").fill("2")
    explain(page)
    expect(page.locator(".lrp-bars tbody tr")).to_have_count(2, timeout=PATIENCE)
    assert sorted(page.locator(".lrp-bars tbody th").all_inner_texts()) == ["<b>bold</b>", "age"]
    page.get_by_label("Row of the file").fill("3")
    explain(page)
    expect(page.get_by_role("alert")).to_contain_text("row 3 of 2", timeout=PATIENCE)


def test_a_text_is_coloured_word_by_word(page: Page) -> None:
    expect(page.get_by_label("or a text")).to_have_count(0)
    choose(page, "Model", "reader")
    page.get_by_label("or a text").fill("The capital of <i>France</i>")
    choose(page, "Target", "1")
    explain(page)
    words = page.locator(".lrp-text span")
    expect(words.first).to_have_text("The", timeout=PATIENCE)
    assert "".join(words.all_inner_texts()) == "Thecapitalof<i>France</i>"
    amounts = [float(word.get_attribute("title") or "nan") for word in words.all()]
    special = float(page.locator("dt:text('Special') + dd").inner_text().split(",")[0])
    reached = float(row(page, "reached the input")[0])
    assert sum(amounts) + special == pytest.approx(reached, abs=1e-3)


def test_what_is_wrong_is_said_without_folders(page: Page, photograph: Path) -> None:
    explain(page)
    alert = page.locator(".lrp-problem")
    expect(alert).to_contain_text("there is nothing to explain", timeout=PATIENCE)
    drop(page, photograph)
    for box, words, before, said in (
        ("Target", "dog", "top", "the target is unknown"),
        ("Preset", "epsilom", "auto", "one of 'epsilon'"),
        ("Model", "nets.py:Broken", "nets.py:Net", "RuntimeError: no file weights.bin"),
    ):
        choose(page, box, words)
        explain(page)
        expect(alert).to_contain_text(said, timeout=PATIENCE)
        assert "/" not in alert.inner_text()
        choose(page, box, before)


def test_hostile_names_are_text(page: Page, photograph: Path) -> None:
    drop(page, photograph, name="<img src=x onerror=alert(1)>.png")
    choose(page, "Target", "2")
    choose(page, "Beside it: preset", HOSTILE)
    explain(page)
    expect(page.locator(".lrp-problem")).to_contain_text(HOSTILE, timeout=PATIENCE)
    choose(page, "Beside it: preset", "zero")
    explain(page)
    expect(page.locator("#lrp-result")).to_contain_text(HOSTILE, timeout=PATIENCE)
    expect(page.locator("#lrp-result")).to_contain_text("${document.title='owned'}{{7*7}}")
    expect(page.locator("img[src='x']")).to_have_count(0)
    assert page.title() == "lrp"


def test_the_report_is_saved(page: Page, photograph: Path, tmp_path: Path) -> None:
    drop(page, photograph)
    explain(page)
    with page.expect_download() as download:
        page.get_by_text("Save the report of nets.py:Net, epsilon_gamma").click()
    assert download.value.suggested_filename == "nets.py-Net-epsilon_gamma.html"
    download.value.save_as(tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "default-src &#39;none&#39;" in html
    assert "<h1" in html


def tab_to(page: Page, name: str, role: Any = "combobox") -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.get_by_role(role, name=name, exact=True).evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"{name} is not reached by Tab")


def test_the_keyboard_is_enough(page: Page, photograph: Path) -> None:
    with page.expect_file_chooser() as chooser:
        tab_to(page, UPLOAD, "button")
        page.keyboard.press("Enter")
    chooser.value.set_files(photograph)
    expect(page.locator("#lrp-file table")).to_be_visible(timeout=PATIENCE)
    tab_to(page, "Target")
    expect(page.get_by_role("option", name="top:2")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Target", exact=True)).to_have_value("top:2")
    tab_to(page, "Layer")
    tab_to(page, "Explain", "button")
    page.keyboard.press("Enter")
    expect(page.get_by_alt_text("Relevance at the input")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("dt:text('Explained') + dd")).to_contain_text("class 1, " + HOSTILE + " (class of rank 2)")


def test_two_tabs_are_answered(served: Served, visit: Visit, photograph: Path) -> None:
    pages = [opened(served, visit) for _ in range(2)]
    for page, preset in zip(pages, ("zero", "epsilon_plus"), strict=True):
        drop(page, photograph)
        choose(page, "Preset", preset)
    for page in pages:
        explain(page)
    for page, preset in zip(pages, ("zero", "epsilon_plus"), strict=True):
        expect(page.locator("#lrp-result h2")).to_have_text(f"nets.py:Net, {preset}", timeout=PATIENCE)


@pytest.mark.parametrize("context", [{}, DARK_PHONE], ids=["light", "dark phone"])
def test_everyone_can_use_it(served: Served, visit: Visit, photograph: Path, context: Any, tmp_path: Path) -> None:
    page = opened(served, visit, **context)
    drop(page, photograph)
    choose(page, "Beside it: preset", "zero")
    explain(page)
    expect(page.locator("#lrp-result h2")).to_have_count(2, timeout=PATIENCE)
    page.wait_for_function(OPAQUE)
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert len(page.screenshot(full_page=True, path=tmp_path / "page.png")) > 10_000


def test_nobody_else_was_asked(served: Served, page: Page, photograph: Path) -> None:
    drop(page, photograph)
    explain(page)
    expect(page.locator("#lrp-result h2")).to_be_visible(timeout=PATIENCE)
    assert [line for line in served.log.read_text().splitlines() if "127.0.0.1" not in line] == []
