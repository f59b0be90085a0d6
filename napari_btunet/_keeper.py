"""Keeps everything in a project folder while the user works, and brings it back, wherever the folder is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtCore import QTimer

import btunet
from btunet.elsewhere import prepare
from btunet.project import Project

from . import _layers, _places
from ._places import free
from ._restoring import Restoring
from ._writing import NO_FILE, Stamp, stamp_of

if TYPE_CHECKING:
    from napari.layers import Image

    from ._models import Models

WATCH = 5000  # milliseconds between two looks for what other programs put into the project


class Keeper(Restoring):
    """Writes what happens in a session to its project as it happens, and reads it back.

    The project begins beside the first image that is painted, or in `home` where that is not possible; images that
    are painted later join it.

    Parameters
    ----------
    session
        What is kept.
    """

    def __init__(self, session: Models) -> None:
        super().__init__(session)
        self._found: tuple[Stamp, list[int]] | None = None  # the encoder and the models that are in the folder now
        self._watch = QTimer()
        self._watch.timeout.connect(self._look)

    def _on_begun(self) -> None:
        self._watch.start(WATCH)
        if self._wanted:
            self._remember()

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
        self._found = stamp_of(self.project.encoder), self.project.models

    def _listen(self) -> None:
        super()._listen()
        if self._found is not None:
            (stamp, numbers), self._found = self._found, None
            self._take_in(stamp, numbers)

    def _take_in(self, stamp: Stamp, numbers: list[int]) -> None:
        """Use what another program put there; a model that is worse than ours is only listed."""
        assert self.project is not None
        models = sorted(set(numbers) - set(self._rounds) - self._broken)
        has_encoder = stamp not in (self._stamp, NO_FILE)
        if has_encoder:
            self._stamp = stamp
            if encoder := self._load(self.project.encoder):
                self._encoder = self.session.encoder = encoder
                self.session.said.emit(f"An encoder came from elsewhere: {encoder.describe()}.", False)
        for number in models:
            if model := self._load(self.project.model(number)):
                self.session.take(model)
                self._rounds.append(number)
            else:
                self._broken.add(number)
        if has_encoder or models:  # not every time: it is looked for every few seconds, and drawing takes long
            self.session.changed.emit()

    # ------------------------------------------------------------------------------------------ another place

    def keep_in(self, folder: Path) -> None:
        """Keep everything in a folder of the user's choice from now on; what was written before is copied there.

        Raises
        ------
        BtunetError
            If it cannot be copied; everything is kept where it was then.
        """
        self._wanted = folder
        if self.project is None:
            return
        self.save(math.inf)
        if why := self._store.wait():
            raise btunet.BtunetError(why)
        copied = self.project.copied_to(free(folder / self.project.folder.name))
        lock = copied.hold()
        self._lock.release()
        self.project, self._lock = copied, lock
        self._journals.clear()
        for image in self._numbers:
            self._journal(image).replay()  # to number what comes after it
        self._stamp = stamp_of(copied.encoder)
        self.going_on.look(copied.checkpoint)
        self._remember()

    def _remember(self) -> None:
        """Remember where the project of these images is: nothing beside them tells."""
        assert self.project is not None
        files = [self.project.file_of(number) for number in range(len(self.project.images))]
        keys = {_places.key_of(_layers.stack_of(image)) for image in self.session.subjects}
        self._store.act(partial(_places.choose, keys | {str(file) for file in files if file}, self.project.folder))
        self.soon()

    def close(self) -> None:
        """Write what is left, and let others have the project."""
        if isalive(self._watch):  # Qt may be gone before us
            self._watch.stop()
        super().close()
