"""Where the answer is unsure: a layer over the plane in sight, bright where two classes are equally likely."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import btunet

from . import _layers
from ._overlay import add_overlay, lay

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image


MOST = 2**26  # pixels of an image that are remembered, those of the latest planes


class Doubt:
    """One layer per image, made when it is first wanted; hidden and shown by a key."""

    def __init__(self) -> None:
        self.is_shown = False
        self._planes: dict[Image, dict[int, np.ndarray]] = {}  # image → plane → (Y, X), the latest last
        self._layers: dict[Image, Image] = {}

    def knows(self, image: Image, plane: int) -> bool:
        """Return whether there is something to show of a plane."""
        return plane in self._planes.get(image, {})

    def take(self, image: Image, part: btunet.PredictedPlane) -> None:
        """Take in how unsure a prediction of a plane, or of a part of it, is."""
        if part.doubt is None:
            return
        planes = self._planes.setdefault(image, {})
        whole = planes.pop(part.plane, None)
        if whole is None:
            whole = np.zeros(_layers.stack_of(image).plane_shape, np.uint8)
        rows, columns = (slice(at, at + n) for at, n in zip(part.corner, part.doubt.shape, strict=True))
        whole[rows, columns] = part.doubt
        planes[part.plane] = whole
        while len(planes) > max(1, MOST // whole.size):
            del planes[next(iter(planes))]

    def toggle(self, viewer: Viewer, image: Image, plane: int) -> None:
        """Show or hide it."""
        self.is_shown = not self.is_shown
        for layer in self._layers.values():
            layer.visible = self.is_shown
        self.look(viewer, image, plane)

    def look(self, viewer: Viewer, image: Image, plane: int) -> None:
        """Show what is known of a plane, if that is wanted."""
        if not self.is_shown or not self.knows(image, plane):
            return
        whole, layer = self._planes[image][plane], self._layers.get(image)
        if layer is None or layer not in viewer.layers:
            look = {"colormap": "magenta", "blending": "additive", "contrast_limits": (64, 255), "opacity": 0.6}
            layer = self._layers[image] = add_overlay(viewer, image, "doubt", f"unsure ({image.name})", whole, **look)
        lay(layer, image, plane, whole)

    def forget(self, image: Image) -> None:
        """Let go of an image that is not open any more."""
        self._planes.pop(image, None)
        self._layers.pop(image, None)
