"""How smooth the window stays: gaps between ticks of a 5 ms timer in a real napari window, with and without painting.

    xvfb-run -a -s "-screen 0 1400x900x24" python benchmarks/stalls.py [STACK LABELS] [--minutes 0.5]

LABELS is a dense mask of the stack; strokes are drawn from it; without files the sample is used. Prints ms for
the idle window, while it pre-trains, while it fine-tunes with the prediction refreshed live and the plane changed every
three seconds, and while it predicts. In the second half of each training, and while nothing trains, strokes are painted
with mouse events (`mouse`), without a prediction in sight and with one, which costs something whenever the canvas is
drawn; the ratios say how much of their gaps the training adds. Then how fast it trains beside the command line on as
many threads: while nobody paints, while strokes are painted, and while they are painted and not answered, which takes
another process. Last, what the start costs, and what one new plane of a prediction costs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

import btunet
from btunet.device import cores
from mouse import Hand
from napari_btunet import demo
from napari_btunet._layers import add_labels, put_plane
from napari_btunet._sample import draw_nuclei

SHARES = (50, 95, 99)
LARGE = (64, 2048, 2048)
START = "import time, napari; from qtpy import QtWidgets; t = time.perf_counter(); import napari_btunet; "


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

    def report(self, name: str) -> np.ndarray:
        """Print a row and return the shares."""
        self._timer.stop()
        found = np.percentile(self.values, SHARES)
        over = sum(gap > 50 for gap in self.values)
        cells = [f"{value:.1f}" for value in (*found, max(self.values))]
        print(f"| {name} | {' | '.join(cells)} | {over} of {len(self.values)} |", flush=True)
        return found


def during(name: str, until: Callable[[], Any], hand: Hand | None = None) -> np.ndarray:
    """Report the gaps until something holds, while the hand paints if there is one."""
    gaps = Gaps()
    if hand:
        hand.costs.clear()
        hand.painted = 0
        hand.start()
    demo.wait(until, name)
    if hand:
        hand.stop()
        name += f" {hand.painted} strokes (an event: {statistics.median(hand.costs):.1f}, max {max(hand.costs):.1f})"
    return gaps.report(name)


def seconds(count: float) -> Callable[[], bool]:
    end = time.monotonic() + count
    return lambda: time.monotonic() > end


class Rates:
    """Steps per second of the session's job, by what happened meanwhile."""

    def __init__(self, session: Any) -> None:
        self.found: dict[str, float] = {}
        self._step = 0
        session.progressed.connect(self._on_progressed)

    def _on_progressed(self, news: list[btunet.Progress]) -> None:
        self._step = news[-1].step

    def during(self, name: str, until: Callable[[], Any], hand: Hand | None = None) -> np.ndarray:
        """Report the gaps, and note the rate."""
        demo.wait(lambda: self._step > 0, "the first step")
        step, began = self._step, time.monotonic()
        gaps = during(name, until, hand)
        self.found[name] = (self._step - step) / (time.monotonic() - began)
        return gaps


def smoothness(image: np.ndarray, truth: np.ndarray, minutes: float) -> tuple[str, dict[str, float]]:
    """Print the table of gaps; return the network that was pre-trained meanwhile and its rates."""
    viewer = napari.Viewer()
    viewer.add_image(image, name="stack")
    demo.wait(seconds(2), "napari itself")  # as it stands when a user opens the panel
    began = time.perf_counter()
    _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    QApplication.processEvents()
    drawn = time.perf_counter() - began
    session = panel.session
    demo.wait(lambda: session.subject is not None, "the strokes layer")
    ready = time.perf_counter() - began
    subject = session.subject
    demo.wait(lambda: ":" in panel.device_label.text(), "the device")
    for plane, painted in demo.draw_strokes(truth).items():
        where = np.nonzero(painted)
        subject.strokes.data_setitem((np.full(len(where[0]), plane), *where), painted[where])
    hand, half = Hand(viewer, subject.strokes), minutes * 30
    print("| ms between ticks | median | p95 | p99 | max | over 50 ms |\n|---|---|---|---|---|---|")
    during("idle", seconds(half))
    alone = [during("idle, painting", seconds(half), hand)]

    rates = Rates(session)
    panel.minutes_spin.setValue(60)
    panel.finetune_minutes_spin.setValue(minutes)
    panel.pretrain_button.click()
    rates.during("pre-training", seconds(half))
    busy = [rates.during("pre-training, painting", seconds(half), hand)]
    session.set_live("off")
    rates.during("pre-training, painting, no answers", seconds(half), hand)
    session.set_live("live")
    session.stop()
    demo.wait(lambda: session.encoder is not None, "the encoder")

    mover = QTimer()
    mover.timeout.connect(lambda: viewer.dims.set_current_step(0, (viewer.dims.current_step[0] + 1) % len(truth)))
    mover.start(3000)
    began = time.monotonic()
    panel.finetune_button.click()
    demo.wait(subject.prediction.data.any, "the first overlay")
    overlay = time.monotonic() - began
    during("fine-tuning", seconds(half))
    mover.stop()
    ended = lambda: session.doing == "predict" or not session.is_busy  # noqa: E731
    busy.append(during("fine-tuning, painting", ended, hand))
    during("predicting the stack", lambda: not session.is_busy)
    alone.append(during("idle, prediction in sight, painting", seconds(half), hand))
    print(
        f"\nFirst overlay {overlay:.1f} s after the click; panel drawn after {drawn:.2f} s, strokes layer there after"
        f" {ready:.2f} s. Painting against painting"
    )
    for name, found, base in zip(("pre-training", "fine-tuning"), busy, alone, strict=True):
        ratios = ", ".join(f"p{share} {now / then:.2f}" for share, now, then in zip(SHARES, found, base, strict=True))
        print(f"with nothing else, {name}: {ratios}")
    network = session.encoder.network
    viewer.close()
    return network, rates.found


def speed(network: str, rates: dict[str, float], image: np.ndarray, minutes: float) -> None:
    """Compare steps per second with the command line's."""
    with tempfile.TemporaryDirectory() as folder:
        stack, out = Path(folder) / "stack.tif", Path(folder) / "encoder.safetensors"
        tifffile.imwrite(stack, image)
        command = [sys.executable, "-m", "btunet", "pretrain", str(stack), "--out", str(out), "--minutes", str(minutes)]
        threads = {**os.environ, "OMP_NUM_THREADS": str(max(1, cores() - 1))}
        subprocess.run([*command, "--network", network], env=threads, check=True, capture_output=True)
        alone = btunet.Model.load(out).history[-1]
    line = alone["steps"] / alone["seconds"]
    for name, rate in rates.items():
        print(f"{name}, steps/s: {rate:.2f} in the window, {line:.2f} on the command line: {rate / line:.2f}")


def costs() -> None:
    """Print what the start costs on top of napari, and a new plane in a large prediction."""
    code = START + "print(time.perf_counter() - t)"
    times = [float(subprocess.check_output([sys.executable, "-c", code])) * 1e3 for _ in range(5)]
    print(f"import napari_btunet after napari: {statistics.median(times):.1f} ms")
    viewer = napari.Viewer()
    image = viewer.add_image(np.zeros(LARGE, "u1"))
    layer, times = add_labels(viewer, image, "prediction", "prediction", 2), []
    for plane in [*range(8), viewer.dims.current_step[0]] * 3:
        began = time.perf_counter()
        put_plane(viewer, layer, plane, np.full(LARGE[1:], plane % 3, "u1"))
        times.append((time.perf_counter() - began) * 1e3)
    print(
        f"one plane of {LARGE[1]} squared of {LARGE[0]}: median {statistics.median(times):.1f} ms, max {max(times):.1f}"
    )
    viewer.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", type=Path, nargs="*", metavar="STACK LABELS")
    parser.add_argument("--minutes", type=float, default=0.5)
    args = parser.parse_args()
    image, truth = (np.asarray(btunet.read(f).data) for f in args.files) if args.files else draw_nuclei()
    speed(*smoothness(image, truth, args.minutes), image, args.minutes)
    costs()


if __name__ == "__main__":
    main()
