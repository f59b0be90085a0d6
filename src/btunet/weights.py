"""The weights of a model: in memory, or in its file until they are wanted."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from .claims import check_file
from .errors import BtunetError


class Weights(Mapping[str, np.ndarray]):
    """Arrays by name.

    Parameters
    ----------
    arrays
        Name of each tensor → array; they are not copied.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays: Mapping[str, np.ndarray] | None = arrays
        self._file = Path(), (0, 0)  # where they are if they are not in memory, and the stamp of that file
        self._names = tuple(arrays)
        self.size = sum(int(array.size) for array in arrays.values())  # values

    def __getitem__(self, name: str) -> np.ndarray:
        arrays = self._arrays  # another thread may let them rest
        return self._read((name,))[name] if arrays is None else arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __reduce__(self) -> tuple[Any, ...]:
        return Weights, (self._all(),)

    def items(self) -> ItemsView[str, np.ndarray]:
        """Return names and arrays, read once for all."""
        return self._all().items()

    def values(self) -> ValuesView[np.ndarray]:
        """Return the arrays, read once for all."""
        return self._all().values()

    @property
    def bytes_in_memory(self) -> int:
        """How much memory they take."""
        return sum(array.nbytes for array in (self._arrays or {}).values())

    def rest_in(self, path: Path) -> None:
        """Give their memory back: from now on they are read from a file that holds the same (`Model.rest_in`).

        They stay where they are if that file is not there.
        """
        if self._arrays is None and path == self._file[0]:
            return
        with suppress(OSError):
            self._file = path, _stamp_of(path)
            self._arrays = None

    def wake(self) -> None:
        """Read them, and keep them in memory (`Model.wake`)."""
        self._arrays = self._all()

    def _all(self) -> Mapping[str, np.ndarray]:
        arrays = self._arrays
        return self._read(self._names) if arrays is None else arrays

    def _read(self, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        path, stamp = self._file
        with reading_weights(path) as file:
            if _stamp_of(path) != stamp:
                raise BtunetError(f"{path} was written anew by something else, so this model is not there any more")
            return {name: checked(path, file.get_tensor(name)) for name in names}


def _stamp_of(path: Path) -> tuple[int, int]:
    """Return when a file was written, nanoseconds, and its length, bytes."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def checked(path: Path, weight: np.ndarray) -> np.ndarray:
    """Return an array of a file.

    Raises
    ------
    BtunetError
        If it is NaN or infinite somewhere.
    """
    if weight.dtype.kind == "f" and not np.isfinite(weight).all():
        raise BtunetError(f"{path.name} holds weights that are NaN or infinite; train again with a lower rate")
    return weight


@contextmanager
def reading_weights(path: Path) -> Iterator[Any]:
    """Open a safetensors file; nothing in it is executed.

    Raises
    ------
    BtunetError
        If it cannot be read, or is not such a file.
    """
    check_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except OSError as error:
        raise BtunetError(f"{path} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise BtunetError(f"{path.name} is not a model file, or it is broken ({error})") from error
    except TypeError as error:  # numpy has no such numbers
        raise BtunetError(f"{path.name} holds weights that are not float32 ({error}); get another copy") from error
