"""Tables of numbers from Parquet files (extra ``tables``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrp.errors import InputError, LoadError
from lrp.extras import imported

__all__ = ["pyarrow_of", "read_parquet"]


def read_parquet(path: Path) -> tuple[tuple[str, ...], Tensor]:
    """Return the column names and the values of a Parquet file: D names, and float32 of shape (N, D).

    Raises:
        MissingExtraError: pyarrow is not installed.
        LoadError: no Parquet file.
        InputError: columns that hold no numbers, missing or infinite values, no rows.
    """
    arrow, parquet = pyarrow_of(str(path))
    try:
        table = parquet.read_table(path)
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise LoadError("the file is no Parquet file", where=str(path), seen=str(error).split("\n")[0]) from error
    if not table.num_rows or not table.num_columns:
        raise InputError("the table is empty", where=str(path), seen=f"{table.num_rows} rows")
    columns = [column_of(table, index, arrow, path) for index in range(table.num_columns)]
    return tuple(table.column_names), torch.from_numpy(np.stack(columns, axis=1))


def column_of(table: Any, index: int, arrow: Any, path: Path) -> np.ndarray:
    """Return one column as float32, or say why it is no input."""
    name, column = table.column_names[index], table.column(index)
    where = f"{path}, column '{name}'"
    if not (arrow.types.is_integer(column.type) or arrow.types.is_floating(column.type)):
        cure = "leave the column out, or encode it as numbers the way the model was trained"
        raise InputError("a column holds no numbers", where=where, seen=str(column.type), cure=cure)
    values = column.to_numpy().astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values) | (abs(values) > np.finfo(np.float32).max))
    if column.null_count or len(bad):
        cure = "fill or drop such rows the way the model was trained"
        seen = f"row {bad[0] + 1}: {column[int(bad[0])].as_py()}"
        raise InputError("a value is missing or not finite", where=where, seen=seen, cure=cure)
    return values.astype(np.float32)


def pyarrow_of(where: str) -> tuple[Any, Any]:
    """Return ``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        MissingExtraError: they are not installed.
    """
    return tuple(
        imported(module, "tables", "Parquet needs a package", where) for module in ("pyarrow", "pyarrow.parquet")
    )
