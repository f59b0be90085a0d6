"""What keeping strokes costs the window: milliseconds of its own thread after a stroke, and after an undo.

    xvfb-run -a -s "-screen 0 1400x900x24" .venv/bin/python benchmarks/keeping.py          # without a window to draw
    xvfb-run -a -s "-screen 0 1400x900x24" .venv/bin/python benchmarks/keeping.py --window # painted with the mouse

A row per size: pixels along each side, planes, how many of them are painted. After an undo the planes are compared
with what was kept, a few milliseconds at a time: the row says how long one such turn takes, and all of them together
with the pauses between them. In a window somebody paints, and takes every fourth stroke back, while what is painted is
kept and while it is not, in turns; the gaps are those between ticks of a 5 ms timer (`stalls`).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from typing import Any

import napari
import numpy as np
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication

from napari_btunet._session import Session
from napari_btunet._writing import NEXT

SIZES = ((1024, 8, 1), (1024, 64, 64), (2048, 64, 1), (2048, 64, 64), (8192, 1, 1))
DRAWN = ((512, 8), (2048, 64), (8192, 1))
ROUNDS, SECONDS = 3, 10


class Quiet(Session):
    """A session that does not look for a device."""

    def _ask_for_device(self) -> None:
        pass


def settle(session: Session) -> tuple[float, float]:
    """Save until nothing is left to tell; return the longest turn and the time that all took, milliseconds."""
    began, turns = time.perf_counter(), [timed(session)]
    while not all(subject.kept.is_settled for subject in session.subjects.values()):
        time.sleep(NEXT / 1e3)
        turns.append(timed(session))
    return max(turns), (time.perf_counter() - began) * 1e3


def timed(session: Session) -> float:
    began = time.perf_counter()
    session.keeper.save()
    return (time.perf_counter() - began) * 1e3


def row(cells: list[Any]) -> None:
    print(
        "| " + " | ".join(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |", flush=True
    )


def without_window() -> None:
    """Print what a stroke and an undo cost at several sizes."""
    application: Any = QApplication([])
    row(
        [
            "side",
            "planes",
            "painted",
            "after a stroke: median",
            "max",
            "a turn after undo: max",
            "all turns: median",
            "max",
        ]
    )
    row(["---"] * 8)
    for side, planes, painted in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["BTUNET_PROJECTS"] = folder
            viewer = ViewerModel()
            viewer.add_image(np.zeros((planes, side, side), np.uint8))
            session = Quiet(viewer)
            session.live.mode = "off"
            assert session.subject is not None
            layer, strokes, undone = session.subject.strokes, list[float](), list[tuple[float, float]]()
            for plane in range(painted):
                layer.paint((plane, 50, 50), 1)
            for number in range(20):
                settle(session)
                time.sleep(0.1)  # what is written is written in a thread of its own
                layer.paint((0, 100 + number * 9, 80), 2)
                strokes.append(timed(session))
                settle(session)
                layer.undo()
                undone.append(settle(session))
            session.shutdown()
        turns, all_turns = zip(*undone, strict=True)
        after = [max(turns), statistics.median(all_turns), max(all_turns)]
        row([side, planes, painted, statistics.median(strokes), max(strokes), *after])
    application.quit()


def in_window() -> None:
    """Print the gaps of a real window while what is painted in it is kept, and while it is not."""
    from qtpy.QtTest import QTest

    from mouse import Hand
    from stalls import Gaps

    print("| ms between ticks | median | p95 | p99 | max | over 50 ms |\n|---|---|---|---|---|---|")
    for side, planes in DRAWN:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["BTUNET_PROJECTS"] = folder
            viewer = napari.Viewer()
            viewer.add_image(np.random.default_rng(0).integers(0, 99, (planes, side, side), np.uint8), name="stack")
            _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
            session, strokes = panel.session, panel.session.subject.strokes
            session.live.mode = "off"
            hand = Hand(viewer, strokes)
            strokes.events.paint.connect(lambda _, h=hand, s=strokes: h.painted % 4 == 3 and later(s.undo))
            found: dict[str, list[float]] = {"kept": [], "not kept": []}
            for _ in range(ROUNDS):
                for name, gaps in found.items():
                    session.keeper.is_read_only = name == "not kept"
                    ticks = Gaps()
                    hand.start()
                    QTest.qWait(SECONDS * 1000)
                    hand.stop()
                    gaps.extend(ticks.values)
                    session.keeper.is_read_only = False
                    settle(session)
            for name, gaps in found.items():
                ticks = Gaps()
                ticks.values = gaps
                ticks.report(f"{planes} of {side}², {name}")
            viewer.close()


def later(act: Any) -> None:
    """Do something when the event that is going on is over."""
    from qtpy.QtCore import QTimer

    QTimer.singleShot(100, act)


def main() -> None:
    in_window() if "--window" in sys.argv[1:] else without_window()


if __name__ == "__main__":
    main()
