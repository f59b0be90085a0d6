"""What a viewer holds for us: the images, the classes, and what is painted."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from . import _layers
from ._effort import Effort
from ._subject import Subject

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image


class Workspace:
    """The images of one viewer with their strokes, and the classes; holds no widgets.

    Parameters
    ----------
    viewer
        The viewer itself, not a proxy; it is not kept alive.
    """

    changed = Signal()  # images, classes, models, or whether something runs
    said = Signal(str, bool)  # a sentence for the user; whether it is an error

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self.classes = ["Background", "Object"]
        self.image: Image | None = None
        self.also: list[Image] = []  # other images to learn from, painted or not
        self.subjects: dict[Image, Subject] = {}
        self.effort = Effort()
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def viewer(self) -> Viewer:
        """The viewer, while it lives."""
        viewer = self._viewer()
        if viewer is None:
            raise ReferenceError("the viewer is closed")
        return viewer

    @property
    def images(self) -> list[Image]:
        """The open image layers, without those this plugin made."""
        from napari.layers import Image

        return [layer for layer in self.viewer.layers if isinstance(layer, Image) and not _layers.role_of(layer)]

    @property
    def subject(self) -> Subject | None:
        """The chosen image with its strokes and its prediction; None if there is no image that can be used."""
        return self.subjects.get(self.image) if self.image is not None else None

    def _newest(self) -> Image | None:
        return next(reversed(self.images), None)

    def choose(self, image: Image | None) -> None:
        """Work on this image; it gets a strokes layer if it has none."""
        self.image = image
        if image is not None and image not in self.subjects:
            try:
                self._add_subject(image)
            except ValueError as error:
                self.said.emit(str(error), True)
        self.changed.emit()

    def _add_subject(self, image: Image) -> None:
        """Make an image ready to be painted on."""
        subject = Subject(self.viewer, image, len(self.classes), is_first=not self.subjects)
        self.subjects[image] = subject
        subject.on_painted(self._on_painted)
        self.effort.watch(subject.strokes)
        _layers.bind_keys(subject.strokes, self.keys())
        self.viewer.layers.selection.active = subject.strokes
        subject.strokes.selected_label = _layers.BACKGROUND + 1
        subject.strokes.events.selected_label.connect(self._on_label)
        self._on_subject(subject)

    def understood(self) -> str:
        """Say how the chosen image is understood."""
        if self.image is None:
            return "Open an image, or try one from File > Open Sample."
        try:
            return _layers.stack_of(self.image).describe()
        except ValueError as error:
            return str(error)

    def keys(self) -> dict[str, Callable[[], None]]:
        """Return what keys do while a strokes layer is active."""
        return {
            "Q": self.choose_next_object,
            "W": lambda: self.choose_class(_layers.BACKGROUND),
            "S": lambda: self._toggle("prediction"),
            "A": lambda: self._toggle("strokes"),
        }

    def _toggle(self, role: str) -> None:
        """Show or hide the prediction or the strokes of the chosen image."""
        layer = getattr(self.subject, role, None)
        if layer is not None:
            layer.visible = not layer.visible

    # ------------------------------------------------------------------------------------------ classes

    def choose_next_object(self) -> None:
        """Paint objects; if that is done already, objects of the next class."""
        subject = self.subject
        objects = range(_layers.BACKGROUND + 1, len(self.classes) + 1)
        at = int(subject.strokes.selected_label) + 1 if subject else 0
        self.choose_class(at if at in objects else objects[0])

    def add_class(self) -> None:
        """Add a class and paint with it next."""
        self.set_classes([*self.classes, f"Object {len(self.classes)}"])
        self.choose_class(len(self.classes))

    def rename_class(self, label: int, name: str) -> None:
        """Give the class of a label another name; an empty one changes nothing."""
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

    def set_classes(self, names: list[str]) -> None:
        """Use these classes, background first."""
        self.classes = names
        for subject in self.subjects.values():
            subject.colour(len(names))
        self.changed.emit()

    # ------------------------------------------------------------------------------------------ what happens

    def _on_subject(self, subject: Subject) -> None:
        """React to an image that can be painted on now."""

    def _on_painted(self, _: Any = None) -> None:
        """React to strokes, undo and redo."""

    def _on_label(self, event: Any) -> None:
        """Follow the label chosen in napari's own controls; the next free one (napari's M) becomes a class."""
        if event.source.selected_label == len(self.classes) + 1:
            self.set_classes([*self.classes, f"Object {len(self.classes)}"])
        self.changed.emit()

    def _on_inserted(self, _: Any = None) -> None:
        if self.image is None:
            self.choose(self._newest())
        self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        self.also = [image for image in self.also if image != layer]
        self.subjects.pop(layer, None)
        for image, subject in list(self.subjects.items()):
            if subject.strokes == layer:
                del self.subjects[image]
            elif subject.prediction == layer:
                subject.prediction = None
                subject.predicted.clear()
        if self.image == layer:
            self.choose(self._newest())
        self.changed.emit()
