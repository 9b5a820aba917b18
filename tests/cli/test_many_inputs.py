"""Folders, patterns and several files: a table with a line each, files of each, and no input lost to another."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from click.testing import Result
from PIL import Image

import lrp
from lrp.cli.items import items_of
from lrp.cli.rows import csv_of
from lrp.errors import InputError, LoadError
from lrp.models import load_inputs, load_model
from tests.cli.nets import CONV

Cli = Callable[..., Result]

MODELS = f"""{CONV}
class Table(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(2, 3)
        self.double()

    def forward(self, x):
        return torch.relu(self.fc(x))
"""
PHOTOS = ["dog.jpg", "sub/cat.png", "sub/cat.webp"]


@pytest.fixture(autouse=True)
def files(lrp_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    (tmp_path / "photos" / ".hidden").mkdir()
    rng = np.random.default_rng(0)
    for name in [*PHOTOS, ".hidden/no.png", ".no.png"]:
        Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "README").write_text("about the photographs")
    (tmp_path / "a.csv").write_text("age,dose\n1,2\n-3,4\n")
    (tmp_path / "b.csv").write_text("age,=cmd()\n5,6\n")


def test_what_words_stand_for() -> None:
    def names(*words: str) -> list[str]:
        return [item.name for item in items_of(words).each]

    assert names("photos") == names("photos/**/*.[jpw]*") == names(*(f"photos/{name}" for name in PHOTOS)) == PHOTOS
    assert names("photos/sub") == ["cat.png", "cat.webp"]
    assert names("photos/sub/cat.png", "a.csv", "a.csv") == ["photos/sub/cat.png", "a.csv"]
    assert names(str(Path("photos").resolve())) == PHOTOS
    assert [items_of([word]).many for word in ("a.csv", "photos", "a.cs?")] == [False, True, True]
    assert items_of(["a.csv", "b.csv"]).many


def test_a_file_whose_name_looks_like_a_pattern() -> None:
    Path("x[1].csv").write_text("1,2\n")
    assert [item.name for item in items_of(["x[1].csv"]).each] == ["x[1].csv"]


def test_words_that_stand_for_nothing() -> None:
    with pytest.raises(LoadError, match=r"one of 'photos/dog\.jpg'"):
        items_of(["photos/dogs.jpg"])
    with pytest.raises(InputError, match="matches no file"):
        items_of(["photos/*.bmp"])
    Path("empty").mkdir()
    with pytest.raises(InputError, match="nothing that can be read"):
        items_of(["empty"])
    with pytest.raises(InputError, match="one kind of input"):
        items_of([])


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_line_for_each_image(lrp_cli: Cli) -> None:
    result = lrp_cli("explain", "models.py:Conv", "photos", "--format", "csv")
    assert result.exit_code == 0, result.output
    rows = rows_of(result.stdout)
    columns = ["input", "sample", "target", "class", "explained", "sum", "residual", "relevance: input"]
    assert list(rows[0]) == columns
    assert [row["input"] for row in rows] == PHOTOS
    model = load_model("models.py:Conv")
    for row in rows:
        r = lrp.explain(model, load_inputs(f"photos/{row['input']}").values.double())
        assert float(row["explained"]) == pytest.approx(float(r.explained))
        assert float(row["sum"]) == float(row["relevance: input"]) == pytest.approx(float(r.input.sum()))
        assert row["class"] == str(int(r.indices))
        assert abs(float(row["residual"])) < 1e-12


def test_a_line_for_each_row_and_target_of_tables(lrp_cli: Cli) -> None:
    words = ["explain", "models.py:Table", "a.csv", "b.csv", "--target", "1", "--target", "top", "--layers", "all"]
    rows = rows_of(lrp_cli(*words, "--format", "csv").stdout)
    assert [(row["input"], row["sample"], row["asked"]) for row in rows] == [
        (name, sample, asked)
        for name, sample in [("a.csv", "1"), ("a.csv", "2"), ("b.csv", "1")]
        for asked in ("1", "top")
    ]
    assert rows[4]["relevance: dose"] == ""
    assert "relevance: =cmd()" in rows[0]
    model = load_model("models.py:Table")
    for row, x in zip(rows[::2], [[1.0, 2], [-3, 4], [5, 6]], strict=True):
        r = lrp.explain(model, torch.tensor([x]).double(), target=1)
        assert float(row["explained"]) == pytest.approx(float(r.explained))
        second = row["relevance: dose"] or row["relevance: =cmd()"]
        found = [float(row["relevance: age"]), float(second)]
        np.testing.assert_allclose(found, r.input[0].tolist(), rtol=1e-12, atol=1e-15)
        assert float(row["sum"]) == pytest.approx(sum(found))


def test_parquet_says_what_csv_says(lrp_cli: Cli, tmp_path: Path) -> None:
    for inputs in (["a.csv", "b.csv"], ["a.csv"]):
        words = ["explain", "models.py:Table", *inputs, "--layers", "all"]
        assert lrp_cli(*words, "--out", "r.parquet").exit_code == 0
        table = pyarrow.parquet.read_table(tmp_path / "r.parquet")
        rows = rows_of(lrp_cli(*words, "--format", "csv").stdout)
        assert table.column_names == list(rows[0])
        for found, expected in zip(table.to_pylist(), rows, strict=True):
            for name, value in expected.items():
                same = found[name] == (None if value == "" else type(found[name])(value))
                assert same, name


def test_cells_that_a_spreadsheet_would_run() -> None:
    lines = [{"input": text, "n": -1.5} for text in ("=1+1", "+a", "@a", "\ta", "-3", "+4e1", "a=b", "-x.png", "a,b")]
    found = [row["input"] for row in rows_of(csv_of(lines))]
    assert found == ["'=1+1", "'+a", "'@a", "'\ta", "-3", "+4e1", "a=b", "'-x.png", "a,b"]
    assert csv_of([{"=x": 1}]).startswith("'=x\n")


def test_json_and_text_name_the_inputs(lrp_cli: Cli) -> None:
    words = ["explain", "models.py:Conv", "photos"]
    read = json.loads(lrp_cli(*words, "--format", "json").stdout)
    assert read["inputs"] == ["photos"]
    assert read["failed"] == []
    assert [sample["input"] for sample in read["samples"]] == PHOTOS
    text = lrp_cli(*words).stdout
    assert [line for line in text.splitlines() if line.startswith("input ")] == [f"input {name}" for name in PHOTOS]


def test_files_of_each_and_the_table(lrp_cli: Cli, tmp_path: Path) -> None:
    result = lrp_cli("explain", "models.py:Conv", "photos", "--out", "maps", "--format", "png")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "wrote 6 files and relevance.csv to maps" in result.stderr
    stems = ["dog", "sub-cat.png", "sub-cat.webp"]
    pictures = [f"{stem}-{kind}.png" for stem in stems for kind in ("heatmap", "overlay")]
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == sorted([*pictures, "relevance.csv"])
    table = (tmp_path / "maps" / "relevance.csv").read_text()
    assert table == lrp_cli("explain", "models.py:Conv", "photos", "--format", "csv").stdout

    assert lrp_cli("explain", "models.py:Table", "a.csv", "b.csv", "--out", "n", "--format", "npz").exit_code == 0
    with np.load(tmp_path / "n" / "a.npz") as read:
        assert sorted(read) == ["1/inputs/input", "1/output", "2/inputs/input", "2/output", "explained"]


@pytest.mark.parametrize("out", [["--out", "r.png"], ["--out", "r.npz"]])
def test_one_file_for_files_of_each(lrp_cli: Cli, tmp_path: Path, out: list[str]) -> None:
    result = lrp_cli("explain", "models.py:Conv", "photos", *out)
    assert result.exit_code == 2
    assert "name a folder" in result.stderr
    assert not list(tmp_path.glob("r.*"))


@pytest.mark.parametrize("format", ["csv", "json", "text", "png", "npz"])
def test_a_bad_file_does_not_lose_the_others(lrp_cli: Cli, tmp_path: Path, format: str) -> None:
    (tmp_path / "photos" / "bad.png").write_bytes(b"nothing")
    np.save(tmp_path / "photos" / "shape.npy", np.ones((1, 2, 5, 5)))
    result = lrp_cli("explain", "models.py:Conv", "photos", "--out", "out", "--format", format)
    assert result.exit_code == 3
    assert "2 of 5 inputs could not be explained" in result.stderr
    for words in ("error: bad.png: the file cannot be read as an image", "error: shape.npy: "):
        assert words in result.stderr
    written = {path.name: path for path in (tmp_path / "out").iterdir()}
    if format == "json":
        read = json.loads(written["explanation.json"].read_text())
        assert [failure["input"] for failure in read["failed"]] == ["bad.png", "shape.npy"]
        assert "as an image" in read["failed"][0]["error"]
        assert len(read["samples"]) == 3
    elif format == "text":
        assert written["explanation.txt"].read_text().count("explained - reached - kept") == 3
    else:
        assert [row["input"] for row in rows_of(written["relevance.csv"].read_text())] == PHOTOS


def test_nothing_is_written_where_nothing_could_be_explained(lrp_cli: Cli, tmp_path: Path) -> None:
    for format in ("csv", "json", "text", "png", "parquet"):
        result = lrp_cli("explain", "models.py:Conv", "a.csv", "b.csv", "--out", "out", "--format", format)
        assert result.exit_code == 2
        assert "2 of 2 inputs" in result.stderr
        assert not (tmp_path / "out").exists()


def test_what_is_wrong_with_the_request_ends_it_at_once(lrp_cli: Cli) -> None:
    for words in (["--layers", "fcc"], ["--target", "7"], ["--composite", "epsilo"]):
        result = lrp_cli("explain", "models.py:Conv", "photos", *words)
        assert result.exit_code == 2
        assert result.stderr.count("error: ") == 1


def test_parquet_without_pyarrow(lrp_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for inputs in (["a.csv"], ["a.csv", "b.csv"]):
        result = lrp_cli("explain", "models.py:Table", *inputs, "--out", "r.parquet")
        assert result.exit_code == 2
        assert 'pip install "lrp[tables]"' in result.stderr
        assert not (tmp_path / "r.parquet").exists()
