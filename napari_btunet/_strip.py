"""How well each plane of a stack is predicted, compared with the others: a thin strip; a click goes there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

import btunet
from btunet.reliability import Reliability

from . import _layers
from ._spots import show_plane

if TYPE_CHECKING:
    from napari.layers import Image

    from ._difference import Seen

MOST = 2**20  # pixels of a plane that are looked at; of larger ones every second, third, … in each direction
WORST, BEST, UNKNOWN = (217, 95, 176), (63, 74, 90), (35, 39, 47)  # red, green, blue; as the layer of doubt is


class Quality:
    """Signs of how well the planes of images are predicted by the present model.

    Parameters
    ----------
    seen
        What models predicted lately.
    """

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._found: dict[Image, tuple[int, Reliability]] = {}  # image → model and signs

    def of(self, image: Image | None) -> Reliability | None:
        """Return what is known of an image."""
        return self._found[image][1] if image in self._found else None

    def take(self, model: btunet.Model, before: btunet.Model | None, image: Image, part: btunet.PredictedPlane) -> None:
        """Take in a plane that a model predicted, and compare it with what the model before made of it."""
        stack = _layers.stack_of(image)
        if stack.planes < 2 or part.mask.shape != stack.plane_shape:
            return
        if image not in self._found or self._found[image][0] != id(model):
            length = stack.stack_shape[-1] if "ZYX" in stack.axes.replace("C", "") else 1
            self._found[image] = id(model), Reliability(stack.planes, length)
        found, plane, step = self._found[image][1], part.plane, math.ceil(math.sqrt(part.mask.size / MOST))
        some = slice(None, None, step), slice(None, None, step)
        mask, doubt = part.mask[some], part.doubt[some] if part.doubt is not None else None
        earlier = self._seen.of(before, image, plane) if before is not None else None
        found.take(plane, mask, doubt, earlier[some] if earlier is not None else None)
        for first in (plane - 1, plane):
            one, other = (mask if p == plane else self._seen.of(model, image, p) for p in (first, first + 1))
            if one is not None and other is not None:
                found.take_pair(first, *(m if m is mask else m[some] for m in (one, other)))

    def forget(self, image: Image) -> None:
        """Let go of an image that is not open any more."""
        self._found.pop(image, None)


class Strip(QWidget):
    """Draws the order of planes, the worst bright, and a mark at the plane in sight."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("plane_strip")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._values = np.zeros(0)
        self._at = 0

    def value(self) -> np.ndarray:
        """Return the place of every plane in the order, 0 = worst, NaN where nothing is known."""
        return self._values.copy()

    def set_value(self, values: np.ndarray, at: int) -> None:
        """Show another order, and a mark at a plane."""
        self._values, self._at = values, at
        self.setVisible(bool(np.isfinite(values).any()))
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Be a line of text high."""
        return QSize(0, self.fontMetrics().height())

    def plane_at(self, x: float) -> int:
        """Return the plane drawn at a place, pixels from the left."""
        return int(np.clip(x / max(1, self.width()) * len(self._values), 0, max(0, len(self._values) - 1)))

    def paintEvent(self, _: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Draw a bar for every plane, the worst of those that share a pixel."""
        count = len(self._values)
        with QPainter(self) as painter:
            shown = min(count, self.width())
            for n in range(shown):
                some = self._values[n * count // shown : (n + 1) * count // shown]
                known = some[np.isfinite(some)]
                left, right = (place * self.width() / shown for place in (n, n + 1))
                painter.fillRect(QRectF(left, 3, right - left + 0.5, self.height() - 6), _colour(known))
            if count:
                middle = (self._at + 0.5) * self.width() / count
                painter.fillRect(QRectF(middle - 1, 0, 2, self.height()), self.palette().text().color())

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Go to the plane that is pressed."""
        if event is not None and len(self._values) and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit(self.plane_at(event.pos().x()))


class PlaneStrip(Strip):
    """The strip of the chosen image of a session; hidden unless several of its planes are predicted."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session
        self.setAccessibleName("planes in the order of how well they seem predicted, the worst bright")
        session.changed.connect(self._on_changed)
        session.progressed.connect(self._on_changed)
        session.viewer.dims.events.current_step.connect(self._on_changed)
        self.chosen.connect(self._on_chosen)
        self._on_changed()

    def event(self, event: QEvent | None) -> bool:
        """Explain the plane under the mouse."""
        if isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self.sentence(self.plane_at(event.pos().x())), self)
            return True
        return super().event(event)

    def sentence(self, plane: int) -> str:
        """Say where a plane is in the order and why, and what the model expects of it."""
        found, values = self._session.quality.of(self._session.image), self.value()
        if found is None or plane >= len(values) or np.isnan(values[plane]):
            return f"plane {plane}: not predicted yet"
        known = values[np.isfinite(values)]
        worse = int((known < values[plane]).sum())
        why = f": {found.reason(plane)}" if worse < len(known) / 2 else ""
        place = f"number {worse + 1} of {len(known)} from the worst"
        dice = found.expected(plane)
        guess = f" The model expects Dice {dice:.2f} of itself, not measured." if dice is not None else ""
        return f"plane {plane}: {place}{why}.{guess} Click to go there."

    def _on_changed(self, _: Any = None) -> None:
        if not isalive(self):
            return
        subject = self._session.subject
        found = self._session.quality.of(subject.image) if subject else None
        at = subject.plane(self._session.viewer) if subject else 0
        self.set_value(found.value() if found is not None else np.zeros(0), at)

    def _on_chosen(self, plane: int) -> None:
        if self._session.subject is not None:
            show_plane(self._session.viewer, self._session.subject.strokes, plane)


def _colour(known: np.ndarray) -> QColor:
    """Return the colour of the worst of some planes."""
    if not len(known):
        return QColor(*UNKNOWN)
    share = 1 - (1 - float(known.min())) ** 2  # few are bright
    return QColor(*(round(a + share * (b - a)) for a, b in zip(WORST, BEST, strict=True)))
