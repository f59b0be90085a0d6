"""A small line chart of one value over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget


class Curve(QWidget):
    """Draws the values it is given, oldest left, the largest on top."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: list[float] = []
        self._name = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def value(self) -> list[float]:
        """Return the values that are shown."""
        return list(self._values)

    def set_value(self, values: Sequence[float], name: str = "") -> None:
        """Show other values."""
        self._values, self._name = [v for v in values if math.isfinite(v)], name
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Be five lines of text high."""
        return QSize(0, 5 * self.fontMetrics().height())

    def paintEvent(self, _: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Draw the line and its extremes."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(self.palette().mid().color()))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
            if len(self._values) < 2:
                return
            low, high = min(self._values), max(self._values)
            area = self.rect().adjusted(4, 4, -4, -4)
            step = area.width() / (len(self._values) - 1)
            lift = area.height() / ((high - low) or 1)
            points = [QPointF(area.left() + i * step, area.bottom() - (v - low) * lift) for i, v in self._shown()]
            painter.setPen(QPen(self.palette().highlight().color(), 1.5))
            painter.drawPolyline(QPolygonF(points))
            painter.setPen(self.palette().text().color())
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
            painter.drawText(area, int(flags), f"{self._name} {self._values[-1]:.3g}")

    def _shown(self) -> list[tuple[int, float]]:
        """Return index and value of at most one point per pixel of the widget."""
        stride = max(1, len(self._values) // max(1, self.width()))
        return list(enumerate(self._values))[::stride]
