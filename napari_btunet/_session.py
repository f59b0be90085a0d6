"""The work done in a viewer: one job at a time, and the models that come of it.

It belongs to the viewer, not to the panel: closing the dock hides the panel, and a new one finds everything here.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import QTimer

import btunet
from btunet.elsewhere import SCRIPT

from . import _layers
from ._budget import Budget
from ._difference import Difference
from ._job import Job
from ._keeper import Keeper
from ._learned import Learned
from ._live import Live
from ._models import Models
from ._objects import Objects
from ._strip import Quality
from ._tour import Tour
from ._views import Peek
from ._writer import export_masks

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

    from ._subject import Subject

SETTLE = 100  # milliseconds after the last dab before strokes are sent on
NO_IMAGE = "Open an image first, or try one from File > Open Sample."
NO_MODEL = "There is no model yet: fine-tune one, or open one."


class Session(Models):
    """A workspace with models in which one job runs at a time."""

    progressed = Signal(list)  # of btunet.Progress
    train_wanted = Signal()  # a key was pressed; the panel has the settings

    def __init__(self, viewer: Viewer) -> None:
        self.device = "looking for a device …"
        self.job: Job | None = None
        self.exported: list[Path] = []
        self.verdict: btunet.Verdict | None = None
        self.spare = btunet.Spare()
        self.tour = Tour(self)
        self.live = Live(self.spare, self._show_answer, self.tour.on_judged, lambda why: self.said.emit(why, False))
        self.objects = Objects(self)
        self.learned = Learned()
        self.difference = Difference(self, self._elsewhere)
        self.budget = Budget()
        self.quality = Quality(self.difference.seen)
        self.peek = Peek(self._elsewhere)
        self._is_unanswered = False  # strokes came while something else predicted
        self._is_behind = False  # strokes came that the model was not trained with
        self._is_closed = False
        self._scout: Job | None = None
        self._then: Callable[[], None] | None = None
        self._began_with: dict[str, Any] = {}  # what the running training will have seen
        self._at_work: list[Image] = []  # the images of the running job, in its order
        self._settled = QTimer()
        self._settled.setSingleShot(True)
        self._settled.setInterval(SETTLE)
        self._settled.timeout.connect(self._send_strokes)
        self.keeper = Keeper(self)
        self.said.connect(self.keeper.note)
        self.changed.connect(self.keeper.soon)
        self.changed.connect(self.difference.look)
        super().__init__(viewer)
        viewer.dims.events.current_step.connect(self._on_plane)
        self._ask_for_device()

    def keys(self) -> dict[str, Callable[[], None]]:
        """Return what keys do while a strokes layer is active."""
        return {
            **super().keys(),
            "T": self._train_or_stop,
            "N": self.tour.next_spot,
            "Shift-N": self.tour.last_spot,
            "C": self.tour.next_contradiction,
            "U": self.tour.toggle_doubt,
            "D": self.difference.toggle,
        }

    def _train_or_stop(self) -> None:
        if self.doing == "finetune":
            self.stop()
        else:
            self.train_wanted.emit()

    @property
    def doing(self) -> str:
        """The title of the job that runs, such as "pretrain" or "finetune"; "" if none does."""
        return self.job.title if self.job is not None else ""

    @property
    def is_busy(self) -> bool:
        """Whether a job runs."""
        return self.job is not None

    # ------------------------------------------------------------------------------------------ work

    def pretrain(self, settings: btunet.PretrainSettings, views: btunet.ViewSettings | None = None) -> None:
        """Pre-train on the chosen images, from the present encoder if it fits them."""
        if self.image is None:
            self.said.emit(NO_IMAGE, True)
            return
        images = self._chosen()
        try:
            stacks = [_layers.stack_of(image) for image in images]
        except ValueError as error:
            self.said.emit(str(error), True)
            return
        encoder = self.encoder_for(stacks[0], settings.network)
        look_at = (0, self.subject.plane(self.viewer)) if self.subject else None
        self.learned.expect(self.viewer, self.image)
        kept = self.keeper.pretraining(self.image, settings, views)
        task = self._elsewhere("pretrain", stacks, settings, views=views, start_from=encoder, look_at=look_at, **kept)
        self._begin("pretrain", images, task)

    def run_elsewhere(self, settings: btunet.PretrainSettings, views: btunet.ViewSettings | None = None) -> None:
        """Ready the project for pre-training on another machine; the encoder is taken in when it is there."""
        if self.image is None:
            self.said.emit(NO_IMAGE, True)
            return
        images = self._chosen()
        try:
            encoder = self.encoder_for(_layers.stack_of(self.image), settings.network)
            self._begin("prepare", images, self.keeper.prepare(images, settings, views, encoder))
        except ValueError as error:
            self.said.emit(str(error), True)

    def finetune(self, settings: btunet.FinetuneSettings) -> None:
        """Train from all strokes of all images, looking at the other chosen ones.

        A running pre-training is stopped and kept first.
        """
        if self.doing in ("pretrain", "predict"):
            self._after_stopping(lambda: self.finetune(settings))
            return
        try:
            images, stacks, strokes = self._to_learn_from()
        except ValueError as error:
            self.live.rest()  # it was not told of strokes that were taken here
            self.said.emit(str(error), True)
            return
        start, settings = self.beginning(stacks[0], settings)
        task = self._elsewhere(
            "finetune",
            stacks,
            strokes,
            settings,
            start_from=start,
            classes=tuple(self.classes),
            look_at=(0, self.subjects[images[0]].plane(self.viewer)),
            judged=True,
        )
        self.live.rest()
        self.subjects[images[0]].expect(self.viewer, len(self.classes))
        self._is_behind = False
        painted = sum(int((plane > 0).sum()) for planes in strokes for plane in planes.values())
        self._began_with = {"painted": painted, "strokes": self.keeper.seen(), "effort": self.effort.as_dict()}
        self._begin("finetune", images, task)

    def try_out(self, encoder: btunet.Model, settings: btunet.TrialSettings) -> None:
        """Find out whether an encoder helps, by strokes held out of trainings with it and without it."""
        try:
            images, *given = self._to_learn_from()
        except ValueError as error:
            self.said.emit(str(error), True)
        else:
            task = self._elsewhere("trial", *given, encoder, settings, classes=tuple(self.classes))
            self._begin("trial", images, task)
        self.live.rest()  # it was not told of strokes that were taken here
        if self.live.mode == "live":
            self.answer()

    def _to_learn_from(self) -> tuple[list[Image], list[btunet.Stack], list[btunet.Strokes]]:
        """Return the images, the chosen one first among the painted ones, then those to look at; and their strokes.

        Raises
        ------
        ValueError
            Unless there are strokes of two classes.
        """
        images = [image for image, subject in self.subjects.items() if subject.ledger.all()]
        if not images:
            raise ValueError("Paint first: a few strokes on an object and a few on the background.")
        images.sort(key=lambda image: image is not self.image)
        stacks = [self.subjects[image].stack for image in images]
        strokes: list[btunet.Strokes] = [self.subjects[image].ledger.all() for image in images]
        btunet.check_strokes(stacks, strokes, self.classes)
        others = {image: _layers.stack_of(image) for image in self._chosen() if image not in images}
        looked_at = {image: stack for image, stack in others.items() if stack.channels == stacks[0].channels}
        return [*images, *looked_at], [*stacks, *looked_at.values()], [*strokes, *({} for _ in looked_at)]

    def answer(self, unpainted: bool = False) -> None:
        """Show what the strokes say, as soon as there are two classes, unless something else predicts.

        ``unpainted``: also where nothing was painted yet, to learn where to begin.
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
        self.live.ask(list(stacks.items()), ledgers, self.classes, look_at, self.model)

    def set_live(self, mode: str) -> None:
        """Answer every stroke ("live"), those painted so far ("once"), or none ("off")."""
        self.live.mode = mode
        if mode == "off":
            self.live.rest()
        else:
            self.answer()

    def _chosen(self) -> list[Image]:
        """Return the chosen image and those to learn from without labels."""
        return [image for image in dict.fromkeys([self.image, *self.also]) if image is not None]

    def preview_views(self, settings: btunet.PretrainSettings, show: Callable[[Any], None]) -> None:
        """Have pairs of views made of the chosen images; ``show`` gets them."""
        self.peek.ask(self._chosen(), settings, show)

    def import_encoder(self, network: str, weights: str) -> None:
        """Make an encoder of weights learned elsewhere: a file, or "imagenet", which downloads them."""
        if self.image is None:
            self.said.emit(NO_IMAGE, True)
            return
        channels = _layers.stack_of(self.image).channels
        self._begin("import", [self.image], self._elsewhere("import_encoder", network, channels, weights))

    def predict(self) -> None:
        """Predict the chosen image with the present model, the visible plane first."""
        subject = self.subject
        if subject is None or self.model is None:
            self.said.emit(NO_IMAGE if subject is None else NO_MODEL, True)
            return
        self.live.rest()
        subject.predicted.clear()
        subject.expect(self.viewer, len(self.classes))
        task = self._elsewhere("predict", self.model, [subject.stack], look_at=(0, subject.plane(self.viewer)))
        self._begin("predict", [subject.image], task)

    def export(self, path: Path) -> None:
        """Write the predicted masks of the chosen image; what is not predicted yet is predicted first."""
        subject = self.subject
        if self.doing:
            self.said.emit(f"Wait until the work is done ({self.doing}), or stop it, then export.", True)
        elif subject is None or self.model is None:
            self.said.emit(NO_IMAGE if subject is None else NO_MODEL, True)
        elif subject.prediction is None or not subject.is_predicted:
            self.after_predicting(lambda: self.export(path))
        else:
            self._begin("export", [subject.image], export_masks(path, subject.prediction.data, subject.stack))

    def after_predicting(self, then: Callable[[], None]) -> None:
        """Predict the chosen image, or say what is missing, then go on with something else if all was predicted."""
        self.predict()
        if subject := self.subject if self.is_busy else None:
            self._then = lambda: then() if subject.is_predicted else None

    def stop(self) -> None:
        """Stop the running job and keep what it has."""
        if self.job is not None:
            self._then = None
            self.job.stop()
            self.changed.emit()

    def shutdown(self, *_: Any) -> None:
        """End all work: the window is gone."""
        self._is_closed = True
        if isalive(self._settled):  # Qt may be gone before us
            self._settled.stop()
        self._then = None
        for job in (self.job, self._scout):
            if job is not None:
                job.abandon()
        for other in (self.live, self.peek, self.difference):
            other.rest()
        self.spare.drop()
        self.keeper.close()

    def _after_stopping(self, then: Callable[[], None]) -> None:
        """End the running job, keeping what a training learned, and go on with something else."""
        assert self.job is not None
        if self.doing == "predict":
            self.job.abandon()
        else:
            self.job.stop()
        self._then = then

    def _elsewhere(self, verb: str, *args: Any, **kwargs: Any) -> btunet.Task[Any]:
        """Return a task in another process; one more is kept ready for the next click."""
        return btunet.in_child(verb, *args, spare=self.spare, **kwargs)

    def _begin(self, title: str, images: list[Image], task: btunet.Task[Any]) -> None:
        if self.job is not None:
            task.close()
            self.said.emit(f"Wait until the work is done ({self.doing}), or stop it.", True)
            return
        self._at_work = images
        self.job = Job(task, title)
        self.job.progressed.connect(self._on_progressed)
        self.job.ended.connect(self._on_ended)
        self.job.start()
        self.changed.emit()

    def _ask_for_device(self) -> None:
        """Find out in another process what the work will run on, so that torch never enters this one."""
        self._scout = Job(self._elsewhere("describe_device"), "device")
        self._scout.ended.connect(self._on_device)
        self._scout.start()

    def choose_round(self, number: int) -> None:
        """Use a model of the history and show what it predicts."""
        if self.doing == "predict":
            self._after_stopping(lambda: self.choose_round(number))
            return
        super().choose_round(number)
        if not self.doing:
            self.predict()

    # ------------------------------------------------------------------------------------------ what happens

    def choose(self, image: Image | None) -> None:
        """Work on this image; a running job looks at it if it can."""
        super().choose(image)
        self._on_plane()

    def _on_device(self, how: str, result: Any) -> None:
        if how != "abandoned" and not self._is_closed:
            self.device = str(result)
            self.changed.emit()

    def _on_progressed(self, news: list[btunet.Progress]) -> None:
        if self._is_closed:
            return
        for progress in news:
            for done in progress.planes:
                self._show(self._at_work[done.image], done)
            if progress.learned is not None:
                self.learned.show(self.viewer, self._at_work[progress.learned.image], progress.learned)
        self.progressed.emit(news)

    def _show(self, image: Image, done: btunet.PredictedPlane) -> None:
        """Show a predicted plane, if its image is still there."""
        subject = self.subjects.get(image)
        if subject is None:
            return
        subject.show(self.viewer, done, len(self.classes))
        self.tour.note_doubt(subject, done)
        self.difference.seen.take(self.model if self.doing == "predict" else None, image, done)
        if self.doing == "predict" and self.model is not None:
            self.quality.take(self.model, self.history.before, image, done)
            subject.predicted.add(done.plane)
        else:  # a model in the making
            subject.predicted.discard(done.plane)

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
            if kind == "finetune" and then is None and self.image in self._at_work:
                then = self.predict
        self.changed.emit()
        if then is not None and how != "failed":
            then()
        elif self._is_unanswered and self.live.mode == "live":
            self._is_unanswered = False
            self.answer()

    def _take(self, kind: str, result: Any) -> None:
        """Keep the result of a job, and say so."""
        if kind == "import":
            self.encoder = result
            self.said.emit(f"Ready: {result.describe()}. Pre-training and fine-tuning will start from it.", False)
        elif kind == "pretrain":
            self.encoder = result
            self.keeper.pretrained(result)
            self.said.emit(f"Pre-trained: {result.describe()}. Fine-tuning will start from it.", False)
        elif kind == "finetune":
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
            behind = " (strokes painted since the last fine-tuning are not in it)" if self._is_behind else ""
            self.said.emit(f"Exported and checked: {files}{behind}.", False)

    def _finish_prediction(self) -> None:
        subject = self.subjects.get(self._at_work[0])
        if subject is None:
            return
        subject.redraw()
        if subject.is_predicted:
            more = (
                "Fine-tune again to use the strokes painted since" if self._is_behind else "Correct with more strokes"
            )
            self.said.emit(f"Predicted. {more}, or export.", False)
        else:
            done = f"{len(subject.predicted)} of {subject.stack.planes}"
            self.said.emit(f"Stopped: {done} planes show the present model.", False)

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

    def _on_painted(self, _: Any = None) -> None:
        self.keeper.soon()
        self._is_behind |= self.doing != "finetune" and self.model is not None
        if self.doing == "finetune" or self.live.mode == "live":
            self._settled.start()

    def _send_strokes(self) -> None:
        if self.job is None or self.doing != "finetune":
            self._is_unanswered = self.doing in ("predict", "export")
            if self.live.mode == "live":
                self.answer()
            return
        at_work = [(i, self.subjects[image]) for i, image in enumerate(self._at_work) if image in self.subjects]
        changed = {i: planes for i, subject in at_work if (planes := subject.ledger.take())}
        if changed:
            self.job.steer(btunet.Steer(strokes=changed))

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
