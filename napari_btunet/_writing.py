"""Writes what happens in a session to a project as it happens: nothing to save, nothing to lose."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QTimer

import btunet
from btunet.journal import Journal
from btunet.project import Project, folder_beside
from btunet.replace import remove

from . import _layers
from ._interrupted import GoingOn
from ._ledger import PATIENCE
from ._places import free, has_file, home, named
from ._store import Store

if TYPE_CHECKING:
    from napari.layers import Image

    from ._models import Models
    from ._subject import Subject

SOON = 400  # milliseconds from a change to its way to the disk
NEXT = 20  # milliseconds until the search for what was undone goes on
AGAIN = 2000  # milliseconds after which what could not be written is tried again
Stamp = tuple[int, int]  # of a file: when it was written, nanoseconds, and its length, bytes
NO_FILE: Stamp = (0, 0)


class Writing:
    """What is kept of a session, and how it gets to the disk.

    Parameters
    ----------
    session
        What is kept.
    """

    def __init__(self, session: Models) -> None:
        self.session = session
        self.project: Project | None = None
        self.is_read_only = False  # another window has the project
        self.changed: set[Image] = set()  # images that have other values than when they were painted
        self.trouble = ""  # why something is not on the disk, if that is so
        self.going_on = GoingOn(lambda sentence: session.said.emit(sentence, False))
        self._trained: btunet.Model | None = None  # the encoder that a pre-training came to its end with
        self._store = Store()
        self._is_closed = False
        self._lock: Any = None
        self._wanted: Path | None = None  # the folder that the user chose to keep things in
        self._numbers: dict[Image, int] = {}  # image → its place in the project
        self._journals: dict[Image, Journal] = {}
        self._told: dict[str, int] = {}  # name of an image → changes of its strokes so far
        self._rounds: list[int] = []  # numbers of the files of the history's models
        self._broken: set[int] = set()  # numbers of files that hold no model, or one too old to be opened
        self._encoder: btunet.Model | None = None  # the one that has a file
        self._stamp = NO_FILE  # of that file
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.save)

    def soon(self, _: Any = None) -> None:
        """Write what changed in a moment."""
        if isalive(self._timer) and not self._timer.isActive():
            self._timer.start(AGAIN if self.trouble else SOON)

    def save(self, patience: float = PATIENCE) -> None:
        """Send everything that changed to the disk, and hear what became of what was sent before.

        What was undone is looked for so many seconds in each image, and what is left the next time.
        """
        if self.is_read_only or self._is_closed:
            return
        for subject in list(self.session.subjects.values()):
            self._send_strokes(subject, patience)
        self._send_models()
        self._listen()
        if not self._store.is_busy:
            self._let_models_rest()
        self._store.send()
        if not all(s.kept.is_settled for s in self.session.subjects.values()):
            self._timer.start(NEXT)
        elif self._store.is_busy:
            self.soon()

    def _send_strokes(self, subject: Subject, patience: float) -> None:
        journal = self._journals.get(subject.image)
        if journal is not None and journal.is_disturbed:
            subject.kept.forget()  # somebody else changed the file, so it gets everything once more
            journal.is_disturbed = False
        blocks = [] if subject.kept.is_settled else subject.kept.blocks(patience)
        if blocks and self._number_of(subject.image) is None:
            subject.kept.forget()  # tried again
        elif blocks:
            self._store.put(self._journal(subject.image), blocks)
            self._told[subject.image.name] = self._told.get(subject.image.name, 0) + len(blocks)

    # ------------------------------------------------------------------------------------------ the project

    def _number_of(self, image: Image) -> int | None:
        """Return the place of an image in the project, which begins with it if need be; None if it cannot."""
        if image in self._numbers:
            return self._numbers[image]
        stack = _layers.stack_of(image)
        number = self.project.find(stack) if self.project else None
        if number is None:
            project = self.project.with_image(stack) if self.project else self._create(stack)
            if project is None:
                return None
            self.project, number = project, len(project.images) - 1
            self._store.act(self._save_list)
        self._numbers[image] = number
        self.note(f"Began with {stack.name}: {stack.describe()}.")
        return number

    def _create(self, stack: btunet.Stack) -> Project | None:
        """Begin a project beside an image, or else at home."""
        beside = [folder_beside(stack.path)] if stack.path and has_file(stack) else []
        wanted = [self._wanted / (beside[0].name if beside else named(stack))] if self._wanted else []
        why = ""
        for folder in (*wanted, *beside, home() / named(stack)):
            project = Project(free(folder), tuple(self.session.classes)).with_image(stack)
            try:
                project.save()
                self._lock = project.hold()
            except btunet.BtunetError as error:
                why = str(error)
                continue
            self.project = project
            self._on_begun()
            self.session.said.emit(f"Strokes and models are kept in {project.folder}.", False)
            self.session.changed.emit()
            return project
        self._fail(why)
        return None

    def _on_begun(self) -> None:
        """React to a project that is there now."""

    def _journal(self, image: Image) -> Journal:
        assert self.project is not None
        if image not in self._journals:
            self._journals[image] = self.project.journal(self._numbers[image])
        return self._journals[image]

    def forget(self, image: Image) -> None:
        """Let go of an image or strokes that are not open any more; what is known of them stays in the project."""
        self._numbers.pop(image, None)
        self._journals.pop(image, None)
        self.changed.discard(image)

    # ------------------------------------------------------------------------------------------ models

    def _send_models(self) -> None:
        """Send a new encoder, new models, new classes and another choice to the disk."""
        session = self.session
        new = [found.model for found in session.history.rounds[len(self._rounds) :]]
        if self.project is None:
            has_something = new or session.encoder
            if not has_something or session.image is None or self._number_of(session.image) is None:
                return
        assert self.project is not None
        if session.encoder is not None and session.encoder is not self._encoder:
            self._encoder = session.encoder
            self._store.act(partial(self._save_encoder, session.encoder))
        for model in new:
            self._rounds.append(max([*self._rounds, *self.project.models], default=0) + 1)
            self._store.act(partial(model.save, self.project.model(self._rounds[-1])))
        present = self._rounds[session.history.at] if self._rounds else 0
        if (self.project.classes, self.project.present) != (tuple(session.classes), present):
            self.project = dataclasses.replace(self.project, classes=tuple(session.classes), present=present)
            self._save_effort()

    def _let_models_rest(self) -> None:
        """Have the models that are on the disk, but for the present one, take no memory."""
        for number, found in zip(self._rounds, self.session.history.rounds, strict=False):  # newer ones have no file
            if self.project is not None and found.model is not self.session.model:
                found.model.rest_in(self.project.model(number))

    def _save_effort(self) -> None:
        """Have the list written with what was painted so far; not at every stroke, which would write it whole."""
        if self.project is not None and not self.is_read_only:
            self.project = dataclasses.replace(self.project, **self.session.effort.as_dict())
            self._store.act(self._save_list)

    def _save_list(self) -> None:
        assert self.project is not None
        self.project.save()

    def _save_encoder(self, encoder: btunet.Model) -> None:
        assert self.project is not None
        self.project.save_encoder(encoder)
        self._stamp = stamp_of(self.project.encoder)
        if encoder is self._trained:
            remove(self.project.checkpoint)

    def pretraining(
        self, image: Image, settings: btunet.PretrainSettings, views: btunet.ViewSettings | None
    ) -> dict[str, Any]:
        """Return how `btunet.pretrain` keeps what it needs to go on after an interruption; {} if it cannot."""
        if self.is_read_only or self._number_of(image) is None or self.project is None:
            return {}
        return self.going_on.options(self.project.checkpoint, settings, views or btunet.ViewSettings())

    def pretrained(self, encoder: btunet.Model) -> None:
        """Let go of what a pre-training needed to go on, when its encoder is on the disk."""
        self._trained = encoder

    # ------------------------------------------------------------------------------------------ what is said

    def note(self, sentence: str, is_error: bool = False) -> None:
        """Write down what was said."""
        if self.project is not None and not self.is_read_only:
            self._store.act(partial(self.project.log, f"{'! ' * is_error}{sentence}"))
            self.soon()

    def _listen(self) -> None:
        """Hear what became of what was sent."""
        why = self._store.hear()
        if why:
            self._fail(why)
        elif why == "" and self.trouble:
            self.trouble = ""
            self.session.said.emit("Everything is saved again.", False)
            self.session.changed.emit()

    def sentence(self) -> str:
        """Say where everything is kept, or why it is not."""
        if self.trouble:
            return f"Not saved: {self.trouble}. It is tried again every two seconds."
        if self.project is None:
            return ""
        return f"{'Only to look at' if self.is_read_only else 'Kept in'}: {self.project.folder.name}"

    def _fail(self, why: str) -> None:
        """Say once that something cannot be written; it is tried again."""
        is_new, self.trouble = not self.trouble, why
        if is_new:
            self.session.said.emit(self.sentence(), True)
            self.session.changed.emit()
        self.soon()

    def seen(self) -> dict[str, int]:
        """Return for every image the number of its last change of strokes, by which a model says what it saw."""
        self.save(math.inf)
        return dict(self._told)

    # ------------------------------------------------------------------------------------------ ending

    def close(self) -> None:
        """Write what is left, and let others have the project."""
        if self._is_closed:
            return
        self.save(math.inf)
        if self.project is not None and self.session.effort.strokes != self.project.strokes:
            self._save_effort()
        self._is_closed = True
        if isalive(self._timer):  # Qt may be gone before us
            self._timer.stop()
        self._store.close()
        if self._lock is not None:
            self._lock.release()


def stamp_of(path: Path) -> Stamp:
    """Return when a file was written, and its length in bytes."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return NO_FILE
    except OSError as error:
        raise btunet.BtunetError(f"{path} cannot be read: {error.strerror or error}") from error
    return found.st_mtime_ns, found.st_size
