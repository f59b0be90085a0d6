"""A hand that paints strokes in a napari window: mouse events of Qt, one every few milliseconds."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

os.environ.setdefault("BTUNET_PROJECTS", tempfile.mkdtemp(prefix="btunet-"))  # what is painted here is nobody's work

BETWEEN = 12  # ms between two events, those of a mouse that reports 80 times a second
MOVES = 40  # of a stroke
PAUSE = 20  # events that are left out between two strokes


class Hand:
    """Paints zigzags at random places of what the canvas shows, in a layer, until it is told to stop.

    Parameters
    ----------
    viewer, layer
        Of napari; the layer is a labels layer on an image whose pixels have the size 1.
    seed
        Of the places.
    """

    def __init__(self, viewer: Any, layer: Any, seed: int = 0) -> None:
        self._viewer, self._layer = viewer, layer
        self._canvas = viewer.window._qt_viewer.canvas.native
        self._rng = np.random.default_rng(seed)
        self._step = 0
        self.costs: list[float] = []  # ms that each event took
        self.painted = 0  # strokes that arrived in the layer
        layer.events.paint.connect(self._on_paint)
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_time)

    def start(self) -> None:
        self._viewer.layers.selection.active = self._layer
        self._layer.mode = "paint"
        self._layer.brush_size = 8
        self._timer.start(BETWEEN)

    def trace(self, label: int, points: np.ndarray) -> None:
        """Paint one stroke through pixels (n, 2) of the plane that is shown; the window lives between two events."""
        self._viewer.layers.selection.active = self._layer
        self._layer.mode, self._layer.brush_size, self._layer.selected_label = "paint", 4, label
        at = points / self._layer.data.shape[-2:]
        self._press(at[0])
        for place in at[1:]:
            QTest.qWait(BETWEEN)
            self._send(QEvent.Type.MouseMove, place)
        self._send(QEvent.Type.MouseButtonRelease, at[-1])

    def stop(self) -> None:
        self._timer.stop()
        if 0 < self._step < MOVES:
            self._send(QEvent.Type.MouseButtonRelease, self._at)
        self._step = 0

    def _on_time(self) -> None:
        step, self._step = self._step, (self._step + 1) % (MOVES + PAUSE)
        if step == 0:
            self._layer.selected_label = int(self._rng.integers(1, 3))
            self._at, self._way = self._rng.uniform(0.2, 0.8, 2), self._rng.uniform(-0.004, 0.004, 2)
            self._press(self._at)
        elif step < MOVES:
            self._way *= -1 if step == MOVES // 2 else 1
            self._at = self._at + self._way + [0.002 * (-1) ** step, 0]
            self._send(QEvent.Type.MouseMove, self._at)
        elif step == MOVES:
            self._send(QEvent.Type.MouseButtonRelease, self._at)

    def _on_paint(self, _: Any) -> None:
        self.painted += 1

    def _press(self, at: np.ndarray) -> None:
        self._send(QEvent.Type.MouseMove, at, down=False)  # napari paints from where it last saw the mouse
        QTest.qWait(BETWEEN)
        self._send(QEvent.Type.MouseButtonPress, at)

    def _send(self, kind: QEvent.Type, at: np.ndarray, down: bool = True) -> None:
        """Send an event at a part of the image's height and width."""
        height, width = self._layer.data.shape[-2:]
        (y, x), zoom = (self._viewer.camera.center[-2:]), self._viewer.camera.zoom
        position = QPointF(
            self._canvas.width() / 2 + (at[1] * width - x) * zoom,
            self._canvas.height() / 2 + (at[0] * height - y) * zoom,
        )
        none, left = Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton
        button = none if kind == QEvent.Type.MouseMove else left
        held = left if down and kind != QEvent.Type.MouseButtonRelease else none
        everywhere = QPointF(self._canvas.mapToGlobal(position.toPoint()))
        event = QMouseEvent(kind, position, everywhere, button, held, Qt.KeyboardModifier.NoModifier)
        began = time.perf_counter()
        QApplication.sendEvent(self._canvas, event)
        self.costs.append((time.perf_counter() - began) * 1000)
