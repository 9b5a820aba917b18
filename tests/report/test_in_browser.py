"""The page in a browser: what one sees, clicks, types and downloads."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser import Visit
from tests.report import results

DARK_PHONE = {"viewport": {"width": 380, "height": 800}, "color_scheme": "dark"}


@pytest.fixture
def report(tmp_path: Path, visit: Visit) -> Any:
    """Write a report and open it as a file."""

    def opened(result: Any, options: dict[str, Any] | None = None, **context: Any) -> Page:
        result.report(tmp_path / "report.html", **(options or {}))
        return visit((tmp_path / "report.html").as_uri(), **context)

    return opened


def pixel(page: Page, at: tuple[int, int]) -> list[int]:
    """The colour of a cell of the visible map."""
    return page.locator("canvas:visible").evaluate(
        "(canvas, at) => [...canvas.getContext('2d').getImageData(...at, 1, 1).data]", list(at)
    )


def readout(page: Page) -> str:
    return page.locator(".readout:visible output").inner_text()


def test_the_strongest_cell_has_the_strongest_colour_and_is_read_by_hovering(report: Any) -> None:
    r = results.image()
    page = report(r)
    cells = r.input[0].sum(0)
    at = int(cells.abs().argmax())
    row, column = divmod(at, 16)
    assert pixel(page, (column, row))[:3] == ([103, 0, 31] if cells[row, column] > 0 else [5, 48, 97])
    box = page.locator(".stage:visible").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + (column + 0.5) * box["width"] / 16, box["y"] + (row + 0.5) * box["height"] / 16)
    place, number = readout(page).split(", relevance ")
    assert place == f"row {row}, column {column}"
    assert float(number) == pytest.approx(float(cells[row, column]), rel=1e-3)
    expect(page.locator(".cursor:visible")).to_have_count(1)


def test_zero_is_white_and_what_is_not_finite_is_grey(report: Any) -> None:
    r = results.image()
    broken = r.input.clone()
    broken[0, :, 0, 0] = 0
    broken[0, :, 0, 1] = float("inf")
    page = report(replace(r, input=broken), color_scheme="dark")
    assert pixel(page, (0, 0)) == [255, 255, 255, 255]
    red, green, blue, _ = pixel(page, (1, 0))
    assert red == green == blue < 200


def test_a_map_is_read_by_keyboard(report: Any) -> None:
    r = results.image()
    page = report(r)
    page.locator("input[type=range]").focus()
    page.keyboard.press("Tab")
    expect(page.locator(".stage:visible")).to_be_focused()
    assert readout(page).startswith("row 0, column 0, ")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    place, number = readout(page).split(", relevance ")
    assert place == "row 2, column 15"
    assert float(number) == pytest.approx(float(r.input[0].sum(0)[2, 15]), rel=1e-2)


def test_the_slider_shows_the_input(report: Any) -> None:
    page = report(results.image())
    slider = page.get_by_label("Heatmap")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    assert page.locator("canvas:visible").evaluate("c => getComputedStyle(c).opacity") == "0.5"
    expect(page.locator(".opacity output")).to_have_text("50 %")
    assert page.locator(".stage:visible img").evaluate("image => image.complete && image.naturalWidth") == 16


def test_pickers_change_what_is_seen(report: Any) -> None:
    r = results.image(samples=2, several=True)
    page = report(r)
    expect(page.get_by_role("heading", name="Sample 1")).to_be_visible()
    expect(page.get_by_role("heading", name="Sample 2")).to_be_hidden()
    first = pixel(page, (3, 3))
    page.locator("[data-pick=sample]").select_option("2")
    expect(page.get_by_role("heading", name="Sample 2")).to_be_visible()
    expect(page.get_by_role("heading", name="Sample 1")).to_be_hidden()
    assert pixel(page, (3, 3)) != first
    page.get_by_label("Target").select_option("class 2")
    expect(page.locator("section[data-sample='1'] h3:visible")).to_have_text("class 2")
    facts = page.locator("section[data-sample='1'] [data-target='1'] > .facts")
    expect(facts).to_contain_text(f"{float(r.explained[1, 1]):+.4g}")
    page.get_by_label("Layer").select_option("2")
    canvas = page.locator("canvas:visible")
    assert canvas.evaluate("canvas => [canvas.width, canvas.height]") == [4, 4]
    expect(page.locator("section[data-sample] caption:visible")).to_have_text("Channels")


def test_tables_sort_by_click_and_keyboard(report: Any) -> None:
    r = results.table()
    page = report(r, {"names": ["b", "d", "a", "c"]})
    table = page.locator("table[data-file='input-features']")
    names = table.locator("tbody td:first-child")
    sizes = sorted(zip(r.input[0].abs().tolist(), "bdac", strict=True), reverse=True)
    assert names.all_inner_texts() == [name for _, name in sizes]
    heading = table.get_by_role("columnheader", name="feature")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert names.all_inner_texts() == ["a", "b", "c", "d"]
    page.keyboard.press("Enter")
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert names.all_inner_texts() == ["d", "c", "b", "a"]
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(heading).not_to_have_attribute("aria-sort", "descending")
    signed = sorted(zip(r.input[0].tolist(), "bdac", strict=True), reverse=True)
    assert names.all_inner_texts() == [name for _, name in signed]


def downloaded(page: Page, file: str, tmp_path: Path) -> list[list[str]]:
    table = page.locator(f".table:has(table[data-file='{file}'])")
    with page.expect_download() as download:
        table.get_by_role("button", name="Download as CSV").click()
    assert download.value.suggested_filename == f"{file}.csv"
    download.value.save_as(tmp_path / "table.csv")
    return list(csv.reader((tmp_path / "table.csv").read_text("utf-8-sig").splitlines()))


def test_csv_has_the_numbers_and_no_formulas(report: Any, tmp_path: Path) -> None:
    r = results.table()
    names = ["=1+1", "@sum", "-2", 'say "a,b"']
    rows = downloaded(report(r, {"names": names}), "input-features", tmp_path)
    assert rows[0] == ["feature", "value", "relevance", "of explained"]
    assert {row[0] for row in rows[1:]} == {"'=1+1", "'@sum", "-2", 'say "a,b"'}
    found = {row[0]: float(row[2]) for row in rows[1:]}
    assert found["-2"] == pytest.approx(float(r.input[0, 2]), rel=1e-6)


def test_the_plan_is_searched(report: Any) -> None:
    page = report(results.image())
    page.get_by_label("Search").fill("CONV2D")
    rows = page.locator(".plan tbody tr:visible")
    assert rows.count() == 2
    assert all("conv2d" in words for words in rows.all_inner_texts())
    expect(page.locator("[data-found]")).to_contain_text("2 of ")


def test_tokens_are_in_colour(report: Any) -> None:
    text = results.text("[CLS]", "good", "film", ".")
    page = report(text)
    strongest = max(text.tokens, key=lambda token: abs(token.relevance))
    token = page.locator(".token:visible", has_text=strongest.text)
    expect(token).to_have_css("background-color", "rgb(103, 0, 31)" if strongest.relevance > 0 else "rgb(5, 48, 97)")
    expect(page.locator(".special")).to_have_text("[CLS]")
    expect(page.locator(".opacity")).to_be_hidden()
    page.get_by_label("Layer").select_option("embedding")
    assert page.locator(".token:visible").all_inner_texts() == ["[CLS]", "good", "film", "."]


def test_a_signal_is_read_with_its_values(report: Any) -> None:
    r = results.signal()
    page = report(r)
    page.locator("input[type=range]").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    place, number, value = readout(page).replace(", step", " step").split(", ")
    assert place == "channel 1 step 10"
    assert float(number.split()[1]) == pytest.approx(float(r.input[0, 1, 10]), abs=1e-3 * float(r.input.abs().max()))
    assert float(value.split()[1]) == pytest.approx(float(r.values[0, 1, 10]), abs=1e-3)
    expect(page.locator(".stage:visible img")).to_have_count(1)


def test_a_volume_is_seen_slice_by_slice(report: Any) -> None:
    r = results.volume()
    page = report(r)
    slider = page.get_by_label("Slice")
    slider.focus()
    page.keyboard.press("ArrowRight")
    place, number = readout(page).split(", relevance ")
    assert place == "slice 3, row 0, column 0"
    volume = r.input[0, 0]
    assert float(number) == pytest.approx(float(volume[3, 0, 0]), abs=1e-3 * float(volume.abs().max()))
    row, column = divmod(int(volume.abs().argmax()) % 25, 5)
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    for _ in range(int(volume.abs().argmax()) // 25):
        page.keyboard.press("ArrowRight")
    strongest = [103, 0, 31] if volume.max() == volume.abs().max() else [5, 48, 97]
    assert pixel(page, (column, row))[:3] == strongest


def test_hostile_words_stay_words(report: Any) -> None:
    text = results.text(results.HOSTILE, results.HOSTILE_END, "x", "y")
    page = report(replace(text, target=results.HOSTILE), {"title": results.HOSTILE_END})
    assert page.locator(".token").all_inner_texts()[:2] == [results.HOSTILE, results.HOSTILE_END]
    expect(page.get_by_role("heading", level=1)).to_have_text(results.HOSTILE_END)
    assert page.locator("script").count() == 1
    assert page.locator("img[src=x]").count() == 0


PAGES = {
    "image": lambda: results.image(2, several=True),
    "table": lambda: results.table(3),
    "signal": results.signal,
    "text": lambda: results.text("[CLS]", "good", "film", "."),
}


@pytest.mark.parametrize(
    ("kind", "dark"), [("image", False), ("image", True), ("table", True), ("signal", False), ("text", True)]
)
def test_axe_finds_nothing_serious_and_the_page_fits(kind: str, dark: bool, report: Any, tmp_path: Path) -> None:
    page = report(PAGES[kind](), **(DARK_PHONE if dark else {}))
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(shade[4:].split(",")[0]) < 60) == dark
    page.screenshot(path=tmp_path / "page.png", full_page=True)


def test_print_hides_controls_and_opens_tables(report: Any, tmp_path: Path) -> None:
    page = report(results.table(2, features=40), color_scheme="dark")
    open_tables = "[...document.querySelectorAll('.scroll')].every(part => part.scrollHeight <= part.clientHeight + 1)"
    assert not page.evaluate(open_tables)
    page.emulate_media(media="print")
    for hidden in (".toolbar", "[data-csv]", "input[type=search]"):
        expect(page.locator(hidden).first).to_be_hidden()
    assert page.evaluate(open_tables)
    assert page.evaluate("getComputedStyle(document.querySelector('caption')).color") == "rgb(28, 28, 26)"
    page.pdf(path=tmp_path / "page.pdf")


def test_without_scripts_every_sample_has_its_map(report: Any) -> None:
    page = report(results.image(2), java_script_enabled=False)
    expect(page.get_by_role("heading", name="Sample 2")).to_be_visible()
    expect(page.locator("form.toolbar")).to_be_hidden()
    maps = page.locator(".stage noscript img")
    assert maps.count() == 6
    box, stage = maps.first.bounding_box(), page.locator(".stage").first.bounding_box()
    assert box is not None
    assert stage is not None
    assert box["width"] == pytest.approx(stage["width"], abs=3)
    expect(maps.first).to_have_css("filter", "none")
    expect(page.get_by_text("arrow keys")).to_have_count(0)
