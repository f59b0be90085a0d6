"""What is kept beside a long result until it is whole, so that an interrupted one goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from .images import Stack
from .model import Model
from .normalise import Normalisation
from .replace import explaining, remove


class Unfinished:
    """A hidden folder beside the result, with its files as far as they are filled and a journal of what is in them.

    The journal's first line says what it is about; where that has changed, everything begins anew.

    Parameters
    ----------
    path
        Of the result.
    about
        All that the result depends on, JSON-ready.
    like
        The image: its planes are divided into cells.
    step
        Side of a cell, pixels.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], like: Stack, step: int) -> None:
        self.folder = path.with_name(f".{path.name}.part")
        self._journal, self._about, self._step = self.folder / "journal", dict(about), step
        self._done = np.zeros((like.planes, *(-(-n // step) for n in like.plane_shape)), bool)
        first, *entries = _lines(self._journal) or [None]
        self.is_new = first != self._about
        for entry in () if self.is_new else entries:
            plane, top, bottom, left, right, *_ = entry
            self._mark(plane, slice(top, bottom), slice(left, right))

    def begin(self) -> None:
        """Start the journal; the files it is about are there."""
        self._journal.write_text(json.dumps(self._about))
        self.is_new = False

    def note(self, plane: int, y: slice, x: slice, written: Sequence[np.ndarray]) -> None:
        """Note that a window of every file is written; y and x have both ends."""
        entry = [plane, y.start, y.stop, x.start, x.stop, *map(checksum, written)]
        with self._journal.open("a") as file:
            file.write(f"\n{json.dumps(entry)}")  # a line that was cut off ends here
        self._mark(plane, y, x)

    def first(self, plane: int, x: slice) -> int:
        """Return the first row, a multiple of a cell, that is not known to be written in all of these columns."""
        missing = np.flatnonzero(~self._done[plane, :, x.start // self._step : -(-x.stop // self._step)].all(1))
        return int(missing[0] if len(missing) else self._done.shape[1]) * self._step

    def entries(self) -> Iterator[tuple[int, slice, slice, list[int]]]:
        """Yield every window that was noted: plane, y, x, and the checksum of each file's part."""
        for plane, top, bottom, left, right, *sums in _lines(self._journal)[1:]:
            yield plane, slice(top, bottom), slice(left, right), sums

    @property
    def is_empty(self) -> bool:
        """Whether no window was noted."""
        return not self._done.any()

    def discard(self) -> None:
        """Forget everything."""
        remove(self.folder)

    def _mark(self, plane: int, y: slice, x: slice) -> None:
        rows, columns = (slice(s.start // self._step, -(-s.stop // self._step)) for s in (y, x))
        self._done[plane, rows, columns] = True


class Finished:
    """What an interrupted command has finished, so that it need not be repeated; forgotten when all is finished."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / ".predicted"
        self._entries: dict[str, dict[str, str]] = {}
        for entry in _lines(self._path):
            self._entries[entry[0]] = entry[1]

    def files(self, about: str) -> list[Path]:
        """Return the files that were made of this, if all are as they were."""
        made = {self._folder / name: was for name, was in self._entries.get(about, {}).items()}
        return list(made) if all(p.exists() and fingerprint_of_files(p) == was for p, was in made.items()) else []

    def note(self, about: str, files: Sequence[Path]) -> None:
        """Note what was made of this."""
        with explaining(self._path), self._path.open("a") as file:
            file.write(f"\n{json.dumps([about, {p.name: fingerprint_of_files(p) for p in files}])}")

    def discard(self) -> None:
        """Forget everything."""
        remove(self._path)


def _lines(path: Path) -> list[Any]:
    """Return what is in the lines of a file that are whole."""
    found: list[Any] = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        with suppress(ValueError):  # cut off when the process was killed
            found.append(json.loads(line))
    return found


def checksum(array: np.ndarray) -> int:
    """Return a number that changes with any value of an array."""
    return crc32(np.ascontiguousarray(array).data)


def fingerprint_of_model(model: Model) -> str:
    """Return what changes with any weight, and with all else that is said of a model."""
    found = hashlib.sha256(json.dumps(model.as_dict(), sort_keys=True).encode())
    for name, weight in sorted(model.weights.items()):
        found.update(name.encode() + np.ascontiguousarray(weight).tobytes())
    return found.hexdigest()


def fingerprint_of_image(stack: Stack) -> str:
    """Return what changes with an image: its shape, and the size and time of its files; without files its range."""
    found = hashlib.sha256(f"{stack.axes} {stack.data.shape} {stack.data.dtype}".encode())
    if stack.path is not None and stack.path.exists():
        found.update(fingerprint_of_files(stack.path).encode())
    else:
        found.update(Normalisation().limits(stack).tobytes())
    return found.hexdigest()


def fingerprint_of_files(path: Path) -> str:
    """Return what changes when a file, or any in a folder, is written."""
    found = hashlib.sha256()
    for file in sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else (path,):
        about = file.stat()
        found.update(os.fsencode(f"{file.relative_to(path)} {about.st_size} {about.st_mtime_ns} "))
    return found.hexdigest()
