"""The tables in docs/evidence.md, and docs/coverage.md, say what the records say, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import boxes, evidence, gallery, pages, precision, real_tables, report, speed
from benchmarks.coverage import page as coverage


def test_the_page_shows_the_records(tmp_path: Path) -> None:
    page = tmp_path / "evidence.md"
    page.write_text(report.PAGE.read_text())
    report.write_section("speed", speed.table(report.read_record("speed"), report.read_record("speed_zennit")), page)
    report.write_section("faithfulness", evidence.tables(report.read_record("faithfulness")), page)
    report.write_section("precision", precision.lines(report.read_record("precision")), page)
    for name, lines in real_tables.tables(report.read_record("real")).items():
        report.write_section(name, lines, page)
    assert page.read_text() == report.PAGE.read_text()


@pytest.mark.parametrize("name", pages.TABLES)
def test_other_pages_show_them_too(name: str, tmp_path: Path) -> None:
    page, lines = pages.TABLES[name]
    copy = tmp_path / page
    copy.write_text((pages.PAGES / page).read_text())
    report.write_section(name, lines(), copy)
    assert copy.read_text() == (pages.PAGES / page).read_text()


def test_the_page_of_models_shows_its_record() -> None:
    assert coverage.PAGE.read_text() == "\n".join(coverage.page(report.read_record("coverage"))) + "\n"


def test_the_gallery_shows_its_record() -> None:
    record = report.read_record("gallery")
    assert gallery.PAGE.read_text() == "\n".join(gallery.page(record)) + "\n"
    assert len(record["boxes"]) == 10
    assert sum(row["share"] > row["area"] for row in record["boxes"]) >= 8
    for name in record["exhibits"]:
        assert (gallery.IMAGES / f"{name}.png").stat().st_size > 1000


def test_shares_of_a_box() -> None:
    pixels = torch.zeros(10, 20)
    pixels[0, 0], pixels[5, 10], pixels[9, 19] = 3.0, 1.0, -8.0
    assert gallery.inside(pixels, boxes.Box("corner", 0.0, 0.0, 0.5, 0.2)) == (0.1, 0.75)


def test_a_section_is_replaced_and_the_rest_is_left(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- /one -->\nbetween\n<!-- two -->\n<!-- /two -->\nafter\n")
    report.write_section("one", report.table(["a", "b"], [["x", r"\1"]]), page)
    written = "before\n<!-- one -->\n\n| a | b |\n|---|---:|\n| x | \\1 |\n\n<!-- /one -->\nbetween\n"
    assert page.read_text() == written + "<!-- two -->\n<!-- /two -->\nafter\n"
    with pytest.raises(ValueError, match="three"):
        report.write_section("three", [], page)
