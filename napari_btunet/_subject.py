"""One image layer with what lies on it: the strokes of the user and the prediction of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

import btunet

from . import _layers

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
        self.ledger = Ledger(self.strokes, scan=adopted is not None)

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

    def on_painted(self, react: Callable[[Any], None]) -> None:
        """Call ``react`` after strokes, undo and redo."""
        self.strokes.events.paint.connect(react)
        self.strokes.events.set_data.connect(react)


class Ledger:
    """Knows which planes of a strokes layer were painted, without ever scanning the others.

    napari tells of a stroke, but not of undo, so planes that were ever painted are compared with their last copy.
    """

    def __init__(self, layer: Labels, *, scan: bool) -> None:
        self.layer = layer
        self._taken: dict[int, np.ndarray] = {}
        self._touched: set[int] = set()
        if scan:  # it was painted before
            self._touched.update(np.flatnonzero(self._planes().any((1, 2))).tolist())
        layer.events.paint.connect(self._on_paint)
        layer.events.data.connect(self._on_replaced)

    @property
    def is_painted(self) -> bool:
        """Whether anything was ever painted here."""
        return bool(self._touched or self._taken)

    def _planes(self) -> np.ndarray:
        return np.asarray(self.layer.data.reshape(-1, *self.layer.data.shape[-2:]))  # (planes, Y, X)

    def _on_paint(self, event: Any) -> None:
        leading = self.layer.data.shape[:-2]
        for atom in event.value:
            boxes = atom.slice_key if hasattr(atom, "slice_key") else [np.unique(i) for i in atom[0]]
            pairs = zip(boxes, leading, strict=False)
            axes = [np.arange(n)[b] if isinstance(b, slice) else np.atleast_1d(b) for b, n in pairs]
            grid = np.meshgrid(*axes, indexing="ij") if axes else []
            self._touched.update(np.ravel_multi_index(grid, leading).ravel().tolist() if axes else [0])

    def _on_replaced(self, _: Any = None) -> None:
        self._touched.update(range(len(self._planes())))

    def take(self) -> dict[int, np.ndarray]:
        """Return copies of the planes that changed since the last call: plane → (Y, X)."""
        planes = self._planes()
        touched = [plane for plane in sorted(self._touched) if plane < len(planes)]
        changed = {p: planes[p].copy() for p in touched if not self._is_taken(p, planes[p])}
        self._taken.update(changed)
        return changed

    def _is_taken(self, plane: int, strokes: np.ndarray) -> bool:
        return plane in self._taken and np.array_equal(strokes, self._taken[plane])

    def all(self) -> dict[int, np.ndarray]:
        """Return copies of all planes that hold strokes: plane → (Y, X)."""
        self.take()
        return {plane: strokes for plane, strokes in self._taken.items() if strokes.any()}
