"""Pre-training on another machine: what it needs is put into the project, and the encoder comes back there."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tifffile

from .images import Stack
from .model import Model
from .project import Project
from .replace import replacing
from .settings import PretrainSettings, ViewSettings
from .task import Progress, Task

SCRIPT = "pretrain.sh"
SPARE_MINUTES = 10  # for starting and saving
HEAD = """\
#!/bin/bash
# Pre-trains an encoder on the images of this project. Start it in this folder, on any machine that has btunet and can
# read the images: "bash {script}", or "sbatch {script}" where there is Slurm. Started again, it goes on where it was.
#SBATCH --job-name=btunet
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time={minutes}
#SBATCH --open-mode=append
set -e
cd "${{SLURM_SUBMIT_DIR:-$(dirname "$0")}}"
"""


def prepare(
    project: Project,
    images: Sequence[tuple[int, Stack]],
    settings: PretrainSettings,
    *,
    views: ViewSettings | None = None,
    start_from: Model | None = None,
) -> Task[Project]:
    """Write a script that pre-trains on images of a project, and those images that are in no file.

    Parameters
    ----------
    project
        Knows the images.
    images
        Place in the project and stack of each.
    settings
        How to train.
    views
        What the network is told to ignore.
    start_from
        A model whose encoder is trained further.

    Yields
    ------
    Progress
        One per image. The reply ``True`` stops before there is a script.

    Returns
    -------
    Project
        In which every one of these images has a file. It is not saved.

    Raises
    ------
    BtunetError
        If a file cannot be written.
    """
    for step, (number, stack) in enumerate(images):
        if (yield Progress("copying images", step, len(images))) is True:
            return project
        if not project.images[number].path:
            path = project.folder / "images" / f"{number + 1:04}.tif"
            _copy(stack, path)
            project = project.with_file(number, path)
    if start_from is not None:
        start_from.save(project.folder / "start.safetensors")
    with replacing(project.folder / SCRIPT) as part:
        numbers = [number for number, _ in images]
        part.write_text(script(project, numbers, settings, views, is_continued=start_from is not None), "utf-8")
    return project


def script(
    project: Project,
    numbers: Sequence[int],
    settings: PretrainSettings,
    views: ViewSettings | None = None,
    *,
    is_continued: bool = False,
) -> str:
    """Return the script, for bash and for Slurm; every name and value in it is quoted."""
    flags = [part for name, value in settings.as_dict().items() for part in (f"--{_flag(name)}", str(value))]
    flags += [f"--no-{_flag(name)}" for name, value in (views or ViewSettings()).as_dict().items() if not value]
    more = ["--start-from", "start.safetensors"] if is_continued else []
    files = [project.images[number].path for number in numbers]
    command = ["btunet", "pretrain", *files, "--project", ".", "--resume", *more, *flags]
    minutes = round(settings.minutes) + SPARE_MINUTES if not settings.steps else 24 * 60
    return f"{HEAD.format(script=SCRIPT, minutes=minutes)}exec {shlex.join(command)}\n"


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _copy(stack: Stack, path: Path) -> None:
    """Write an image as TIFF, a page at a time."""
    shape = tuple(int(n) for n in stack.data.shape)
    page = 3 if stack.axes.endswith("S") else 2

    def pages() -> Iterator[np.ndarray]:
        for index in np.ndindex(shape[:-page]):
            yield np.asarray(stack.data[index])

    color = "rgb" if stack.axes.endswith("S") else "minisblack"
    dtype = np.dtype(np.uint8) if stack.data.dtype == bool else np.dtype(stack.data.dtype)
    with replacing(path) as part:
        tifffile.imwrite(
            part,
            (p.astype(dtype, copy=False) for p in pages()),
            shape=shape,
            dtype=dtype,
            photometric=color,
            bigtiff=True,
            metadata={"axes": stack.axes},
        )
