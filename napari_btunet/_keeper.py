"""Keeps everything in a project folder while the user works, and brings it back: nothing to save, nothing to lose."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path
from qtpy.compat import isalive
from qtpy.QtCore import QTimer

import btunet
from btunet.elsewhere import prepare
from btunet.journal import Journal
from btunet.project import SUFFIX, ImageRecord, Project, digest, folder_beside, projects_of

from . import _layers
from ._store import Store

if TYPE_CHECKING:
    from napari.layers import Image

    from ._models import Models
    from ._subject import Subject

SOON = 400  # milliseconds from a change to its way to the disk
AGAIN = 2000  # milliseconds after which what could not be written is tried again
WATCH = 5000  # milliseconds between two looks for what other programs put into the project
MOST_MODELS = 30  # that are opened with a project, the newest
Stamp = tuple[int, int]  # of a file: when it was written, nanoseconds, and its length, bytes
NO_FILE: Stamp = (0, 0)


def home() -> Path:
    """Return where projects are kept that cannot lie beside an image: $BTUNET_PROJECTS, or the user's data folder."""
    chosen = os.environ.get("BTUNET_PROJECTS")
    return Path(chosen) if chosen else user_data_path("napari-btunet", appauthor=False) / "projects"


class Keeper:
    """Writes what happens in a session to its project as it happens, and reads it back.

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
        self._store = Store()
        self._is_closed = False
        self._lock: Any = None
        self._numbers: dict[Image, int] = {}  # image → its place in the project
        self._journals: dict[Image, Journal] = {}
        self._told: dict[str, int] = {}  # name of an image → changes of its strokes so far
        self._rounds: list[int] = []  # numbers of the files of the history's models
        self._broken: set[int] = set()  # numbers of files that hold no model, or one too old to be opened
        self._encoder: btunet.Model | None = None  # the one that has a file
        self._stamp = NO_FILE  # of that file
        self._found: tuple[Stamp, list[int]] | None = None  # the encoder and the models that are in the folder now
        self._timer = _timer(self.save, is_single=True)
        self._watch = _timer(self._look, is_single=False)

    # ------------------------------------------------------------------------------------------ bringing back

    def restore(self, subject: Subject) -> bool:
        """Bring back what is known of an image that was just opened or chosen; return whether anything is."""
        stack = subject.stack
        if self.project is None:
            self._open_one_of(
                [*(projects_of(stack.path) if stack.path and has_file(stack) else ()), home() / _name(stack)], stack
            )
        if self.project is None:
            return False
        number = self.project.find(stack)
        if number is None:
            return self._take_over(subject)
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

    def _take_over(self, subject: Subject) -> bool:
        """Bring back strokes from another project than the one that is open; they are kept in both from now on."""
        stack = subject.stack
        for folder in projects_of(stack.path) if stack.path and has_file(stack) else []:
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
        self._stamp = _stamp(project.encoder)
        self._encoder = self._load(project.encoder) if self._stamp != NO_FILE else None
        at = self._rounds.index(project.present) if project.present in models else len(models) - 1
        self.session.effort.add(project.strokes, project.seconds)
        self.session.begin_with(project.classes, self._encoder, list(models.values()), at)
        self._watch.start(WATCH)

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
            self._send_strokes(subject)
        self._send_models()
        self._listen()
        self._store.send()
        if self._store.is_busy or not all(s.kept.is_settled for s in self.session.subjects.values()):
            self.soon()

    def _send_strokes(self, subject: Subject) -> None:
        journal = self._journals.get(subject.image)
        if journal is not None and journal.is_disturbed:
            subject.kept.forget()  # somebody else changed the file, so it gets everything once more
            journal.is_disturbed = False
        blocks = [] if subject.kept.is_settled else subject.kept.blocks()
        if blocks and self._number_of(subject.image) is None:
            subject.kept.forget()  # tried again
        elif blocks:
            self._store.put(self._journal(subject.image), blocks)
            self._told[subject.image.name] = self._told.get(subject.image.name, 0) + len(blocks)

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
        why = ""
        for folder in (*beside, home() / _name(stack)):
            project = Project(_free(folder), tuple(self.session.classes)).with_image(stack)
            try:
                project.save()
                self._lock = project.hold()
            except btunet.BtunetError as error:
                why = str(error)
                continue
            self._watch.start(WATCH)
            self.project = project
            self.session.said.emit(f"Strokes and models are kept in {project.folder}.", False)
            self.session.changed.emit()
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
        self._stamp = _stamp(self.project.encoder)

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
        if self._found is not None:
            (stamp, numbers), self._found = self._found, None
            self._take_in(stamp, numbers)

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
        self.save()
        return dict(self._told)

    # ------------------------------------------------------------------------------------------ other programs

    def prepare(
        self,
        images: Sequence[Image],
        settings: btunet.PretrainSettings,
        views: btunet.ViewSettings | None,
        start_from: btunet.Model | None,
    ) -> btunet.Task[Project]:
        """Return a task that readies the project for pre-training on another machine.

        Raises
        ------
        ValueError
            If there is no project to put it into.
        """
        places = [(self._number_of(image), _layers.stack_of(image)) for image in images]
        known = [(number, stack) for number, stack in places if number is not None]
        if self.project is None or self.is_read_only or len(known) < len(places):
            raise ValueError("the project cannot be written to; open the image in one window only, where there is room")
        return prepare(self.project, known, settings, views=views, start_from=start_from)

    def adopt(self, prepared: Project) -> None:
        """Take over the files that images have now."""
        assert self.project is not None
        images = (*prepared.images, *self.project.images[len(prepared.images) :])
        self.project = dataclasses.replace(self.project, images=images)
        self._store.act(self._save_list)
        self.soon()

    def _look(self) -> None:
        """Find out whether another program put an encoder or models into the project."""
        if self.project is not None and not self._store.is_busy:
            self._store.act(self._glance)
            self.soon()

    def _glance(self) -> None:
        assert self.project is not None
        self._found = _stamp(self.project.encoder), self.project.models

    def _take_in(self, stamp: Stamp, numbers: list[int]) -> None:
        """Use what another program put there; a model that is worse than ours is only listed."""
        assert self.project is not None
        if stamp not in (self._stamp, NO_FILE):
            self._stamp = stamp
            if encoder := self._load(self.project.encoder):
                self._encoder = self.session.encoder = encoder
                self.session.said.emit(f"An encoder came from elsewhere: {encoder.describe()}.", False)
        for number in sorted(set(numbers) - set(self._rounds) - self._broken):
            if model := self._load(self.project.model(number)):
                self.session.take(model)
                self._rounds.append(number)
            else:
                self._broken.add(number)
        self.session.changed.emit()

    def _load(self, path: Path) -> btunet.Model | None:
        """Return a model of the project; None, and say why, if it is broken."""
        try:
            return btunet.Model.load(path)
        except btunet.BtunetError as error:  # the others are whole
            self.session.said.emit(str(error), True)
            return None

    # ------------------------------------------------------------------------------------------ ending

    def forget(self, image: Image) -> None:
        """Let go of an image or strokes that are not open any more; what is known of them stays in the project."""
        self._numbers.pop(image, None)
        self._journals.pop(image, None)

    def close(self) -> None:
        """Write what is left, and let others have the project."""
        if self._is_closed:
            return
        self.save()
        if self.project is not None and self.session.effort.strokes != self.project.strokes:
            self._save_effort()
        self._is_closed = True
        for timer in (self._timer, self._watch):
            if isalive(timer):  # Qt may be gone before us
                timer.stop()
        self._store.close()
        if self._lock is not None:
            self._lock.release()


def _timer(act: Callable[[], None], *, is_single: bool) -> QTimer:
    timer = QTimer()
    timer.setSingleShot(is_single)
    timer.timeout.connect(act)
    return timer


def _stamp(path: Path) -> Stamp:
    """Return when a file was written, and its length in bytes."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return NO_FILE
    except OSError as error:
        raise btunet.BtunetError(f"{path} cannot be read: {error.strerror or error}") from error
    return found.st_mtime_ns, found.st_size


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
