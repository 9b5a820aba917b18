"""What may be dropped on the page, checked before it is read, and errors that do not tell where it lies."""

from __future__ import annotations

from pathlib import Path

from lrp.errors import InputError, LRPError
from lrp.report.words import without_folders

__all__ = ["ENDINGS", "MAX_BYTES", "check", "told"]

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".csv", ".npy", ".wav")
MAX_BYTES = 32 * 2**20


def check(path: Path) -> None:
    """Refuse a file that is of another kind or too large. (`lrp.models` refuses pictures of too many pixels.)

    Raises:
        InputError: see above.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        cure = f"drop one of {', '.join(ENDINGS)}"
        raise InputError("files of this kind are not read", where=path.name, seen=ending or "no ending", cure=cure)
    size = path.stat().st_size
    if size > MAX_BYTES:
        seen, cure = f"{size / 2**20:.0f} MB", f"give at most {MAX_BYTES // 2**20} MB"
        raise InputError("the file is too large", where=path.name, seen=seen, cure=cure)


def told(error: BaseException) -> str:
    """Return an error's words, with the names of files but not the folders they lie in.

    >>> told(ValueError("cannot read '/tmp/upload/1f/cat.png', line 2 of a/b"))
    "ValueError: cannot read 'cat.png', line 2 of a/b"
    """
    return without_folders(str(error) if isinstance(error, LRPError) else f"{type(error).__name__}: {error}")
