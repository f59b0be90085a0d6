"""What a new user does from an open image to exported masks, with mouse and keys: how many actions, how long, how good?

    xvfb-run -a -s "-screen 0 1400x900x24" .venv/bin/python benchmarks/session.py STACK MASKS OUT [--minutes 1]

STACK is opened in napari and the panel from its menu; everything after that is a click, a key or a stroke that is drawn
with the mouse inside what MASKS say (0 = background, all else = object). If both are folders, the images that have the
size of most (at most 30) are opened as a stack. OUT gets a picture of the window at each step. Prints seconds and
actions of every step, and Dice of the exported masks against MASKS. The files are not touched.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog
from skimage.morphology import erosion

import btunet
import mouse
from btunet.metrics import count
from napari_btunet import demo

MOST = 30  # planes of a stack that is made of files
REACH = 40  # pixels around a suggested place in which a stroke is drawn


class User:
    """Somebody at the window.

    Parameters
    ----------
    files
        One that is a stack, or planes of one size.
    truth
        (planes, Y, X), true on objects.
    out
        Folder for the pictures.
    """

    def __init__(self, files: list[Path], truth: np.ndarray, out: Path) -> None:
        self.truth, self.out, self.rng = truth, out, np.random.default_rng(0)
        self.actions = self.strokes = self.steps = 0
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1400, 900)
        self.viewer.open(files if len(files) > 1 else files[0], plugin="napari", stack=len(files) > 1)
        _, self.panel = self.viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
        self.session = self.panel.session
        self.canvas = self.viewer.window._qt_viewer.canvas.native
        self.began = self.last = time.monotonic()
        demo.wait(lambda: self.session.subject is not None, "the strokes layer")
        self.hand = mouse.Hand(self.viewer, self.session.subject.strokes)

    def did(self, what: str) -> None:
        """Note a step and take a picture."""
        now = time.monotonic()
        self.steps += 1
        self.viewer.screenshot(str(self.out / f"{self.steps:02}.png"), canvas_only=False, flash=False)
        print(f"| {self.steps} | {what} | {now - self.last:.1f} | {self.actions} + {self.strokes} |", flush=True)
        self.last = time.monotonic()

    def press(self, key: str) -> None:
        self.actions += 1
        self.viewer.layers.selection.active = self.session.subject.strokes
        QTest.keyClick(self.canvas, getattr(Qt.Key, f"Key_{key}"))

    def click(self, button: Any) -> None:
        self.actions += 1
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def draw(self, label: int, near: tuple[float, float] | None = None) -> None:
        """Draw a stroke of a class on the plane in sight, near a place if it shows that class."""
        plane = self.session.subject.plane(self.viewer)
        inside = erosion(self.truth[plane] == (label == 2), np.ones((3, 3)))
        inside[:20] = inside[-20:] = inside[:, :20] = inside[:, -20:] = False
        where = np.argwhere(inside)
        if near is not None and len(close := where[np.abs(where - near).max(1) < REACH]):
            where = close
        if not len(where):
            return
        y, x = where[self.rng.integers(len(where))]
        row = inside[y]
        stop = x
        while stop < x + 30 and row[stop]:
            stop += 1
        self.hand.trace(label, np.stack([np.full(4, y), np.linspace(x, stop - 1, 4)], 1))
        self.strokes += 1

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        demo.wait(lambda: bool(condition()), what)


def play(user: User, minutes: float, target: Path) -> None:
    """Do the shortest path."""
    session, panel = user.session, user.panel
    user.did("the image and the panel are open")
    panel.minutes_spin.setValue(minutes)
    panel.finetune_minutes_spin.setValue(minutes)
    user.click(panel.pretrain_button)
    user.did("Pre-train is clicked; painting is possible")
    for key, label in (("Q", 2), ("W", 1)):
        user.press(key)
        for _ in range(3):
            user.draw(label)
    user.did("Q and three strokes, W and three strokes")
    user.wait(lambda: session.subject.prediction is not None and session.subject.prediction.data.any(), "the overlay")
    user.did("the first overlay is there")
    for _ in range(3):
        user.wait(lambda: session.live.trail._best, "suggestions")
        user.press("N")
        QTest.qWait(300)
        middle = user.viewer.camera.center[-2:]
        for label in (2, 1):
            user.draw(label, middle)
        QTest.qWait(1500)
    user.did("three times N and two strokes")
    user.wait(lambda: session.encoder is not None, "pre-training")
    user.did("pre-training is done")
    user.press("T")
    user.wait(lambda: session.model is not None and not session.doing, "fine-tuning")
    user.did("T: fine-tuned, and the whole stack predicted")
    user.press("U")
    QTest.qWait(500)
    user.did("U: where it is unsure")
    QFileDialog.getSaveFileName = lambda *_, **__: (str(target), "TIFF (*.tif)")  # what is suggested, and return
    user.click(panel.export_button)
    user.wait(lambda: session.exported, "the export")
    user.did("exported and checked")


def read(path: Path) -> np.ndarray:
    return np.asarray(btunet.read(path).data) > 0


def planes_in(images: Path, masks: Path) -> tuple[list[Path], np.ndarray]:
    """Return files of planes of one size, that of most, and where their objects are."""
    pairs = [(image, read(masks / image.name)) for image in sorted(images.glob("*.png"))]
    size, _ = Counter(mask.shape for _, mask in pairs).most_common(1)[0]
    chosen = [(image, mask) for image, mask in pairs if mask.shape == size][:MOST]
    return [image for image, _ in chosen], np.stack([mask for _, mask in chosen])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stack", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    files, truth = planes_in(args.stack, args.masks) if args.stack.is_dir() else ([args.stack], read(args.masks))
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(shutil.copy(file, folder)) for file in files]  # the project is made beside it
        print("| step | what | seconds | actions + strokes so far |\n|---|---|---|---|")
        user = User(copies, truth, args.out)
        play(user, args.minutes, Path(folder) / "masks.tif")
        made = np.asarray(btunet.read(Path(folder) / "masks.tif").data)
        dice = count(made.astype(np.uint8), truth.astype(np.uint8), 2)[1].scores["dice"]
        seconds = time.monotonic() - user.began
        print(f"\n{seconds:.0f} s, {user.actions} actions and {user.strokes} strokes: Dice {dice:.3f}")
        user.viewer.close()


if __name__ == "__main__":
    main()
