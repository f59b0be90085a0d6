"""What a process and its child say to each other: pickles between these two only, never from a file.

Big arrays travel beside them as files in a temporary folder, and the largest are mapped on the other side.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import cloudpickle
import numpy as np

BIG = 2**16  # bytes from which an array travels as a file
HUGE = 2**26  # bytes from which it is mapped; each one keeps a file open as long as it lives, and models live long
FRAME = struct.Struct("<QQ")  # length of the pickle, number of files


def send(pipe: IO[bytes], folder: Path, content: Any) -> None:
    """Write one message: the pickle, and the names of the files its big arrays are in."""
    buffers: list[pickle.PickleBuffer] = []

    def keep_small(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < BIG:
            return True  # inside the pickle
        buffers.append(buffer)
        return False

    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=keep_small).dump(content)
    names = [_store(folder, buffer) for buffer in buffers]
    body = stream.getbuffer()
    pipe.write(FRAME.pack(len(body), len(names)))
    pipe.write("".join(f"{name}\n" for name in names).encode())
    pipe.write(body)
    pipe.flush()


def receive(pipe: IO[bytes], folder: Path) -> Any:
    """Read one message; its big arrays are read-only. Raises EOFError at the end of the stream."""
    header = pipe.read(FRAME.size)
    if len(header) < FRAME.size:
        raise EOFError
    length, files = FRAME.unpack(header)
    buffers = [_load(folder / pipe.readline().decode().strip()) for _ in range(files)]
    body = pipe.read(length)
    if len(body) < length:
        raise EOFError
    return pickle.loads(body, buffers=buffers)  # noqa: S301 (from our own child or parent, never from a file)


def _store(folder: Path, buffer: pickle.PickleBuffer) -> str:
    handle, name = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(buffer.raw())
    return Path(name).name


def _load(path: Path) -> bytes | mmap.mmap:
    with path.open("rb") as file:
        is_huge = os.fstat(file.fileno()).st_size >= HUGE
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if is_huge else file.read()
    with suppress(PermissionError):  # Windows keeps mapped files; they go with the folder
        path.unlink()
    return content


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Takes the functions inside lazy arrays along; arrays mapped from a file are opened again, not copied."""

    def reducer_override(self, obj: Any) -> Any:
        whole = isinstance(obj, np.memmap) and obj.filename and isinstance(obj.base, mmap.mmap)
        if whole and obj.flags.c_contiguous and obj.mode != "c":  # "c": changes exist in memory only
            return np.memmap, (obj.filename, obj.dtype, "r", obj.offset, obj.shape)
        return super().reducer_override(obj)
