"""A project: the folder in which the work on some images is kept, shared by the window, the command line and a cluster.

What is in it, and what each file promises, is written in docs/project.md.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .errors import BtunetError
from .images import CHANNEL_AXES, Stack
from .journal import Journal
from .model import Model
from .reading import read
from .records import ImageRecord, absolute, digest, written
from .replace import explaining, replacing

FORMAT = 1
SUFFIX = ".btunet"  # of the folder
FILE = "project.json"


@dataclass(frozen=True)
class Project:
    """The list of what a project's folder holds; the folder holds the rest.

    Parameters
    ----------
    folder
        Where it is; its name ends in .btunet.
    classes
        Names, background first.
    images
        In the order they were painted; the place of one in this list names its strokes.
    present
        Number of the model that predicts; 0 if there is none.
    strokes, seconds
        How much was painted, and how long the hand was at work, as of the last change of this list.
    """

    folder: Path
    classes: tuple[str, ...] = ("Background", "Object")
    images: tuple[ImageRecord, ...] = ()
    present: int = 0
    strokes: int = 0
    seconds: float = 0.0

    @classmethod
    def open(cls, folder: str | Path) -> Project:
        """Read a project; nothing in it is executed, and no other file is opened.

        Raises
        ------
        BtunetError
            If it cannot be read, is none, is broken, or was written by a newer version of this package.
        """
        folder = absolute(Path(folder))
        try:
            with (folder / FILE).open("rb") as file:
                found = json.loads(file.read(2**24))
            if int(found["btunet project"]) > FORMAT:
                newer = found["btunet project"]
                raise BtunetError(f"{folder.name} was written by a newer btunet (format {newer}); update this one")
            images = tuple(ImageRecord.checked(entry) for entry in found["images"])
            classes, painted = tuple(str(c) for c in found["classes"]), found.get("painted", {})
            spent = max(0, int(painted.get("strokes", 0))), _seconds(painted.get("seconds", 0.0))
            return cls(folder, classes, images, int(found["present"]), *spent)
        except OSError as error:
            raise BtunetError(f"{folder} is not a project, or cannot be read: {error.strerror or error}") from error
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise BtunetError(f"{folder.name}/{FILE} is broken ({error}); its strokes and models are whole") from error

    def save(self) -> None:
        """Write the list; the old one stays until the new one is complete.

        Raises
        ------
        BtunetError
            If it cannot be written.
        """
        images = [dataclasses.asdict(image) for image in self.images]
        found = {"btunet project": FORMAT, "classes": self.classes, "images": images, "present": self.present}
        found["painted"] = {"strokes": self.strokes, "seconds": self.seconds}
        with replacing(self.folder / FILE) as part, part.open("w") as file:
            file.write(json.dumps(found, indent=1))
            file.flush()
            os.fsync(file.fileno())

    def copied_to(self, folder: Path) -> Project:
        """Copy everything to another folder, where there is nothing yet, and return the project there.

        Raises
        ------
        BtunetError
            If it cannot be copied; there is nothing of it there then.
        """
        folder = absolute(folder)
        files = [self.file_of(number) for number in range(len(self.images))]
        images = [
            dataclasses.replace(image, path=written(file, folder))
            if file and not file.is_relative_to(self.folder)
            else image
            for image, file in zip(self.images, files, strict=True)
        ]
        copied = dataclasses.replace(self, folder=folder, images=tuple(images))
        with replacing(folder) as part:
            shutil.copytree(self.folder, part, ignore=shutil.ignore_patterns("lock", ".*"))
            dataclasses.replace(copied, folder=part).save()
        return copied

    def hold(self) -> FileLock | None:
        """Return a lock that is ours until it is released or this process ends; None if another window has it.

        Raises
        ------
        BtunetError
            If the folder cannot be written to.
        """
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        except OSError as error:
            raise BtunetError(f"{self.folder} cannot be written to: {error.strerror or error}") from error
        return lock

    # ------------------------------------------------------------------------------------------ images and strokes

    def with_image(self, stack: Stack) -> Project:
        """Return the project with one more image."""
        return dataclasses.replace(self, images=(*self.images, ImageRecord.of(stack, self.folder)))

    def with_file(self, number: int, path: Path) -> Project:
        """Return the project with another file for an image."""
        return self._with(number, dataclasses.replace(self.images[number], path=written(path, self.folder)))

    def _with(self, number: int, record: ImageRecord) -> Project:
        return dataclasses.replace(self, images=(*self.images[:number], record, *self.images[number + 1 :]))

    def find(self, stack: Stack) -> int | None:
        """Return the place of an image in the list, by its file, or by its values if it was moved; None if it is new.

        An image whose file has another shape than when it was painted is new. If some are kept aside, those that
        were painted on the same values are found, or else those that are in use.
        """
        fitting = [number for number, image in enumerate(self.images) if image.fits(stack)]
        if stack.path:
            here = [n for n in fitting if self.file_of(n) == absolute(stack.path)]
            in_use = [n for n in here if not self.images[n].is_aside]
            if len(here) == 1 or (here and not digest(stack)):
                return (in_use or here)[-1]
            if here:
                return next((n for n in here if self.images[n].digest == digest(stack)), (in_use or here)[-1])
        own = digest(stack)
        return next((n for n in fitting if own and own == self.images[n].digest), None)

    def is_changed(self, number: int, stack: Stack) -> bool:
        """Whether an image has other values than when it was painted."""
        then, now = self.images[number].digest, digest(stack)
        return bool(then and now and then != now)

    def accepting(self, number: int, stack: Stack) -> Project:
        """Return the project with the values that an image has now."""
        return self._with(number, dataclasses.replace(self.images[number], digest=digest(stack)))

    def using(self, number: int) -> Project:
        """Return the project in which these strokes of an image are used, and all others of its file are kept aside."""
        path = self.images[number].path
        images = [
            dataclasses.replace(image, is_aside=n != number) if n == number or (path and image.path == path) else image
            for n, image in enumerate(self.images)
        ]
        return dataclasses.replace(self, images=tuple(images))

    def file_of(self, number: int) -> Path | None:
        """Return the file of an image; None if it has none."""
        path = self.images[number].path
        return absolute(self.folder / path) if path else None

    def is_near(self, number: int) -> bool:
        """Whether the file of an image lies in the project's folder or in the folder that one lies in.

        Others are opened only if the user names them: a project may come from somebody else.
        """
        path = self.file_of(number)
        return path is not None and path.resolve().is_relative_to(self.folder.parent.resolve())

    def read(self, number: int, named: Collection[Path] = ()) -> Stack:
        """Read an image of the project.

        Parameters
        ----------
        number
            Its place in the list.
        named
            Files the user named: they may lie anywhere.

        Raises
        ------
        BtunetError
            If it has no file, the file lies outside the project's folder and was not named, it has another shape than
            when it was painted, or it cannot be read.
        """
        image, path = self.images[number], self.file_of(number)
        if path is None:
            raise BtunetError(f"{image.name} was never in a file; save it, open that file and paint there")
        if not self.is_near(number) and path not in map(absolute, named):
            raise BtunetError(
                f"{self.folder.name} names {path}, which does not lie beside it; name that file too if it may be read"
            )
        found = read(path)
        if not image.fits(found):
            raise BtunetError(f"{path.name} is {found.describe()}, not what was painted; its strokes do not fit it")
        return found

    def journal(self, number: int) -> Journal:
        """Return the strokes of an image."""
        image = self.images[number]
        *planes, height, width = (n for a, n in zip(image.axes, image.shape, strict=True) if a not in CHANNEL_AXES)
        return Journal(self.folder / "strokes" / f"{number + 1:04}.journal", math.prod(planes), (height, width))

    # ------------------------------------------------------------------------------------------ models and the log

    @property
    def encoder(self) -> Path:
        """The file of the pre-trained encoder, which may not be there."""
        return self.folder / "encoder.safetensors"

    @property
    def checkpoint(self) -> Path:
        """What the window's pre-training needs to go on after an interruption; not there unless it was interrupted."""
        return self.folder / "pretraining.checkpoint"

    def save_encoder(self, encoder: Model) -> None:
        """Save an encoder as the present one; the one before stays in the folder encoders.

        Raises
        ------
        BtunetError
            If it cannot be written.
        """
        if self.encoder.exists():
            others = self.folder / "encoders"
            numbers = [int(path.stem) for path in others.glob("*.safetensors") if path.stem.isdigit()]
            with replacing(others / f"{max(numbers, default=0) + 1:04}.safetensors") as part:
                shutil.copy2(self.encoder, part)
        encoder.save(self.encoder)

    def model(self, number: int) -> Path:
        """Return the file of a model, which may not be there; they are numbered from 1."""
        return self.folder / "models" / f"{number:04}.safetensors"

    @property
    def models(self) -> list[int]:
        """Numbers of the models that are there, the oldest first."""
        return sorted(int(path.stem) for path in self.folder.glob("models/*.safetensors") if path.stem.isdigit())

    @property
    def next_model(self) -> Path:
        """The file of a model that is not there yet."""
        return self.model(max(self.models, default=0) + 1)

    def log(self, sentence: str) -> None:
        """Add a line to log.txt, with the time.

        Raises
        ------
        BtunetError
            If it cannot be written.
        """
        path = self.folder / "log.txt"
        with explaining(path), path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {sentence}\n")


def folder_beside(path: Path) -> Path:
    """Return the folder of the project of an image."""
    return path.with_name(f"{path.name.split('.')[0]}{SUFFIX}")


def projects_of(path: Path) -> list[Path]:
    """Return the folders of projects beside an image that may be about it, the one named like it first."""
    named = folder_beside(path)
    others = sorted(folder for folder in path.parent.glob(f"*{SUFFIX}") if folder != named)
    return [folder for folder in (named, *others) if (folder / FILE).is_file()]


def _seconds(found: Any) -> float:
    """Return a length of time, 0 for one that cannot be."""
    seconds = float(found)
    return seconds if 0 <= seconds < math.inf else 0.0
