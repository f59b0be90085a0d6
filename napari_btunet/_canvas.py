"""Where napari frees what a removed layer had on the graphics card."""

from __future__ import annotations

from typing import Any

from qtpy.compat import isalive
from qtpy.QtWidgets import QOpenGLWidget, QWidget


class CanvasGuard:
    """Has what a removed layer leaves behind freed in the OpenGL context that drew it.

    napari (0.9.2) frees it at once, in whatever context is current: after Qt put the window together, that is the
    window's own. The canvas then still refers to what is gone, and Mesa ends the program at a later drawing.

    Parameters
    ----------
    layers
        Of the viewer.
    window
        The viewer's.
    """

    def __init__(self, layers: Any, window: QWidget) -> None:
        self._window = window
        layers.events.removing.connect(self._on_removing)

    def _on_removing(self, _: Any = None) -> None:
        for canvas in self._window.findChildren(QOpenGLWidget) if isalive(self._window) else ():
            canvas.makeCurrent()
