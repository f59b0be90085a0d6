"""Brings back what was kept of an image when it is opened again."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import btunet
from btunet.project import Project, projects_of

from . import _layers
from ._places import chosen, has_file, home, named
from ._writing import NO_FILE, Writing, stamp_of

if TYPE_CHECKING:
    from napari.layers import Image

    from ._subject import Subject

MOST_MODELS = 30  # that are opened with a project, the newest


class Restoring(Writing):
    """Finds the project of an image, and puts strokes, classes and models back where they were."""

    def restore(self, subject: Subject) -> bool:
        """Bring back what is known of an image that was just opened or chosen; return whether anything is."""
        stack = subject.stack
        if self.project is None:
            self._miss(stack)
            self._open_one_of(_folders(subject.image), stack)
        if self.project is None:
            return False
        number = self.project.find(stack)
        if number is None:
            return self._take_over(subject)
        self._numbers[subject.image] = number
        self._use(number)
        try:
            journal = self._journal(subject.image)
            found = journal.replay()
            if not self.is_read_only:
                journal.compact(found)
        except btunet.BtunetError as error:
            self.session.said.emit(str(error), True)
            return False
        self._told[subject.image.name] = found.number
        is_back = bool(found.planes) and subject.restore(found.planes)
        subject.strokes.editable = not self.is_read_only
        if self.project.is_changed(number, stack) and found.planes:
            self.changed.add(subject.image)
        self._tell(subject.image, len(found.planes) if is_back else 0)
        return True

    def _miss(self, stack: btunet.Stack) -> None:
        """Say so if the project that the user chose for an image is not there, as with a disk that is not connected."""
        folder = chosen(stack)
        if folder is not None and not folder.exists():
            why = f"{stack.name} is kept in {folder}, which is not there now"
            self.session.said.emit(f"{why}; what is painted without it goes to another project.", True)

    def _take_over(self, subject: Subject) -> bool:
        """Bring back strokes from another project than the one that is open; they are kept in both from now on."""
        stack = subject.stack
        for folder in _folders(subject.image):
            with suppress(btunet.BtunetError):  # as above
                other = Project.open(folder)
                number = other.find(stack)
                if number is not None and (planes := other.journal(number).replay().planes) and subject.restore(planes):
                    subject.kept.forget()  # everything is to be written
                    self.soon()
                    self.session.said.emit(f"Strokes of {stack.name} were taken over from {folder.name}.", False)
                    return True
        return False

    def _open_one_of(self, folders: list[Path], stack: btunet.Stack) -> None:
        """Open the first project that knows an image."""
        for folder in folders:
            with suppress(btunet.BtunetError):  # it is somebody else's, or broken, and stays as it is
                project = Project.open(folder)
                if project.find(stack) is not None:
                    self._open(project)
                    return

    def _open(self, project: Project) -> None:
        """Go on with a project: its classes, its models, and after them what was trained or opened before."""
        self.project = project
        self._lock = self._hold(project)
        self.is_read_only = self._lock is None
        models = {n: model for n in project.models[-MOST_MODELS:] if (model := self._load(project.model(n)))}
        self._rounds, self._broken = list(models), set(project.models) - set(models)
        self._stamp = stamp_of(project.encoder)
        self._encoder = self._load(project.encoder) if self._stamp != NO_FILE else None
        at = self._rounds.index(project.present) if project.present in models else len(models) - 1
        self.session.effort.add(project.strokes, project.seconds)
        self.session.begin_with(project.classes, self._encoder, list(models.values()), at)
        self._let_models_rest()
        if not self.is_read_only:
            self.going_on.look(project.checkpoint)
        self._on_begun()

    def _hold(self, project: Project) -> Any:
        try:
            return project.hold()
        except btunet.BtunetError as error:
            self.session.said.emit(str(error), True)
            return None

    def _load(self, path: Path) -> btunet.Model | None:
        """Return a model of the project; None, and say why, if it is broken."""
        try:
            return btunet.Model.load(path)
        except btunet.BtunetError as error:  # the others are whole
            self.session.said.emit(str(error), True)
            return None

    def _tell(self, image: Image, planes: int) -> None:
        """Say what was found, and what is strange about it."""
        assert self.project is not None
        models = f", {len(self._rounds)} model{'s' * (len(self._rounds) > 1)}" if self._rounds else ""
        painted = f"strokes on {planes} plane{'s' * (planes > 1)}" if planes else "no strokes"
        sentence = f"Found {self.project.folder.name}: {painted}{models}."
        if self.is_read_only:
            sentence += " Another window has it, or it cannot be written to, so here it can only be looked at."
        if self.going_on.found is not None:
            sentence += f" {self.going_on.found.sentence()}"
        if image in self.changed:
            sentence += f" But {image.name} has other values than when it was painted: check where the strokes lie."
        self.session.said.emit(sentence, False)

    # ------------------------------------------------------------------------------------------ images that changed

    def _use(self, number: int) -> None:
        """Use strokes that were kept aside, now that the image is what it was."""
        assert self.project is not None
        if self.project.images[number].is_aside and not self.is_read_only:
            self.project = self.project.using(number)
            self._store.act(self._save_list)
            self.soon()

    def accept(self, image: Image) -> None:
        """Use the strokes of an image that has other values now; it is not asked again."""
        if image in self.changed and self.project is not None and not self.is_read_only:
            self._choose(image, self.project.accepting(self._numbers[image], _layers.stack_of(image)))
            self.session.said.emit(f"The strokes of {image.name} are used on the image as it is now.", False)

    def set_aside(self, subject: Subject) -> None:
        """Keep the strokes of an image that has other values now in the project, and begin anew on it."""
        image = subject.image
        if image in self.changed and self.project is not None and not self.is_read_only:
            self.save(math.inf)
            project = self.project.with_image(_layers.stack_of(image))
            self._numbers[image] = len(project.images) - 1
            self._journals.pop(image, None)
            self._told[image.name] = 0
            subject.kept.begin_with({})
            self._choose(image, project.using(self._numbers[image]))
            self.session.said.emit(
                f"The strokes of {image.name} are kept aside; they come back with its values.", False
            )
            subject.erase()

    def _choose(self, image: Image, project: Project) -> None:
        self.project = project
        self.changed.discard(image)
        self._store.act(self._save_list)
        self.soon()


def _folders(image: Image) -> list[Path]:
    """Return where the project of an image may be, the likeliest first."""
    stack = _layers.stack_of(image)
    named_by = [folder for folder in (_layers.project_of(image), chosen(stack)) if folder]
    beside = projects_of(stack.path) if stack.path and has_file(stack) else []
    return [*named_by, *beside, home() / named(stack)]
