"""What pre-training has learned, before any label: a layer of colours, and a sentence on how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QLabel

import btunet

from ._overlay import add_overlay, lay

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

    from ._session import Session

OPACITY = 0.7


class Learned:
    """One layer of colours per image, directly on it and below everything painted; hidden until it is wanted.

    It holds one plane, or a part of one, and lies where that is: on other planes nothing is in the way.
    """

    changed = Signal(bool)  # whether it is shown

    def __init__(self) -> None:
        self.is_shown = False
        self._layers: dict[Image, Image] = {}  # image → its colours; one that the user removed does not come back

    def expect(self, viewer: Viewer, image: Image) -> Image:
        """Return the layer of an image, made if there is none.

        As with predictions, this is called at the click that starts the work, not in the middle of a stroke.
        """
        layer = self._layers.get(image)
        if layer is None or layer not in viewer.layers:
            layer = self._layers[image] = _add_colours(viewer, image, self.is_shown)
            layer.events.visible.connect(self._on_visible)
        return layer

    def show(self, viewer: Viewer, image: Image, learned: btunet.LearnedPlane) -> None:
        """Put a picture on its image, if that is still there."""
        if image not in viewer.layers:
            return
        layer = self.expect(viewer, image) if image not in self._layers else self._layers[image]
        if layer in viewer.layers:
            _put(layer, image, learned)

    def forget(self, image: Image) -> None:
        """Let go of an image that is not open any more."""
        self._layers.pop(image, None)

    def set_shown(self, shown: bool) -> None:
        """Show the colours of all images, or hide them."""
        self.is_shown = shown
        for layer in self._layers.values():
            layer.visible = shown
        self.changed.emit(shown)

    def _on_visible(self, event: Any) -> None:
        """Follow the eye in the list of layers."""
        if event.source.visible != self.is_shown:
            self.set_shown(event.source.visible)


def _add_colours(viewer: Viewer, image: Image, shown: bool) -> Image:
    """Add a layer that shows nothing yet."""
    nothing = np.zeros((1, 1, 4), np.uint8)
    name = f"learned ({image.name})"
    return add_overlay(viewer, image, "learned", name, nothing, rgb=True, opacity=OPACITY, visible=shown)


def _put(layer: Image, image: Image, learned: btunet.LearnedPlane) -> None:
    """Give a layer other colours and lay it where they belong."""
    solid = np.full((*learned.colours.shape[:2], 1), 255, np.uint8)
    lay(layer, image, learned.plane, np.concatenate([learned.colours, solid], -1), learned.corner)


class LearnedCheck(QCheckBox):
    """Shows or hides what was learned."""

    def __init__(self, learned: Learned) -> None:
        super().__init__("Show what it has learned")
        self.setObjectName("learned_check")
        self.setToolTip("colours over the image: what looks different to the network has another colour")
        self.setChecked(learned.is_shown)
        self.toggled.connect(learned.set_shown)
        learned.changed.connect(self._on_changed)

    def _on_changed(self, shown: bool) -> None:
        if isalive(self):
            self.setChecked(shown)


class HealthLabel(QLabel):
    """Says in words how a pre-training goes, also when it is over, until something else begins."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("learning_label")
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setVisible(False)
        self._session, self._job = session, session.job
        session.progressed.connect(self._on_progressed)
        session.changed.connect(self._on_changed)

    def _on_progressed(self, news: list[btunet.Progress]) -> None:
        found = [progress.health for progress in news if progress.health is not None]
        if found and isalive(self):
            self.setText(found[-1].sentence)
            self.setVisible(True)

    def _on_changed(self) -> None:
        job = self._session.job
        if isalive(self) and job is not None and job is not self._job:
            self._job = job
            self.setVisible(False)
