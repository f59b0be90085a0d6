"""How smooth the window stays: gaps between ticks of a 5 ms timer in a real napari window, nobody painting.

    xvfb-run -a -s "-screen 0 1400x900x24" python benchmarks/stalls.py STACK LABELS [MINUTES]

LABELS is a dense mask of the stack; strokes are drawn from it. Prints milliseconds for the idle window, while it
pre-trains, and while it fine-tunes with the prediction refreshed live and the plane changed every three seconds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import Qt, QTimer

import btunet
from napari_btunet import demo


class Gaps:
    """Times between ticks, in milliseconds."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(5)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.values.append((now - self._last) * 1000)
        self._last = now

    def report(self, name: str) -> None:
        self._timer.stop()
        median, p95, p99 = np.percentile(self.values, [50, 95, 99])
        over = sum(gap > 50 for gap in self.values)
        print(
            f"{name:10} {len(self.values):6} ticks  median {median:5.1f}  p95 {p95:5.1f}  p99 {p99:5.1f}  "
            f"max {max(self.values):6.1f}  over 50 ms: {over}",
            flush=True,
        )


def main(stack: Path, labels: Path, minutes: float) -> None:
    viewer = napari.Viewer()
    viewer.add_image(np.asarray(btunet.read(stack).data), name="stack")
    _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    session, subject = panel.session, panel.session.subject
    demo.wait(lambda: ":" in panel.device_label.text(), "the device")
    truth = np.asarray(btunet.read(labels).data)
    for plane, painted in demo.draw_strokes(truth).items():
        where = np.nonzero(painted)
        subject.strokes.data_setitem((np.full(len(where[0]), plane), *where), painted[where])
    end = time.monotonic() + 10
    gaps = Gaps()
    demo.wait(lambda: time.monotonic() > end, "ten seconds")
    gaps.report("idle")

    panel.minutes_spin.setValue(minutes)
    panel.finetune_minutes_spin.setValue(minutes)
    gaps = Gaps()
    panel.pretrain_button.click()
    demo.wait(lambda: session.encoder is not None, "pre-training")
    gaps.report("pre-train")

    mover = QTimer()
    mover.timeout.connect(lambda: viewer.dims.set_current_step(0, (viewer.dims.current_step[0] + 1) % len(truth)))
    mover.start(3000)
    gaps, began = Gaps(), time.monotonic()
    panel.finetune_button.click()
    demo.wait(subject.prediction.data.any, "the first overlay")
    print(f"first overlay after {time.monotonic() - began:.1f} s", flush=True)
    demo.wait(lambda: session.doing == "predict" or not session.is_busy, "fine-tuning")
    gaps.report("fine-tune")
    mover.stop()
    gaps = Gaps()
    demo.wait(lambda: not session.is_busy, "prediction")
    gaps.report("predict")
    viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.5)
