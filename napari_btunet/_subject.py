"""One image layer with what lies on it: the strokes of the user and the prediction of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import btunet

from . import _layers
from ._ledger import Ledger

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Labels


class Subject:
    """An image that is painted on and predicted.

    Parameters
    ----------
    viewer
        The viewer the layers are in.
    image
        The image layer.
    is_first
        The first one gets layers called just "strokes" and "prediction"; later ones name their image.

    Raises
    ------
    ValueError
        If the layer is not an image this plugin can use.
    """

    def __init__(self, viewer: Viewer, image: Image, classes: int, is_first: bool) -> None:
        self.image = image
        self.prediction: Labels | None = None
        self.predicted: set[int] = set()  # planes that show the present model
        self._suffix = "" if is_first else f" ({image.name})"
        adopted = self._adopt(viewer, classes)
        new = adopted or _layers.add_labels(viewer, image, f"strokes{self._suffix}", "strokes", classes)
        self.strokes: Labels = new
        self.ledger = Ledger(self.strokes, scan=adopted is not None)  # what was sent to be learned from
        self.kept = Ledger(self.strokes, scan=adopted is not None)  # what was written to the disk

    def _adopt(self, viewer: Viewer, classes: int) -> Labels | None:
        """Return strokes that are already there, for instance opened from a file: right name, right shape."""
        from napari.layers import Labels

        name, shape = f"strokes{self._suffix}", self.stack.spatial_shape
        for layer in viewer.layers:
            if layer.name != name or not isinstance(layer, Labels):
                continue
            if isinstance(layer.data, np.ndarray) and layer.data.shape == shape:
                role = {"role": "strokes", "image": self.image.name}
                layer.metadata = {**layer.metadata, _layers.ROLE: role}
                _layers.colour(layer, max(classes, int(layer.data.max())))
                return layer
        return None

    def named(self, what: str) -> str:
        """Return what a layer of this image is called."""
        return f"{what}{self._suffix}"

    @property
    def stack(self) -> btunet.Stack:
        """The image as the engine sees it."""
        return _layers.stack_of(self.image)

    @property
    def is_predicted(self) -> bool:
        """Whether every plane shows the present model."""
        return len(self.predicted) == self.stack.planes

    def plane(self, viewer: Viewer) -> int:
        """Return the number of the plane the sliders stand on."""
        return _layers.shown_plane(viewer, self.strokes)

    def expect(self, viewer: Viewer, classes: int) -> Labels:
        """Return the prediction layer, made if there is none.

        napari takes a few tenths of a second to add a layer, which must not happen in the middle of a stroke: so this
        is called at the click that starts the work.
        """
        if self.prediction is None:
            name = f"prediction{self._suffix}"
            self.prediction = _layers.add_labels(viewer, self.image, name, "prediction", classes)
        return self.prediction

    def show(self, viewer: Viewer, done: btunet.PredictedPlane, classes: int) -> None:
        """Put a predicted plane into the prediction layer."""
        _layers.put_plane(viewer, self.expect(viewer, classes), done.plane, done.mask, done.corner)

    def redraw(self) -> None:
        """Redraw the prediction with its thumbnail, which single planes leave alone."""
        if self.prediction is not None:
            self.prediction.refresh()

    def colour(self, classes: int) -> None:
        """Give both layers the colours of the classes."""
        for layer in (self.strokes, self.prediction):
            if layer is not None:
                _layers.colour(layer, classes)

    def restore(self, planes: Mapping[int, np.ndarray]) -> bool:
        """Put strokes, plane → (Y, X), on the layer unless it holds some already; return whether it did.

        The layer's numbers become wider if they are too small for the strokes.
        """
        is_new = not self.ledger.is_painted
        kind = np.result_type(self.strokes.data.dtype, *(values.dtype for values in planes.values()))
        if kind != self.strokes.data.dtype and is_new:  # nothing was painted, so there is nothing to undo either
            self.strokes.data = self.strokes.data.astype(kind)
        self.kept.begin_with(dict(planes))
        if is_new:
            strokes = self.strokes.data.reshape(-1, *self.strokes.data.shape[-2:])
            for plane, values in planes.items():
                np.copyto(strokes[plane], values)
            self.ledger.begin_with(dict(planes))
            self.strokes.refresh()
        return is_new

    def erase(self) -> None:
        """Take all strokes off the layer, so that undo brings them back."""
        painted = np.nonzero(self.strokes.data)
        if len(painted[0]):
            self.strokes.data_setitem(painted, 0)

    def on_painted(self, react: Callable[[Any], None]) -> None:
        """Call ``react`` after strokes, undo and redo."""
        self.strokes.events.paint.connect(react)
        self.strokes.events.set_data.connect(react)
