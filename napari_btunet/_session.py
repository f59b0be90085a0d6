"""The work done in a viewer: it belongs to the viewer, not to the panel.

Closing the dock hides the panel, and a new one finds everything here.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from btunet.elsewhere import SCRIPT

from ._objects import Objects
from ._soon import soon
from ._training import Training
from ._work import NO_IMAGE
from ._writer import export_masks

if TYPE_CHECKING:
    from napari import Viewer

    from ._subject import Subject


class Session(Training):
    """All that is done in a viewer, from its newest image on."""

    train_wanted = Signal()  # a key was pressed; the panel has the settings

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.exported: list[Path] = []
        self.objects = Objects(self)
        self.image = self._newest()
        self._is_new = True
        soon(self.begin)

    @property
    def is_beginning(self) -> bool:
        """Whether the image is still to get its strokes layer, which it does as soon as the panel is drawn."""
        return self._is_new and self.image is not None

    def begin(self) -> None:
        """Make the image ready to be painted on; this happens by itself."""
        self._is_new = False
        if not self._is_closed and self.subject is None and self.image is not None:
            self.choose(self.image)

    def keys(self) -> dict[str, Callable[[], None]]:
        """Return what keys do while a strokes layer is active."""
        return {**super().keys(), "T": self._train_or_stop}

    def _train_or_stop(self) -> None:
        if self.doing == "finetune":
            self.stop()
        else:
            self.train_wanted.emit()

    def predict(self) -> None:
        """Predict the chosen image, the visible plane first: with the model, or with what the strokes alone say."""
        if self.subject is None:
            self.said.emit(NO_IMAGE, True)
        elif self.model is None or self._is_stale:
            self.classify()
        else:
            self._predict_with_model()

    @property
    def _is_stale(self) -> bool:
        """Whether the model is one that could know the latest strokes in a second, and does not."""
        return self.model is not None and self.model.is_instant and self.is_behind

    def _predict_with_model(self, then: Callable[[], None] | None = None) -> None:
        """Predict the chosen image with the present model, then go on with something else."""
        subject = self.subject
        if subject is None or self.model is None:
            return
        self.live.rest()
        subject.predicted.clear()
        subject.expect(self.viewer, len(self.classes))
        task = self._elsewhere("predict", self.model, [subject.stack], look_at=(0, subject.plane(self.viewer)))
        self._begin("predict", [subject.image], task)
        self._then = then

    def after_predicting(self, then: Callable[[], None]) -> None:
        """Predict the chosen image, or say what is missing, then go on with something else if all was predicted."""
        self.predict()
        if subject := self.subject if self.is_busy else None:
            self._then = lambda: then() if subject.is_predicted else None

    def export(self, path: Path) -> None:
        """Write the predicted masks of the chosen image; what is not predicted yet is predicted first."""
        subject = self.subject
        if self.doing:
            self.said.emit(f"Wait until the work is done ({self.doing}), or stop it, then export.", True)
        elif subject is None:
            self.said.emit(NO_IMAGE, True)
        elif self.model is None or self._is_stale or subject.prediction is None or not subject.is_predicted:
            self.after_predicting(lambda: self.export(path))
        else:
            self._begin("export", [subject.image], export_masks(path, subject.prediction.data, subject.stack))

    def choose_round(self, number: int) -> None:
        """Use a model of the history and show what it predicts."""
        if self.doing == "predict":
            self._after_stopping(lambda: self.choose_round(number))
            return
        super().choose_round(number)
        if not self.doing and self.history.at == number:
            self._predict_with_model()

    # ------------------------------------------------------------------------------------------ what happens

    def _on_ended(self, how: str, result: Any) -> None:
        kind, then = self.doing, self._then
        self.job, self._then = None, None
        if self._is_closed:
            return
        if how == "failed":
            self.said.emit(str(result), True)
            if kind == "pretrain":
                self.keeper.going_on.fail(result)
        elif how == "done":
            self._take(kind, result)
            then = self._next(kind, then)
        self.changed.emit()
        if then is not None and how != "failed":
            then()
        elif self._is_unanswered and self.live.mode == "live":
            self._is_unanswered = False
            self.answer()

    def _next(self, kind: str, then: Callable[[], None] | None) -> Callable[[], None] | None:
        """Return what follows a job that is done: models predict, and a network that is outdone gives way."""
        if kind == "classify":
            return partial(self._predict_with_model, then)
        if kind != "finetune" or then is not None or self.image not in self._at_work:
            return then
        is_new = self.history.rounds[-1].model is self.model
        is_instant = self.model is not None and self.model.is_instant
        return self.classify if is_instant or (is_new and self.is_outdone) else self.predict

    def _take(self, kind: str, result: Any) -> None:
        """Keep the result of a job, and say so."""
        if kind == "import":
            self.encoder = result
            self.said.emit(f"Ready: {result.describe()}. Pre-training and fine-tuning will start from it.", False)
        elif kind == "pretrain":
            self.encoder = result
            self.keeper.pretrained(result)
            self.said.emit(f"Pre-trained: {result.describe()}. Fine-tuning will start from it.", False)
        elif kind in ("finetune", "classify"):
            self.take(result.with_note(**self._began_with, **self.difference.seen.picture()))
        elif kind == "prepare":
            self.keeper.adopt(result)
            how = f"start {SCRIPT} in {result.folder} on the other machine (bash or sbatch)"
            self.said.emit(f"Ready: {how}. The encoder is taken in when it is there.", False)
        elif kind == "predict":
            self._finish_prediction()
        elif kind in ("objects", "table"):
            self.objects.take(kind, self._at_work[0], result)
        elif kind == "trial":
            self.verdict = result
            self.said.emit(f"Did pre-training help? {result.describe()}.", False)
        elif kind == "export":
            self.exported = result
            files = str(result[0]) if len(result) == 1 else f"{len(result)} files in {result[0].parent}"
            behind = " (strokes painted since the last fine-tuning are not in it)" if self.is_behind else ""
            self.said.emit(f"Exported and checked: {files}{behind}.", False)

    def _finish_prediction(self) -> None:
        subject = self.subjects.get(self._at_work[0])
        if subject is None:
            return
        subject.redraw()
        if subject.is_predicted:
            more = "Fine-tune again to use the strokes painted since" if self.is_behind else "Correct with more strokes"
            self.said.emit(f"Predicted. {more}, or export.", False)
        else:
            done = f"{len(subject.predicted)} of {subject.stack.planes}"
            self.said.emit(f"Stopped: {done} planes show the present model.", False)

    def _on_subject(self, subject: Subject) -> None:
        if self.keeper.restore(subject):
            QTimer.singleShot(0, self._show_restored)

    def _show_restored(self) -> None:
        """Show what the model that came back predicts, or what the strokes say."""
        if self._is_closed or self.doing:
            return
        if self.model is not None:
            self.predict()
        elif self.live.mode == "live":
            self.answer()

    def _on_removed(self, event: Any) -> None:
        self.live.rest()  # the images it answers for may be others now
        if event.value in self._at_work and self.job is not None:
            if self.doing in ("pretrain", "finetune"):
                self.job.stop()  # what was learned is kept
            else:
                self.job.abandon()
            self.said.emit(f"{event.value.name} was removed, so the work on it ends.", False)
        self.keeper.save(math.inf)  # before its strokes are gone
        for image, subject in self.subjects.items():
            if event.value in (image, subject.strokes):
                self.keeper.forget(image)
                self.tour.doubt.forget(image)
                self.difference.forget(image)
                self.quality.forget(image)
        self.live.forget(event.value)
        self.learned.forget(event.value)
        super()._on_removed(event)


_SESSIONS: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


def session_of(viewer: Any) -> Session:
    """Return the session of a viewer, making it at the first call.

    The one piece of module state in the plugin: napari gives a plugin no place on the viewer to keep its own things.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # the menu gives the viewer, everything else a proxy
    if viewer not in _SESSIONS:
        _SESSIONS[viewer] = Session(viewer)
    return _SESSIONS[viewer]
