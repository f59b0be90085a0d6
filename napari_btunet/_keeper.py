"""Keeps everything in a project folder while the user works, and brings it back: nothing to save, nothing to lose."""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path
from qtpy.compat import isalive
from qtpy.QtCore import QTimer

import btunet
from btunet.journal import Block, Journal
from btunet.project import SUFFIX, ImageRecord, Project, digest, folder_beside, projects_of

if TYPE_CHECKING:
    from napari.layers import Image

    from ._models import Models
    from ._subject import Subject

SOON = 400  # milliseconds from a change to its way to the disk
AGAIN = 2000  # milliseconds after which what could not be written is tried again
MOST_MODELS = 30  # that are opened with a project, the newest


def home() -> Path:
    """Return where projects are kept that cannot lie beside an image: $BTUNET_PROJECTS, or the user's data folder."""
    chosen = os.environ.get("BTUNET_PROJECTS")
    return Path(chosen) if chosen else user_data_path("napari-btunet", appauthor=False) / "projects"


class Keeper:
    """Writes what happens in a session to its project, in a thread of its own, and reads it back.

    The project begins beside the first image that is painted, or in `home` where that is not possible; images that
    are painted later join it.

    Parameters
    ----------
    session
        What is kept.
    """

    def __init__(self, session: Models) -> None:
        self.session = session
        self.project: Project | None = None
        self.is_read_only = False  # another window has the project
        self.trouble = ""  # why something is not on the disk, if that is so
        self._is_closed = False
        self._lock: Any = None
        self._numbers: dict[Image, int] = {}  # image → its place in the project
        self._journals: dict[Image, Journal] = {}
        self._told: dict[str, int] = {}  # name of an image → changes of its strokes so far
        self._rounds: list[int] = []  # numbers of the files of the history's models
        self._encoder: btunet.Model | None = None  # the one that has a file
        self._strokes: deque[tuple[Journal, list[Block]]] = deque()  # what waits to be written, in this order
        self._acts: deque[Callable[[], Any]] = deque()  # after the strokes, in any order
        self._writer = ThreadPoolExecutor(1, "btunet writer")
        self._work: Future[str] | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.save)

    # ------------------------------------------------------------------------------------------ bringing back

    def restore(self, subject: Subject) -> bool:
        """Bring back what is known of an image that was just opened or chosen; return whether anything is."""
        stack = subject.stack
        if self.project is None:
            self._open_one_of(
                [*(projects_of(stack.path) if stack.path and has_file(stack) else ()), home() / _name(stack)], stack
            )
        number = self.project.find(stack) if self.project else None
        if self.project is None or number is None:
            return False
        self._numbers[subject.image] = number
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
        self._tell(stack, self.project.images[number], len(found.planes) if is_back else 0)
        return True

    def _open_one_of(self, folders: list[Path], stack: btunet.Stack) -> None:
        """Open the first project that knows an image."""
        for folder in folders:
            with suppress(btunet.BtunetError):  # it is somebody else's, or broken, and stays as it is
                project = Project.open(folder)
                if project.find(stack) is not None:
                    self._open(project)
                    return

    def _open(self, project: Project) -> None:
        """Go on with a project: its classes, its models."""
        self.project = project
        self._lock = self._hold(project)
        self.is_read_only = self._lock is None
        models = []
        for number in project.models[-MOST_MODELS:]:
            try:
                models.append((number, btunet.Model.load(project.model(number))))
            except btunet.BtunetError as error:  # the others are whole
                self.session.said.emit(str(error), True)
        if project.encoder.exists():
            try:
                self._encoder = btunet.Model.load(project.encoder)
            except btunet.BtunetError as error:
                self.session.said.emit(str(error), True)
        self._rounds = [number for number, _ in models]
        at = self._rounds.index(project.present) if project.present in self._rounds else len(models) - 1
        self.session.begin_with(project.classes, self._encoder, [model for _, model in models], at)

    def _hold(self, project: Project) -> Any:
        try:
            return project.hold()
        except btunet.BtunetError as error:
            self.session.said.emit(str(error), True)
            return None

    def _tell(self, stack: btunet.Stack, image: ImageRecord, planes: int) -> None:
        """Say what was found, and what is strange about it."""
        assert self.project is not None
        models = f", {len(self._rounds)} model{'s' * (len(self._rounds) > 1)}" if self._rounds else ""
        painted = f"strokes on {planes} plane{'s' * (planes > 1)}" if planes else "no strokes"
        sentence = f"Found {self.project.folder.name}: {painted}{models}."
        if self.is_read_only:
            sentence += " Another window has it, or it cannot be written to, so here it can only be looked at."
        now = digest(stack)
        if image.digest and now and image.digest != now:
            sentence += f" But {stack.name} has other values than when it was painted: check where the strokes lie."
        self.session.said.emit(sentence, False)

    # ------------------------------------------------------------------------------------------ keeping

    def soon(self, _: Any = None) -> None:
        """Write what changed in a moment."""
        if isalive(self._timer) and not self._timer.isActive():
            self._timer.start(AGAIN if self.trouble else SOON)

    def save(self) -> None:
        """Send everything that changed to the disk, and hear what became of what was sent before."""
        if self.is_read_only or self._is_closed:
            return
        for subject in list(self.session.subjects.values()):
            journal = self._journals.get(subject.image)
            if journal is not None and journal.is_disturbed:
                subject.kept.forget()  # somebody else changed the file, so it gets everything once more
                journal.is_disturbed = False
            if subject.kept.is_settled:
                continue
            blocks = subject.kept.blocks()
            if blocks and self._knows(subject):
                self._strokes.append((self._journal(subject.image), blocks))
                self._told[subject.image.name] = self._told.get(subject.image.name, 0) + len(blocks)
            elif blocks:
                subject.kept.forget()  # tried again
        self._send_models()
        self._listen()
        if self._work is None and (self._strokes or self._acts):
            self._work = self._writer.submit(self._write)
        if self._work is not None or not all(s.kept.is_settled for s in self.session.subjects.values()):
            self.soon()

    def _knows(self, subject: Subject) -> bool:
        """Make sure there is a project and that it knows an image; return whether that is so."""
        if subject.image in self._numbers:
            return True
        number = self.project.find(subject.stack) if self.project else None
        if number is None:
            project = self.project.with_image(subject.stack) if self.project else self._create(subject.stack)
            if project is None:
                return False
            self.project, number = project, len(project.images) - 1
            self._acts.append(self._save_list)
        self._numbers[subject.image] = number
        self.note(f"Began with {subject.stack.name}: {subject.stack.describe()}.")
        return True

    def _create(self, stack: btunet.Stack) -> Project | None:
        """Begin a project beside an image, or else at home."""
        beside = [folder_beside(stack.path)] if stack.path and has_file(stack) else []
        why = ""
        for folder in (*beside, home() / _name(stack)):
            project = Project(_free(folder), tuple(self.session.classes)).with_image(stack)
            try:
                project.save()
                self._lock = project.hold()
            except btunet.BtunetError as error:
                why = str(error)
                continue
            self.session.said.emit(f"Strokes and models are kept in {project.folder}.", False)
            return project
        self._fail(why)
        return None

    def _journal(self, image: Image) -> Journal:
        assert self.project is not None
        if image not in self._journals:
            self._journals[image] = self.project.journal(self._numbers[image])
        return self._journals[image]

    def _send_models(self) -> None:
        """Send a new encoder, new models, new classes and another choice to the disk."""
        session = self.session
        new = [found.model for found in session.history.rounds[len(self._rounds) :]]
        if self.project is None:
            is_worth_it = (new or session.encoder) and session.subject is not None
            if not is_worth_it or session.subject is None or not self._knows(session.subject):
                return
        assert self.project is not None
        if session.encoder is not None and session.encoder is not self._encoder:
            self._encoder = session.encoder
            self._acts.append(partial(session.encoder.save, self.project.encoder))
        for model in new:
            self._rounds.append(max([*self._rounds, *self.project.models], default=0) + 1)
            self._acts.append(partial(model.save, self.project.model(self._rounds[-1])))
        present = self._rounds[session.history.at] if self._rounds else 0
        if (self.project.classes, self.project.present) != (tuple(session.classes), present):
            self.project = dataclasses.replace(self.project, classes=tuple(session.classes), present=present)
            self._acts.append(self._save_list)

    def _save_list(self) -> None:
        assert self.project is not None
        self.project.save()

    def note(self, sentence: str, is_error: bool = False) -> None:
        """Write down what was said."""
        if self.project is not None and not self.is_read_only:
            self._acts.append(partial(self.project.log, f"{'! ' * is_error}{sentence}"))
            self.soon()

    def _write(self) -> str:
        """Write what waits, strokes first; called in the writer's thread.

        What fails stays and is tried again, so that a model too large for the disk keeps no stroke from it.

        Returns
        -------
        str
            Why something could not be written; "" if all was.
        """
        why = ""
        try:
            while self._strokes:
                journal, blocks = self._strokes[0]
                journal.append(blocks)
                self._strokes.popleft()
        except btunet.BtunetError as error:
            why = str(error)
        for _ in range(len(self._acts)):
            act = self._acts.popleft()
            try:
                act()
            except btunet.BtunetError as error:
                self._acts.append(act)
                why = why or str(error)
        return why

    def _listen(self) -> None:
        """Hear what became of what was sent."""
        if self._work is None or not self._work.done():
            return
        why, self._work = self._work.result(), None
        if why:
            self._fail(why)
        elif self.trouble:
            self.trouble = ""
            self.session.said.emit("Everything is saved again.", False)

    def _fail(self, why: str) -> None:
        """Say once that something cannot be written; it is tried again."""
        is_new, self.trouble = not self.trouble, why
        if is_new:
            self.session.said.emit(f"Not saved: {why}. It is tried again every two seconds.", True)
        self.soon()

    # ------------------------------------------------------------------------------------------ the rest

    def seen(self) -> dict[str, int]:
        """Return for every image the number of its last change of strokes, by which a model says what it saw."""
        self.save()
        return dict(self._told)

    def forget(self, image: Image) -> None:
        """Let go of an image or strokes that are not open any more; what is known of them stays in the project."""
        self._numbers.pop(image, None)
        self._journals.pop(image, None)

    def close(self) -> None:
        """Write what is left, and let others have the project."""
        if self._is_closed:
            return
        self.save()
        self._is_closed = True
        if isalive(self._timer):  # Qt may be gone before us
            self._timer.stop()
        if self.project is not None and not self.is_read_only:
            self._writer.submit(self._write)
        self._writer.shutdown(wait=True)
        if self._lock is not None:
            self._lock.release()


def has_file(stack: btunet.Stack) -> bool:
    """Return whether an image comes from a file on this machine."""
    return stack.path is not None and stack.path.exists()


def _name(stack: btunet.Stack) -> str:
    """Return the name of a project's folder that cannot lie beside the image; the same for the same image."""
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in stack.name)[:60]
    return f"{name}-{digest(stack)[:12] or 'x'.join(map(str, stack.data.shape))}{SUFFIX}"


def _free(folder: Path) -> Path:
    """Return a folder of this name, or with a number after it, in which there is nothing yet."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.stem}-{number}{SUFFIX}")
    return free
