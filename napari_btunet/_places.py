"""Where projects are kept that do not lie beside their image."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from platformdirs import user_data_path

import btunet
from btunet.project import SUFFIX
from btunet.records import absolute, digest
from btunet.replace import replacing

FILE = "places.json"  # image → folder, for those that the user chose


def home() -> Path:
    """Return where projects are kept that cannot lie beside an image: $BTUNET_PROJECTS, or the user's data folder."""
    chosen = os.environ.get("BTUNET_PROJECTS")
    return Path(chosen) if chosen else user_data_path("napari-btunet", appauthor=False) / "projects"


def has_file(stack: btunet.Stack) -> bool:
    """Return whether an image comes from a file on this machine."""
    return stack.path is not None and stack.path.exists()


def named(stack: btunet.Stack) -> str:
    """Return the name of a project's folder that cannot lie beside the image; the same for the same image."""
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in stack.name)[:60]
    return f"{name}-{digest(stack)[:12] or 'x'.join(map(str, stack.data.shape))}{SUFFIX}"


def free(folder: Path) -> Path:
    """Return a folder of this name, or with a number after it, in which there is nothing yet."""
    number, found = 1, folder
    while found.exists():
        number += 1
        found = folder.with_name(f"{folder.stem}-{number}{SUFFIX}")
    return found


def key_of(stack: btunet.Stack) -> str:
    """Return by what an image is known here: its file, or what a project of its own would be called."""
    return str(absolute(stack.path)) if stack.path else named(stack)


def chosen(stack: btunet.Stack) -> Path | None:
    """Return the project that the user chose for an image; None if there is none."""
    folder = _all().get(key_of(stack))
    return Path(folder) if folder else None


def files_in(folder: Path) -> list[Path]:
    """Return the files whose project the user keeps in this folder, and which may therefore be read with it."""
    return [Path(key) for key, kept in _all().items() if Path(kept) == folder]


def choose(keys: Iterable[str], folder: Path) -> None:
    """Remember the project of images.

    Raises
    ------
    BtunetError
        If it cannot be written down.
    """
    found = {**_all(), **dict.fromkeys(keys, str(folder))}
    with replacing(home() / FILE) as part:
        part.write_text(json.dumps(found, indent=1), "utf-8")


def _all() -> dict[str, str]:
    try:
        found = json.loads((home() / FILE).read_text("utf-8"))
        return {str(key): str(folder) for key, folder in found.items()}
    except (OSError, AttributeError, ValueError, RecursionError):  # none was chosen, or nobody knows any more
        return {}
