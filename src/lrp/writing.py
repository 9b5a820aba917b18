"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from lrp.errors import InputError

__all__ = ["write_whole"]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it: what was there stays until the new file is whole.

    Raises:
        InputError: the file cannot be written; nothing of it is left behind.
    """
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        seen = error.strerror or str(error)
        cure = "an existing folder one may write to, with room"
        raise InputError("the file cannot be written", where=str(path), seen=seen, cure=cure) from error
