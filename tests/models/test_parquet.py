import datetime
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch

from lrp.errors import InputError, LoadError, MissingExtraError
from lrp.models import load_inputs


def written(path: Path, **columns: Any) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_a_table(tmp_path: Path) -> None:
    found = load_inputs(written(tmp_path / "t.parquet", age=[1, 2], size=[0.5, -3.0]))
    assert found.features == ("age", "size")
    assert found.values.dtype == torch.float32
    assert found.values.tolist() == [[1, 0.5], [2, -3]]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"age": [1], "kind": ["benign"]}, ["'kind'", "string"]),
        ({"day": [datetime.date(2020, 1, 1)]}, ["'day'", "date"]),
        ({"yes": [True]}, ["'yes'", "bool"]),
        ({"age": [1, None]}, ["'age'", "row 2", "None"]),
        ({"age": [1.0, 2.0, float("nan")]}, ["'age'", "row 3", "nan"]),
        ({"age": [1e39]}, ["'age'", "row 1", "1e+39"]),
        ({"age": pyarrow.array([], pyarrow.float64())}, ["empty"]),
    ],
)
def test_tables_that_are_no_input(tmp_path: Path, columns: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as raised:
        load_inputs(written(tmp_path / "t.parquet", **columns))
    assert all(word in str(raised.value) for word in words)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"nothing")
    with pytest.raises(LoadError, match="no Parquet file"):
        load_inputs(tmp_path / "t.parquet")


def test_without_pyarrow_the_error_names_the_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "t.parquet", age=[1])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lrp\[tables\]"'):
        load_inputs(path)
