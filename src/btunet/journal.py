"""Strokes on a disk: every change is appended when it is made, and what a fault tore off costs that change only."""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import BtunetError
from .replace import explaining, replacing

MARKER = b"BTS1"  # begins every record; another format will have another one
HEAD = struct.Struct(
    "<4sIIQIIIIIB"
)  # marker, checksum of the rest, bytes of values, number, plane, y, x, height, width, kind
KINDS = ("<u1", "<u2", "<u4", "<i8")  # how values are stored, the smallest that holds them
BLOATED = 2**22  # bytes above which a journal is written anew when that makes it a quarter as long


@dataclass(frozen=True)
class Block:
    """A part of one plane of strokes, as it is now.

    Parameters
    ----------
    plane
        Number of the plane.
    y, x
        Where the part begins, pixels.
    values
        (height, width) integers: 0 = not annotated, 1 = background, 2..K+1 = classes.
    """

    plane: int
    y: int
    x: int
    values: np.ndarray


@dataclass(frozen=True)
class Replayed:
    """What a journal holds.

    Parameters
    ----------
    planes
        Plane → (Y, X) strokes; planes that were never painted are absent.
    number
        Of the last change; 0 if there is none.
    damaged
        Bytes that are not a whole record, or one that does not fit the image; they are left out.
    """

    planes: Mapping[int, np.ndarray]
    number: int
    damaged: int


class Journal:
    """The strokes of one image in one file.

    A record is a block: its place, its values (zlib) and a checksum. Records are numbered from 1 and replayed in the
    order they were written. A file that is absent or empty holds nothing.

    Parameters
    ----------
    path
        The file.
    planes
        Planes of the image.
    shape
        (Y, X) of each.
    """

    def __init__(self, path: Path, planes: int, shape: tuple[int, int]) -> None:
        self.path, self.planes, self.shape = path, planes, shape
        self.number = 0  # of the last change that is known to be in the file
        self.is_disturbed = False  # somebody else shortened, lengthened or removed the file between two looks of ours
        self._size: int | None = None  # bytes, after our last look

    def replay(self) -> Replayed:
        """Read the file.

        Raises
        ------
        BtunetError
            If it cannot be read.
        """
        found, size = Replayed({}, 0, 0), self._length()
        if size:  # an empty file cannot be mapped
            try:
                with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    found = self._replay(data)
            except OSError as error:
                raise BtunetError(f"{self.path} cannot be read: {error.strerror or error}") from error
        self.number, self._size = found.number, size
        return found

    def _length(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _replay(self, data: mmap.mmap) -> Replayed:
        planes: dict[int, np.ndarray] = {}
        number = whole = 0
        for at, block, length in _records(data, self.planes, self.shape):
            plane = planes[block.plane] if block.plane in planes else np.zeros(self.shape, np.uint8)
            if block.values.dtype.itemsize > plane.itemsize:
                plane = plane.astype(block.values.dtype)
            planes[block.plane] = plane
            rows, columns = block.values.shape
            plane[block.y : block.y + rows, block.x : block.x + columns] = block.values
            number, whole = max(number, at), whole + length
        return Replayed(planes, number, len(data) - whole)

    def append(self, blocks: Iterable[Block]) -> None:
        """Write changes and return when they are on the disk.

        Raises
        ------
        BtunetError
            If they cannot be written; the file may then end in a part of a record, which is left out when it is read.
        """
        with explaining(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.is_disturbed |= self._size not in (None, self._length())
            with self.path.open("ab") as file:
                try:
                    number = self.number
                    for block in blocks:
                        number += 1
                        file.write(_record(block, number))
                    file.flush()
                    os.fsync(file.fileno())
                    self.number = number
                finally:
                    self._size = os.fstat(file.fileno()).st_size

    def compact(self, found: Replayed) -> bool:
        """Write a long file anew, one record per painted plane; return whether that was worth it.

        Raises
        ------
        BtunetError
            If it cannot be written; the old file is whole then.
        """
        if not self._size or self._size < BLOATED:
            return False
        blocks = [Block(plane, *painted) for plane, values in found.planes.items() if (painted := cut(values))]
        first = max(1, found.number - len(blocks) + 1)  # the last number stays what it was
        short = b"".join(_record(block, number) for number, block in enumerate(blocks, first))
        if 4 * len(short) > self._size:
            return False
        with replacing(self.path) as part, part.open("wb") as file:
            file.write(short)
            file.flush()
            os.fsync(file.fileno())
        self._size = len(short)
        return True


def changes(plane: int, before: np.ndarray | None, now: np.ndarray, corner: tuple[int, int] = (0, 0)) -> Block | None:
    """Return the smallest block that makes ``now`` of a plane or a part of it; None if nothing changed.

    Parameters
    ----------
    plane
        Its number.
    before, now
        (Y, X) strokes; ``before`` is None if there were none.
    corner
        Where the part begins (y, x), pixels.
    """
    found = cut(now != before if before is not None else now)
    if found is None:
        return None
    y, x, box = found
    values = now[y : y + box.shape[0], x : x + box.shape[1]].copy()
    return Block(plane, corner[0] + y, corner[1] + x, values)


def cut(values: np.ndarray) -> tuple[int, int, np.ndarray] | None:
    """Return where the smallest rectangle around all that is not 0 begins (y, x), and its values; None if all is 0."""
    rows, columns = np.flatnonzero(values.any(1)), np.flatnonzero(values.any(0))
    if not len(rows):
        return None
    return int(rows[0]), int(columns[0]), values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _record(block: Block, number: int) -> bytes:
    low, high = (int(end) for end in (block.values.min(), block.values.max()))
    kind = next(i for i, name in enumerate(KINDS) if np.iinfo(name).min <= low and high <= np.iinfo(name).max)
    values = zlib.compress(np.ascontiguousarray(block.values, KINDS[kind]).tobytes(), 1)
    head = HEAD.pack(MARKER, 0, len(values), number, block.plane, block.y, block.x, *block.values.shape, kind)
    checksum = zlib.crc32(values, zlib.crc32(head[8:]))
    return MARKER + struct.pack("<I", checksum) + head[8:] + values


def _records(data: mmap.mmap, planes: int, shape: tuple[int, int]) -> Iterator[tuple[int, Block, int]]:
    """Yield (number, block, bytes in the file) of every whole record; after a damaged one, look for the next."""
    at = 0
    while (at := data.find(MARKER, at)) >= 0:
        found = _read(data, at, planes, shape)
        if found is None:
            at += 1
            continue
        yield found
        at += found[2]


def _read(data: mmap.mmap, at: int, planes: int, shape: tuple[int, int]) -> tuple[int, Block, int] | None:
    """Return the record that begins at a marker, unless it is damaged or not of this image."""
    if at + HEAD.size > len(data):
        return None
    _, checksum, length, number, plane, y, x, height, width, kind = HEAD.unpack_from(data, at)
    end = at + HEAD.size + length
    fits = plane < planes and y + height <= shape[0] and x + width <= shape[1] and height * width and kind < len(KINDS)
    if end > len(data) or not fits or zlib.crc32(data[at + 8 : end]) != checksum:
        return None
    dtype = np.dtype(KINDS[kind])
    size = height * width * dtype.itemsize
    try:
        values = zlib.decompressobj().decompress(data[at + HEAD.size : end], size + 1)  # never more than it may be
    except zlib.error:
        return None
    if len(values) != size:
        return None
    return number, Block(plane, y, x, np.frombuffer(values, dtype).reshape(height, width)), HEAD.size + length
