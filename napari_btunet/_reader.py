"""Open a project folder: its images, which know where their strokes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import btunet
from btunet.project import FILE, SUFFIX, Project

from ._layers import ROLE
from ._places import files_in

Layer = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[Layer]] | None:
    """Return the reader if this is a project."""
    folder = _folder(path)
    return read_project if folder.suffix == SUFFIX and (folder / FILE).is_file() else None


def read_project(path: str | Sequence[str]) -> list[Layer]:
    """Return the images of a project as napari's layers; strokes come with them if the panel is open, or later.

    An image that cannot be read is left out with a sentence, and so is one that does not lie beside the project, unless
    the user keeps its project there.

    Raises
    ------
    BtunetError
        If it is no project, or none of its images can be read.
    """
    from napari.utils.notifications import show_warning

    project = Project.open(_folder(path))
    layers, troubles = list[Layer](), list[str]()
    for number, image in enumerate(project.images):
        if image.is_aside:
            continue
        try:
            stack = project.read(number, files_in(project.folder))
        except btunet.BtunetError as error:
            troubles.append(str(error))
        else:
            layers.append((stack.data, _options(stack, image.name, project), "image"))
    if not layers:
        raise btunet.BtunetError("; ".join(troubles) or f"{project.folder.name} has no images yet")
    for trouble in troubles:
        show_warning(trouble)
    return layers


def _folder(path: str | Sequence[str]) -> Path:
    return Path(path if isinstance(path, str) else path[0])


def _options(stack: btunet.Stack, name: str, project: Project) -> dict[str, Any]:
    """Return what lays out an image layer, and where it is from: napari itself knows of the folder only."""
    axes = stack.axes.removesuffix("S")
    options: dict[str, Any] = {
        "name": name,
        "rgb": stack.axes.endswith("S"),
        "axis_labels": tuple(axes.lower()),
        "metadata": {ROLE: {"file": str(stack.path), "project": str(project.folder)}},
    }
    if stack.scale:
        options["scale"] = (1.0,) * (len(axes) - len(stack.scale)) + tuple(stack.scale)
    if stack.scale and stack.unit:
        options["units"] = ("pixel",) * (len(axes) - len(stack.scale)) + (stack.unit,) * len(stack.scale)
    return options
