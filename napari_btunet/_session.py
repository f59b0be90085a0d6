"""What a viewer is being used for: images, strokes, predictions, models and the one job that runs.

It belongs to the viewer, not to the panel: closing the dock hides the panel, and a new one finds everything here.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

import btunet

from . import _layers
from ._job import Job
from ._subject import Subject
from ._writer import export_masks

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

SETTLE = 200  # milliseconds after the last dab before strokes are sent on


class Session:
    """State and actions of one viewer; holds no widgets.

    Parameters
    ----------
    viewer
        The viewer itself, not a proxy.
    """

    changed = Signal()  # images, classes, models, or whether something runs
    progressed = Signal(list)  # of btunet.Progress
    said = Signal(str, bool)  # a sentence for the user; whether it is an error

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self.classes = ["Background", "Object"]
        self.image: Image | None = None
        self.also: list[Image] = []  # other images to pre-train on
        self.encoder: btunet.Model | None = None
        self.model: btunet.Model | None = None
        self.device = "looking for a device …"
        self.job: Job | None = None
        self.exported: list[Path] = []
        self._is_closed = False
        self._scout: Job | None = None
        self._kind = ""
        self._then: Callable[[], None] | None = None
        self._at_work: list[Image] = []  # the images of the running job, in its order
        self._subjects: dict[Image, Subject] = {}
        self._settled = QTimer()
        self._settled.setSingleShot(True)
        self._settled.setInterval(SETTLE)
        self._settled.timeout.connect(self._send_strokes)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.current_step.connect(self._on_plane)
        self._ask_for_device()
        self.choose(next(iter(reversed(self.images)), None))

    # ------------------------------------------------------------------------------------------ images

    @property
    def viewer(self) -> Viewer:
        """The viewer, while it lives."""
        viewer = self._viewer()
        if viewer is None:
            raise ReferenceError("the viewer is closed")
        return viewer

    @property
    def images(self) -> list[Image]:
        """The open image layers."""
        from napari.layers import Image

        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def choose(self, image: Image | None) -> None:
        """Work on this image; it gets a strokes layer if it has none."""
        self.image = image
        if image is not None and image not in self._subjects:
            try:
                self._add_subject(image)
            except ValueError as error:
                self.said.emit(str(error), True)
        self.changed.emit()

    def understood(self) -> str:
        """Say how the chosen image is understood."""
        if self.image is None:
            return "Open an image, or try one from File > Open Sample."
        try:
            return _layers.stack_of(self.image).describe()
        except ValueError as error:
            return str(error)

    def _add_subject(self, image: Image) -> None:
        """Make an image ready to be painted on."""
        subject = Subject(self.viewer, image, len(self.classes), is_first=not self._subjects)
        self._subjects[image] = subject
        subject.on_painted(self._on_painted)
        _layers.bind_keys(subject.strokes, self.choose_class, lambda: len(self.classes))
        self.viewer.layers.selection.active = subject.strokes
        subject.strokes.selected_label = _layers.BACKGROUND + 1

    @property
    def subject(self) -> Subject | None:
        """The chosen image with its strokes and its prediction; None if there is no image that can be used."""
        return self._subjects.get(self.image) if self.image is not None else None

    # ------------------------------------------------------------------------------------------ classes

    def add_class(self) -> None:
        """Add a class and paint with it next."""
        self.classes.append(f"Object {len(self.classes)}")
        self._recolour()
        self.choose_class(len(self.classes))

    def rename_class(self, label: int, name: str) -> None:
        """Give the class of a label another name."""
        self.classes[label - _layers.BACKGROUND] = name.strip() or self.classes[label - _layers.BACKGROUND]
        self.changed.emit()

    def choose_class(self, label: int) -> None:
        """Paint with this label from now on."""
        if self.subject is None:  # the user removed the strokes layer
            self.choose(self.image)
        if self.subject is not None:
            layer = self.subject.strokes
            self.viewer.layers.selection.active = layer
            layer.selected_label = label
            layer.mode = "paint"
        self.changed.emit()

    def _recolour(self) -> None:
        for subject in self._subjects.values():
            subject.colour(len(self.classes))

    # ------------------------------------------------------------------------------------------ work

    @property
    def is_busy(self) -> bool:
        """Whether a job runs."""
        return self.job is not None

    @property
    def doing(self) -> str:
        """The kind of job that runs: "pretrain", "finetune", "predict", "export" or nothing."""
        return self._kind if self.job is not None else ""

    def pretrain(self, settings: btunet.PretrainSettings) -> None:
        """Pre-train on the chosen images, from the present encoder if there is one."""
        images = self._chosen_images()
        if images:
            stacks = [_layers.stack_of(image) for image in images]
            self._begin("pretrain", images, btunet.in_child("pretrain", stacks, settings, start_from=self.encoder))

    def finetune(self, settings: btunet.FinetuneSettings) -> None:
        """Train from all strokes of all images; a running pre-training is stopped and kept first."""
        if self.doing in ("pretrain", "predict"):
            self._after_stopping(lambda: self.finetune(settings))
            return
        images = [image for image, subject in self._subjects.items() if subject.ledger.all()]
        if not images:
            self.said.emit("Paint first: a few strokes on an object and a few on the background.", True)
            return
        images.sort(key=lambda image: image is not self.image)  # the chosen one first
        stacks = [self._subjects[image].stack for image in images]
        strokes = [self._subjects[image].ledger.all() for image in images]
        try:
            btunet.check_strokes(stacks, strokes, self.classes)
        except ValueError as error:
            self.said.emit(f"{str(error)[:1].upper()}{str(error)[1:]}.", True)
            return
        task = btunet.in_child(
            "finetune",
            stacks,
            strokes,
            settings,
            start_from=self.encoder,
            classes=tuple(self.classes),
            look_at=(0, self._subjects[images[0]].plane(self.viewer)),
        )
        self._begin("finetune", images, task)

    def predict(self) -> None:
        """Predict the chosen image with the present model, the visible plane first."""
        subject = self.subject
        if subject is None or self.model is None:
            self.said.emit("There is no model yet: fine-tune one, or open one.", True)
            return
        subject.predicted.clear()
        task = btunet.in_child("predict", self.model, [subject.stack], look_at=(0, subject.plane(self.viewer)))
        self._begin("predict", [subject.image], task)

    def export(self, path: Path) -> None:
        """Write the predicted masks of the chosen image; what is not predicted yet is predicted first."""
        if self.doing:
            self.said.emit(f"Wait until the work is done ({self.doing}), or stop it, then export.", True)
            return
        subject = self.subject
        if subject is None or subject.prediction is None:
            self.said.emit("There is no prediction yet: fine-tune, then export.", True)
            return
        if not subject.is_predicted and self.model is not None:
            self.predict()
            self._then = lambda: self.export(path)
            return
        self._begin("export", [subject.image], export_masks(path, subject.prediction.data, subject.stack))

    def stop(self) -> None:
        """Stop the running job and keep what it has."""
        if self.job is not None:
            self._then = None
            self.job.stop()
            self.changed.emit()

    def save_model(self, path: Path) -> None:
        """Save the model, or the encoder if there is no model yet."""
        model = self.model or self.encoder
        if model is None:
            self.said.emit("There is no model yet: pre-train or fine-tune first.", True)
            return
        try:
            model.save(path)
            self.said.emit(f"Saved {path.name}: {model.describe()}.", False)
        except btunet.BtunetError as error:
            self.said.emit(str(error), True)

    def open_model(self, path: Path) -> None:
        """Open a model or an encoder; a model's classes become the panel's."""
        try:
            model = btunet.Model.load(path)
        except btunet.BtunetError as error:
            self.said.emit(str(error), True)
            return
        if model.is_encoder:
            self.encoder = model
        else:
            self.model, self.classes = model, [c[:1].upper() + c[1:] for c in model.classes]
            self._recolour()
        self.said.emit(f"Opened {path.name}: {model.describe()}.", False)
        self.changed.emit()

    def _chosen_images(self) -> list[Image]:
        if self.image is None:
            self.said.emit("Open an image first, or try one from File > Open Sample.", True)
            return []
        return [self.image, *(image for image in self.also if image is not self.image)]

    def _after_stopping(self, then: Callable[[], None]) -> None:
        """End the running job, keeping what a training learned, and go on with something else."""
        assert self.job is not None
        if self.doing == "predict":
            self.job.abandon()
        else:
            self.job.stop()
        self._then = then

    def _begin(self, kind: str, images: list[Image], task: btunet.Task[Any]) -> None:
        if self.job is not None:
            task.close()
            self.said.emit(f"Wait until the work is done ({self.doing}), or stop it.", True)
            return
        self._kind, self._at_work = kind, images
        self.job = Job(task, kind)
        self.job.progressed.connect(self._on_progressed)
        self.job.ended.connect(self._on_ended)
        self.job.start()
        self.changed.emit()

    def _ask_for_device(self) -> None:
        """Find out in another process what the work will run on, so that torch never enters this one."""
        self._scout = Job(btunet.in_child("describe_device"), "device")
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
        self.progressed.emit(news)

    def _show(self, image: Image, done: btunet.PredictedPlane) -> None:
        """Show a predicted plane, if its image is still there."""
        if image in self._subjects:
            subject = self._subjects[image]
            was_new = subject.prediction is None
            subject.show(self.viewer, done, len(self.classes))
            if self._kind == "predict":
                subject.predicted.add(done.plane)
            if was_new:
                self.changed.emit()

    def _on_ended(self, how: str, result: Any) -> None:
        kind, then = self.doing, self._then
        self.job, self._then = None, None
        if self._is_closed:
            return
        if how == "failed":
            self.said.emit(str(result), True)
        elif how == "done":
            self._take(kind, result)
            if kind == "finetune" and then is None and self.image in self._at_work:
                then = self.predict
        self.changed.emit()
        if then is not None and how != "failed":
            then()

    def _take(self, kind: str, result: Any) -> None:
        """Keep the result of a job."""
        if kind == "pretrain":
            self.encoder = result
            self.said.emit(f"Pre-trained: {result.describe()}. Fine-tuning will start from it.", False)
        elif kind == "finetune":
            self.model = result
            self.said.emit(f"Fine-tuned: {result.describe()}.", False)
        elif kind == "predict":
            for image in self._at_work:
                if image in self._subjects:
                    self._subjects[image].redraw()
            self.said.emit("Predicted. Correct with more strokes and fine-tune again, or export.", False)
        elif kind == "export":
            self.exported = result
            self.said.emit(f"Exported and checked: {_named(result)}.", False)

    def _on_plane(self, _: Any = None) -> None:
        if self.job is not None and self.subject is not None and self.image in self._at_work:
            look_at = (self._at_work.index(self.image), self.subject.plane(self.viewer))
            self.job.steer(btunet.Steer(look_at=look_at))

    def _on_painted(self, _: Any = None) -> None:
        if self.doing == "finetune":
            self._settled.start()

    def _send_strokes(self) -> None:
        if self.job is None or self.doing != "finetune":
            return
        at_work = [(i, self._subjects[image]) for i, image in enumerate(self._at_work) if image in self._subjects]
        changed = {i: planes for i, subject in at_work if (planes := subject.ledger.take())}
        if changed:
            self.job.steer(btunet.Steer(strokes=changed))

    def _on_inserted(self, _: Any = None) -> None:
        if self.image is None:
            self.choose(next(iter(reversed(self.images)), None))
        self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if layer in self._at_work and self.job is not None:
            self.job.stop() if self.doing in ("pretrain", "finetune") else self.job.abandon()
            self.said.emit(f"{layer.name} was removed, so the work on it ends.", False)
        self.also = [image for image in self.also if image != layer]
        self._subjects.pop(layer, None)
        for image, subject in list(self._subjects.items()):
            if subject.strokes == layer:
                del self._subjects[image]
            elif subject.prediction == layer:
                subject.prediction = None
                subject.predicted.clear()
        if self.image == layer:
            self.choose(next(iter(reversed(self.images)), None))
        self.changed.emit()

    def shutdown(self, *_: Any) -> None:
        """End all work: the window is gone."""
        self._is_closed = True
        self._settled.stop()
        self._then = None
        for job in (self.job, self._scout):
            if job is not None:
                job.abandon()


def _named(paths: list[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} files in {paths[0].parent}"


_SESSIONS: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


def session_of(viewer: Any) -> Session:
    """Return the session of a viewer, making it at the first call.

    The one piece of module state in the plugin: napari gives a plugin no place on the viewer to keep its own things.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # the menu gives the viewer, everything else a proxy
    if viewer not in _SESSIONS:
        _SESSIONS[viewer] = Session(viewer)
    return _SESSIONS[viewer]
