"""What keeping strokes costs the window: milliseconds of its own thread after a stroke, and after an undo.

    xvfb-run -a .venv/bin/python benchmarks/keeping.py

A row per size: pixels along each side, planes, how many of them are painted. No window is drawn.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from typing import Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication

from napari_btunet._session import Session

SIZES = ((1024, 8, 1), (1024, 64, 64), (2048, 64, 1), (2048, 64, 64), (8192, 1, 1))


class Quiet(Session):
    """A session that does not look for a device."""

    def _ask_for_device(self) -> None:
        pass


def settle(session: Session) -> None:
    """Save until nothing is left to tell."""
    for _ in range(50):
        session.keeper.save()
        time.sleep(0.01)


def timed(session: Session) -> float:
    began = time.perf_counter()
    session.keeper.save()
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    application: Any = QApplication([])
    print("| side | planes | painted | after a stroke: median | max | after undo: median | max |")
    print("|---|---|---|---|---|---|---|")
    for side, planes, painted in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["BTUNET_PROJECTS"] = folder
            viewer = ViewerModel()
            viewer.add_image(np.zeros((planes, side, side), np.uint8))
            session = Quiet(viewer)
            session.live.mode = "off"
            assert session.subject is not None
            layer, strokes, undone = session.subject.strokes, list[float](), list[float]()
            for plane in range(painted):
                layer.paint((plane, 50, 50), 1)
            for number in range(20):
                settle(session)
                layer.paint((0, 100 + number * 9, 80), 2)
                strokes.append(timed(session))
                settle(session)
                layer.undo()
                undone.append(timed(session))
            session.shutdown()
        cells = (statistics.median(strokes), max(strokes), statistics.median(undone), max(undone))
        print(f"| {side} | {planes} | {painted} | {' | '.join(f'{cell:.1f}' for cell in cells)} |", flush=True)
    application.quit()


if __name__ == "__main__":
    main()
