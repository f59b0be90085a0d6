"""A small line chart of one value over time, or over something else that rises."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

Ahead = tuple[float, float, float]  # place, lowest and highest value


class Curve(QWidget):
    """Draws the values it is given, oldest left, the largest on top."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: list[float] = []
        self._places: list[float] = []
        self._ahead: Ahead | None = None
        self._name = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def value(self) -> list[float]:
        """Return the values that are shown."""
        return list(self._values)

    def set_value(
        self, values: Sequence[float], name: str = "", places: Sequence[float] = (), ahead: Ahead | None = None
    ) -> None:
        """Show other values; their places, which rise, are evenly spaced unless given; ``ahead`` is drawn as a bar."""
        pairs = [(p, v) for p, v in zip(places or range(len(values)), values, strict=True) if math.isfinite(v)]
        self._places, self._values = [float(p) for p, _ in pairs], [v for _, v in pairs]
        self._name, self._ahead = name, ahead
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Be four lines of text high."""
        return QSize(0, 4 * self.fontMetrics().height())

    def paintEvent(self, _: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Draw the line, the bar and the last value."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(self.palette().mid().color()))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
            if len(self._values) < 2:
                return
            painter.setPen(QPen(self.palette().highlight().color(), 1.5))
            painter.drawPolyline(QPolygonF([self._point(p, v) for p, v in self._shown()]))
            if self._ahead is not None:
                place, low, high = self._ahead
                painter.setPen(QPen(self.palette().highlight().color(), 4))
                painter.drawLine(self._point(place, low), self._point(place, high))
            painter.setPen(self.palette().text().color())
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
            painter.drawText(self.rect().adjusted(4, 4, -4, -4), int(flags), f"{self._name} {self._values[-1]:.3g}")

    def _point(self, place: float, value: float) -> QPointF:
        """Return where a value lies in the widget."""
        further, *bounds = self._ahead or (self._places[-1], *self._values[-1:])
        first, last = self._places[0], max(self._places[-1], further)
        low, high = min(*self._values, *bounds), max(*self._values, *bounds)
        area = self.rect().adjusted(4, 4, -4, -4)
        along, up = (place - first) / ((last - first) or 1), (value - low) / ((high - low) or 1)
        return QPointF(area.left() + along * area.width(), area.bottom() - up * area.height())

    def _shown(self) -> list[tuple[float, float]]:
        """Return place and value of at most one point per pixel of the widget."""
        stride = max(1, len(self._values) // max(1, self.width()))
        return list(zip(self._places, self._values, strict=True))[::stride]
