"""What keeping strokes costs the window: milliseconds of its own thread after a stroke, and after an undo.

    xvfb-run -a -s "-screen 0 1400x900x24" .venv/bin/python benchmarks/keeping.py          # without a window to draw
    xvfb-run -a -s "-screen 0 1400x900x24" .venv/bin/python benchmarks/keeping.py --window # painted with the mouse

A row per size: pixels along each side, planes, how many of them are painted. After an undo the planes are compared
with what was kept, a few milliseconds at a time: the row says how long one such turn takes, and all of them together
with the pauses between them. In a window somebody paints, and takes every fourth stroke back, while what is painted is
kept and while it is not, in turns; the table says how long the window's thread was at work between two ticks of a 5 ms
timer. All are times of the processor, which do not depend on what else runs.
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
from qtpy.QtCore import Qt, QTimer
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
    """Return what saving takes of the processor, which does not depend on what else runs."""
    began = time.thread_time()
    session.keeper.save()
    return (time.thread_time() - began) * 1e3


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

    row(["ms at work between ticks", "median", "p95", "p99", "max", "over 50 ms", "strokes"])
    row(["---"] * 7)
    for side, planes in DRAWN:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["BTUNET_PROJECTS"] = folder
            viewer = napari.Viewer()
            viewer.add_image(np.random.default_rng(0).integers(0, 99, (planes, side, side), np.uint8), name="stack")
            _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
            session = panel.session
            session.begin()
            strokes = session.subject.strokes
            session.live.mode = "off"
            hand = Hand(viewer, strokes)
            strokes.events.paint.connect(lambda _, h=hand, s=strokes: h.painted % 4 == 3 and later(s.undo))
            hand.start()
            QTest.qWait(SECONDS * 500)  # the first strokes cost more, and the project begins
            hand.stop()
            settle(session)
            found: dict[str, list[float]] = {"kept": [], "not kept": []}
            painted = dict.fromkeys(found, 0)
            for _ in range(ROUNDS):
                for name, gaps in found.items():
                    session.keeper.is_read_only = name == "not kept"
                    ticks, hand.painted = Work(), 0
                    hand.start()
                    QTest.qWait(SECONDS * 1000)
                    hand.stop()
                    gaps.extend(ticks.values)
                    painted[name] += hand.painted
                    session.keeper.is_read_only = False
                    settle(session)
            for name, gaps in found.items():
                shares = [float(share) for share in np.percentile(gaps, (50, 95, 99, 100))]
                over = f"{sum(gap > 50 for gap in gaps)} of {len(gaps)}"
                row([f"{planes} of {side}², {name}", *shares, over, painted[name]])
            viewer.close()


class Work:
    """How long this thread was at work between two ticks, milliseconds."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._last = time.thread_time()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(5)

    def _tick(self) -> None:
        now = time.thread_time()
        self.values.append((now - self._last) * 1e3)
        self._last = now


def later(act: Any) -> None:
    """Do something when the event that is going on is over."""
    QTimer.singleShot(100, act)


def main() -> None:
    in_window() if "--window" in sys.argv[1:] else without_window()


if __name__ == "__main__":
    main()
