"""Write a file so that the old one stays whole until the new one is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import BtunetError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path of the same suffix beside ``path``; move it there when the block ends well.

    Raises
    ------
    BtunetError
        If the disk is full, the folder is read-only, or anything else keeps the file from being written.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if path.is_dir():
            shutil.rmtree(path)
        part.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BtunetError(f"{path} cannot be written: {reason}; free some space or choose another folder") from error
    finally:
        with suppress(OSError):  # nothing was written, or its folder is not one
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
