"""How soon strokes are answered in the window: from the end of a stroke, painted with mouse events, to the overlay.

    xvfb-run -a -s "-screen 0 1400x900x24" python benchmarks/answers.py [--sides 512 1024 2048] [--strokes 12]
        [--pretrain]

Prints, for images of several sizes, seconds until the first part around the stroke is on the screen and until the whole
plane is: for the first answer (with the second stroke, when there are two classes), then median and 95th percentile of
the further strokes.
"""

from __future__ import annotations

import argparse
import time

import napari
import numpy as np
from qtpy.QtTest import QTest

from mouse import Hand
from napari_btunet import demo

PATIENCE = 60.0  # seconds
SOON = 2000  # ms from the click on Pre-train to the first stroke
BREATH = 3000  # ms between two strokes, as a person takes to look


def waves(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with noise on waves, uint8, and where they are high."""
    rng, at = np.random.default_rng(0), np.arange(side)
    high = np.sin(at[:, None] / 23) * np.sin(at / 31) > 0.2
    return (high * 60 + 100 + rng.normal(0, 20, high.shape)).clip(0, 255).astype(np.uint8), high


def line_in(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a short line of pixels (n, 2) that begins in a region."""
    y, x = np.argwhere(where[30:-30, 30:-30])[rng.integers(np.count_nonzero(where[30:-30, 30:-30]))] + 30
    return np.stack([np.full(5, y), np.arange(x - 6, x + 9, 3)], 1)


def measure(side: int, strokes: int, pretrains: bool) -> list[tuple[float, float]]:
    """Return seconds to the first part and to the whole plane, after every stroke but the first."""
    image, high = waves(side)
    viewer = napari.Viewer()
    viewer.add_image(image, name="waves")
    _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    session = panel.session
    demo.wait(lambda: ":" in panel.device_label.text(), "the device")
    QTest.qWait(BREATH)  # a process gets ready meanwhile
    if pretrains:
        panel.pretrain_button.click()
        QTest.qWait(SOON)
    hand, rng, found = Hand(viewer, session.subject.strokes), np.random.default_rng(0), []
    for number in range(strokes):
        if session.subject.prediction is not None:
            session.subject.prediction.data[:] = 0
        label = number % 2 + 1
        hand.trace(label, line_in(high if label == 2 else ~high, rng))
        ended, first = time.perf_counter(), 0.0
        while number and time.perf_counter() - ended < PATIENCE:
            QTest.qWait(5)
            prediction = session.subject.prediction
            if prediction is None or not prediction.data.any():
                continue
            first = first or time.perf_counter() - ended
            if prediction.data.all():
                found.append((first, time.perf_counter() - ended))
                break
        QTest.qWait(BREATH)
    viewer.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--strokes", type=int, default=12)
    parser.add_argument("--pretrain", action="store_true", help="click on Pre-train just before the first stroke")
    args = parser.parse_args()
    print(
        "| side | first answer: first part | whole | further strokes, first part: median | p95 | whole: median | p95 |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    for side in args.sides:
        (part, whole), *further = measure(side, args.strokes, args.pretrain)
        columns = [np.percentile(times, (50, 95)) for times in zip(*further, strict=True)]
        cells = [part, whole, *columns[0], *columns[1]]
        print(f"| {side}² | {' | '.join(f'{cell:.2f} s' for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
