"""Write a file so that the old one stays whole until the new one is complete."""

from __future__ import annotations

import errno
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
        with explaining(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            into_place(part, path)
    finally:
        remove(part)


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn what keeps a file from being written into one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        advice = {errno.ENAMETOOLONG: "choose a shorter name", errno.EISDIR: "choose a name that is no folder's"}
        what = advice.get(error.errno or 0, "free some space or choose another folder")
        raise BtunetError(f"{path} cannot be written: {reason}; {what}") from error


def into_place(part: Path, path: Path) -> None:
    """Move a file or a folder to ``path``; an old one is removed when the new one is there."""
    if not (part.is_dir() and path.is_dir()):
        part.replace(path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.replace(old)
    part.replace(path)
    remove(old)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    with suppress(OSError):  # nothing was written, or its folder is not one
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
