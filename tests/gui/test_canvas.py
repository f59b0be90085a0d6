"""What is removed from the canvas is not drawn from any more."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from qtpy.QtGui import QOpenGLContext

from .conftest import Window, discs

REMOVE_AND_PAINT = """
import os

import numpy as np
from napari import Viewer
from qtpy.QtTest import QTest

viewer = Viewer()
viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
for _ in range(2):
    viewer.add_image(np.zeros((64, 64), np.uint8), name="cells")
    viewer.layers["strokes"].mode = "paint"
    QTest.qWait(400)
    for name in ("cells", "strokes"):
        viewer.layers.remove(name)
        QTest.qWait(200)
os._exit(0)  # how windows close is for other tests
"""


def test_a_layer_is_freed_where_it_was_drawn(window: Callable[..., Window]) -> None:
    opened = window(discs(), show=True)
    canvas = opened.viewer.window._qt_viewer.canvas.native
    found: list[bool] = []

    def look() -> None:
        found.append(QOpenGLContext.currentContext() == canvas.context())

    opened.viewer.window._qt_viewer.canvas._scene_canvas.context.finish = look
    canvas.doneCurrent()
    opened.viewer.layers.remove(opened.strokes)
    assert found
    assert all(found)


def test_one_can_remove_all_layers_and_paint_anew(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", REMOVE_AND_PAINT],
        env={**os.environ, "BTUNET_PROJECTS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
