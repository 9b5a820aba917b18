from pathlib import Path

import click
import pytest

from lrp.cli.files import destination, write_all
from lrp.errors import InputError


@pytest.mark.parametrize(
    ("out", "format", "expected"),
    [
        (None, None, ("text", None, False)),
        (None, "json", ("json", None, False)),
        ("x.json", None, ("json", Path("x.json"), False)),
        ("x.CSV", "csv", ("csv", Path("x.CSV"), False)),
        ("maps", "png", ("png", Path("maps"), True)),
        ("run.1/", None, ("text", Path("run.1"), True)),
    ],
)
def test_where_results_go(out: str | None, format: str | None, expected: tuple[str, Path | None, bool]) -> None:
    place = destination(out, format)
    assert (place.format, place.path, place.folder) == expected


def test_an_existing_folder_may_have_an_ending(tmp_path: Path) -> None:
    (tmp_path / "maps.png").mkdir()
    assert destination(str(tmp_path / "maps.png"), None).folder


@pytest.mark.parametrize(
    ("out", "format", "words"),
    [
        (None, "npz", "add --out"),
        (None, "png", "add --out"),
        (None, "parquet", "add --out"),
        ("x.json", "csv", "json file"),
        ("x.jsn", None, "'.json'"),
        ("x.log", "text", "the ending"),
    ],
)
def test_contradictions_are_usage_errors(out: str | None, format: str | None, words: str) -> None:
    with pytest.raises(click.UsageError, match=words):
        destination(out, format)


def test_a_file_without_ending_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "maps").write_text("mine")
    with pytest.raises(click.UsageError, match="without an ending"):
        destination(str(tmp_path / "maps"), None)


def test_files_are_replaced_whole_and_folders_made(tmp_path: Path) -> None:
    write_all({tmp_path / "a" / "b" / "x.txt": b"one", tmp_path / "a" / "y.txt": b"two"})
    write_all({tmp_path / "a" / "b" / "x.txt": b"three"})
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.txt")}
    assert found == {"a/b/x.txt": b"three", "a/y.txt": b"two"}
    assert len(list(tmp_path.rglob("*"))) == 4  # two folders, two files, nothing temporary
    assert (tmp_path / "a" / "y.txt").stat().st_mode & 0o444 == 0o444


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "folder.txt").mkdir()
    for path in (tmp_path / "taken" / "x.txt", tmp_path / "folder.txt"):
        with pytest.raises(InputError, match="cannot be written"):
            write_all({path: b"data"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder.txt", "taken"]
    assert (tmp_path / "taken").read_text() == "mine"
