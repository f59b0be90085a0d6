"""What a training needs to go on after it was interrupted, in one file that runs no code when it is read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .claims import check_file
from .errors import BtunetError
from .replace import replacing

FORMAT = 1
HEADER = "btunet checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps.

    Parameters
    ----------
    about
        What it was started with by name, JSON-ready: it goes on only with the same.
    state
        What moved since, JSON-ready.
    tensors
        Arrays that moved since.
    """

    about: Mapping[str, Any]
    state: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]

    def save(self, path: Path) -> None:
        """Write one file; the old file stays until the new one is complete.

        Raises
        ------
        BtunetError
            If it cannot be written.
        """
        header = json.dumps({"format": FORMAT, "about": self.about, "state": self.state})
        in_order = {
            name: np.asarray(tensor, order="C") for name, tensor in self.tensors.items()
        }  # or they are mixed up
        with replacing(path) as part, part.open("wb") as file:
            file.write(save(in_order, {HEADER: header}))
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a file; nothing in it is executed.

        Raises
        ------
        BtunetError
            If the file cannot be read, is broken, is no checkpoint, or was written by a newer version of this package.
        """
        return cls._read(path, lambda file: {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118

    @classmethod
    def glance(cls, path: Path) -> Checkpoint:
        """Read a file as `load` does, but none of its tensors."""
        return cls._read(path, lambda _: {})

    @classmethod
    def _read(cls, path: Path, tensors_of: Callable[[Any], dict[str, np.ndarray]]) -> Checkpoint:
        check_file(path)
        try:
            with safe_open(path, framework="numpy") as file:
                header = (file.metadata() or {}).get(HEADER)
                if header is None:
                    raise BtunetError(f"{path.name} is not a checkpoint; choose a file made while pre-training")
                tensors = tensors_of(file)
        except OSError as error:
            raise BtunetError(f"{path} cannot be read: {error.strerror or error}") from error
        except (SafetensorError, TypeError) as error:  # TypeError: numpy has no such numbers
            raise broken(path, error) from error
        try:
            found = json.loads(header)
            if int(found["format"]) > FORMAT:
                raise BtunetError(f"{path.name} was written by a newer btunet (format {found['format']}); update this")
            return cls(dict(found["about"]), dict(found["state"]), tensors)
        except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise broken(path, error) from error

    def check(self, path: Path, about: Mapping[str, Any]) -> None:
        """Raise ValueError unless the training was started with the same."""
        for name, now in json.loads(json.dumps(about)).items():
            then = self.about.get(name)
            if then != now:
                values = "" if isinstance(now, list | dict) else f" ({then}, not {now})"
                raise ValueError(
                    f"{path.name} is of a training with other {name.replace('_', ' ')}{values}; "
                    "give the same, or start anew without resuming"
                )


def broken(path: Path, error: Exception) -> BtunetError:
    """Return what to say of a checkpoint that cannot be used."""
    return BtunetError(f"{path.name} is not a checkpoint, or it is broken ({error}); start anew without resuming")
