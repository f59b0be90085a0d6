"""What commands read before they begin, and what they refuse before hours of work."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..claims import check_file
from ..errors import BtunetError
from ..images import Stack
from ..model import Model
from ..project import Project
from ..reading import find, pair, read
from ..records import absolute
from ..replace import explaining
from ..settings import (
    FinetuneSettings,
    PretrainSettings,
)
from ..task import Strokes
from .console import say


def labelled(images: Sequence[Path], labels: Sequence[Path], dense: bool = False) -> tuple[list[Stack], list[Any]]:
    """Return images with what was drawn on each; after them, for strokes, those with nothing."""
    image_files = find(images)
    pairs = pair(image_files, find(labels))
    labelled = [image for image, _ in pairs]
    others = [image for image in image_files if image not in labelled]
    if others:
        fate = "are not used" if dense else "are only looked at"
        say(f"{len(others)} of {len(image_files)} images have no label and {fate}")
    stacks = [read(image) for image in (labelled if dense else [*labelled, *others])]
    drawn: list[Any] = [_label(read(label)) for _, label in pairs]
    return stacks, [*drawn, *({} for _ in stacks[len(drawn) :])]


def _label(stack: Stack) -> Any:
    if stack.channels != 1:
        raise ValueError(f"{stack.name} has {stack.channels} channels; labels are gray images whose values are classes")
    return stack.whole()


def needed(project: Project | None) -> Project:
    """Return the project, or say that it or --out is missing."""
    if project is None:
        raise ValueError("there is no file to write to; give --out, or --project")
    return project


def images_of(project: Project, named: Sequence[Path]) -> list[Stack]:
    """Return the images of a project, those that were named if some were."""
    files = list(find(named)) if named else []
    wanted = {absolute(file) for file in files}
    in_use = [n for n, image in enumerate(project.images) if not image.is_aside]
    numbers = [n for n in in_use if not files or project.file_of(n) in wanted]
    if not numbers:
        raise ValueError(f"{project.folder.name} knows none of these images; name some it knows, or none")
    return [project.read(n, files) for n in numbers]


def strokes_of(project: Project, named: Sequence[Path]) -> tuple[list[Stack], list[Strokes]]:
    """Return the images of a project, and what was painted on each."""
    stacks = images_of(project, named)
    places = [project.find(stack) for stack in stacks]
    return stacks, [project.journal(n).replay().planes if n is not None else {} for n in places]


def files_of(project: Project) -> list[Path]:
    """Return the files of a project's images."""
    return [path for stack in images_of(project, []) if (path := stack.path)]


def start_of(
    model: Path | None, weights: str | None, settings: PretrainSettings | FinetuneSettings, stacks: list[Stack]
) -> Model | None:
    """Return the model to start from, if there is one."""
    if model and weights:
        raise ValueError("--start-from and --encoder-weights both say what to start from; leave one of them out")
    if not weights or not stacks:  # the task says that there is no image
        return Model.load(model) if model else None
    from ..transfer import imagenet_encoder

    encoder = imagenet_encoder(settings.network, stacks[0].channels, weights)
    say(origin(encoder.history[0]))
    return encoder


def origin(record: Mapping[str, Any]) -> str:
    """Say where the weights of an encoder are from."""
    return f"encoder: {record['matched']} tensors of {record['file']} (sha256 {record['sha256'][:12]}…)"


def check_name(path: Path) -> None:
    """Refuse before hours of work a file that could not be written after them."""
    check_file(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file")
    check_folder(path.parent)
    with explaining(path), suppress(FileNotFoundError, NotADirectoryError):
        path.with_name(f".{path.name}.{os.getpid()}.part").lstat()  # as it is called until it is whole


def check_folder(folder: Path) -> None:
    """Refuse the same of a folder."""
    nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists() or p.is_symlink())
    try:
        tempfile.TemporaryFile(dir=nearest).close()  # permissions alone do not tell of disks that are read-only
    except OSError as error:
        raise BtunetError(f"{nearest} cannot be written to; choose another folder") from error
