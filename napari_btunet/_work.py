"""One job at a time in the background of a viewer, and what it shows while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal

import btunet

from ._difference import Difference
from ._job import Job
from ._learned import Learned
from ._models import Models
from ._strip import Quality

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

    from ._subject import Subject

NO_IMAGE = "Open an image first, or try one from File > Open Sample."


class Work(Models):
    """Models in a viewer in which one job runs."""

    progressed = Signal(list)  # of btunet.Progress

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.device = "looking for a device …"
        self.job: Job | None = None
        self.spare = btunet.Spare()
        self.learned = Learned()
        self.difference = Difference(self, self._elsewhere)
        self.quality = Quality(self.difference.seen)
        self._is_closed = False
        self._scout: Job | None = None
        self._then: Callable[[], None] | None = None
        self._at_work: list[Image] = []  # the images of the running job, in its order
        self.changed.connect(self.difference.look)
        self._ask_for_device()

    @property
    def doing(self) -> str:
        """The title of the job that runs, such as "pretrain" or "finetune"; "" if none does."""
        return self.job.title if self.job is not None else ""

    @property
    def is_busy(self) -> bool:
        """Whether a job runs."""
        return self.job is not None

    def stop(self) -> None:
        """Stop the running job and keep what it has."""
        if self.job is not None:
            self._then = None
            self.job.stop()
            self.changed.emit()

    def shutdown(self, *_: Any) -> None:
        """End all work: the window is gone."""
        self._is_closed = True
        self._then = None
        for job in (self.job, self._scout):
            if job is not None:
                job.abandon()
        self.difference.rest()
        self.spare.drop()

    def _chosen(self) -> list[Image]:
        """Return the chosen image and those to learn from without labels."""
        return [image for image in dict.fromkeys([self.image, *self.also]) if image is not None]

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

    def _elsewhere(self, verb: str, *args: Any, **kwargs: Any) -> btunet.Task[Any]:
        """Return a task in another process; one more is kept ready for the next click."""
        return btunet.in_child(verb, *args, spare=self.spare, **kwargs)

    def _after_stopping(self, then: Callable[[], None]) -> None:
        """End the running job, keeping what a training learned, and go on with something else."""
        assert self.job is not None
        if self.doing == "predict":
            self.job.abandon()
        else:
            self.job.stop()
        self._then = then

    def _ask_for_device(self) -> None:
        """Find out in another process what the work will run on, so that torch never enters this one."""
        self._scout = Job(self._elsewhere("describe_device"), "device")
        self._scout.ended.connect(self._on_device)
        self._scout.start()

    # ------------------------------------------------------------------------------------------ what happens

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
        self._note_doubt(subject, done)
        self.difference.seen.take(self.model if self.doing == "predict" else None, image, done)
        if self.doing == "predict" and self.model is not None:
            self.quality.take(self.model, self.history.before, image, done)
            subject.predicted.add(done.plane)
        else:  # a model in the making
            subject.predicted.discard(done.plane)

    def _note_doubt(self, subject: Subject, done: btunet.PredictedPlane) -> None:
        """React to a plane that was predicted, with how unsure it is."""

    def _on_ended(self, how: str, result: Any) -> None:
        """React to the end of the job."""
