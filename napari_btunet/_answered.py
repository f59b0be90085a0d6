"""Strokes are answered as they are painted: what they say of the plane in sight, and where to paint next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import QTimer

import btunet

from . import _layers
from ._budget import Budget
from ._ledger import PATIENCE
from ._live import Live
from ._tour import Tour
from ._work import Work

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

    from ._subject import Subject

SETTLE = 100  # milliseconds after the last dab before strokes are sent on


class Answered(Work):
    """Work on strokes that are answered."""

    painted = Signal()  # strokes, a moment ago

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.tour = Tour(self)
        self.live = Live(self.spare, self._show_answer, self.tour.on_judged, lambda why: self.said.emit(why, False))
        self.budget = Budget()
        self._is_unanswered = False  # strokes came while something else predicted
        self.is_behind = False  # strokes came that the model was not trained with
        self._settled = QTimer()
        self._settled.setSingleShot(True)
        self._settled.setInterval(SETTLE)
        self._settled.timeout.connect(self._send_strokes)
        self._search = QTimer()  # goes on for what was undone
        self._search.setSingleShot(True)
        self._search.setInterval(SETTLE)
        self._search.timeout.connect(self._look_on)
        viewer.dims.events.current_step.connect(self._on_plane)

    def keys(self) -> dict[str, Callable[[], None]]:
        """Return what keys do while a strokes layer is active."""
        return {
            **super().keys(),
            "N": self.tour.next_spot,
            "Shift-N": self.tour.last_spot,
            "C": self.tour.next_contradiction,
            "U": self.tour.toggle_doubt,
            "D": self.difference.toggle,
        }

    def answer(self, unpainted: bool = False) -> None:
        """Show what the strokes say, as soon as there are two classes, unless something else predicts.

        Undone strokes are looked for a moment at a time, until all were found. ``unpainted``: also where nothing was
        painted yet, to learn where to begin.
        """
        subject = self.subject
        if self._is_closed or self.doing in ("finetune", "predict", "export") or subject is None:
            return
        painted = [image for image, other in self.subjects.items() if other.ledger.is_painted]
        if not painted and not unpainted:
            return
        first = subject.stack
        stacks = {image: _layers.stack_of(image) for image in dict.fromkeys([*self._chosen(), *painted])}
        stacks = {image: stack for image, stack in stacks.items() if stack.channels == first.channels}
        ledgers = {n: self.subjects[image].ledger for n, image in enumerate(stacks) if image in self.subjects}
        look_at = list(stacks).index(subject.image), subject.plane(self.viewer)
        if not self.live.ask(list(stacks.items()), ledgers, self.classes, look_at, self.model):
            self._search.start()

    def choose_class(self, label: int) -> None:
        """Paint with this label from now on; what answers the strokes gets ready meanwhile."""
        super().choose_class(label)
        if self.live.mode == "live" and not self.live.is_working:
            self.answer(unpainted=True)

    def set_live(self, mode: str) -> None:
        """Answer every stroke ("live"), those painted so far ("once"), or none ("off")."""
        self.live.mode = mode
        if mode == "off":
            self._search.stop()
            self.live.rest()
        else:
            self.answer()

    def choose(self, image: Image | None) -> None:
        """Work on this image; a running job looks at it if it can."""
        super().choose(image)
        self._on_plane()

    def shutdown(self, *_: Any) -> None:
        """End all work: the window is gone."""
        super().shutdown()
        for timer in (self._settled, self._search):
            if isalive(timer):  # Qt may be gone before us
                timer.stop()
        self.live.rest()

    # ------------------------------------------------------------------------------------------ what happens

    def _show_answer(self, image: Image, part: btunet.PredictedPlane) -> None:
        """Show a part of what strokes say, if the image is still there and nothing else predicts."""
        subject = self.subjects.get(image)
        if subject is not None and self.doing not in ("finetune", "predict"):
            subject.show(self.viewer, part, len(self.classes))
            subject.predicted.discard(part.plane)
            self.tour.note_doubt(subject, part)

    def _on_plane(self, _: Any = None) -> None:
        self.tour.see_doubt()
        self.difference.look()
        if self.image is not None and self.subject is not None:
            self.live.look(self.image, self.subject.plane(self.viewer))
        if self.job is not None and self.subject is not None and self.image in self._at_work:
            look_at = (self._at_work.index(self.image), self.subject.plane(self.viewer))
            self.job.steer(btunet.Steer(look_at=look_at))

    def _note_doubt(self, subject: Subject, done: btunet.PredictedPlane) -> None:
        self.tour.note_doubt(subject, done)

    def _on_painted(self, _: Any = None) -> None:
        self.is_behind |= self.doing != "finetune" and self.model is not None
        if self.doing == "finetune" or self.live.mode == "live":
            self._settled.start()

    def _send_strokes(self) -> None:
        self.painted.emit()
        if self.doing == "finetune":
            self._look_on()
            return
        self._is_unanswered = self.doing in ("predict", "export")
        if self.live.mode == "live":
            self.answer()

    def _look_on(self) -> None:
        """Tell who works on strokes what is new, and again a moment later until all that was undone is found."""
        if self.job is None or self.doing != "finetune":
            self.answer()
            return
        at_work = {i: self.subjects[image].ledger for i, image in enumerate(self._at_work) if image in self.subjects}
        changed = {i: planes for i, ledger in at_work.items() if (planes := ledger.take(PATIENCE))}
        if changed:
            self.job.steer(btunet.Steer(strokes=changed))
        if not all(ledger.is_taken for ledger in at_work.values()):
            self._search.start()
