"""Hours of use in a real window: what grows? Paint, answer, train, stop, change planes, export, remove layers, again.

    xvfb-run -a -s "-screen 0 1400x900x24" .venv/bin/python benchmarks/soak.py OUT.csv [--minutes 120]

One row per turn of half a minute or so: memory of the window's process, threads, widgets, open files, processes it
started, files in /dev/shm (of all programs), the megabytes of the models' weights, which are kept on purpose, and what
the C library has given to the program (`used`) and keeps for later (`free`). Prints the slope of the other memory after
the first fifth, with its standard error, and that of what is used; with --minutes 0 of the rows that are there.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import gc
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
import psutil
import tifffile
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

import mouse
from napari_btunet import demo
from napari_btunet._sample import draw_nuclei

COLUMNS = (
    *("minute", "megabytes", "threads", "widgets", "files", "processes", "shared", "layers", "models", "weights"),
    *("used", "free"),  # by glibc's malloc, megabytes
)


class User:
    """Does the same things again and again, in another order each time.

    Parameters
    ----------
    folder
        For the image and what is exported.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.image = folder, folder / "nuclei.tif"
        tifffile.imwrite(self.image, draw_nuclei()[0], photometric="minisblack", metadata={"axes": "ZYX"})
        self.viewer = napari.Viewer()
        self.viewer.add_points([[0, 1, 1]])  # napari 0.9.2 crashes if its last layer is removed and one paints again
        self.viewer.open(self.image, plugin="napari")
        _, self.panel = self.viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
        self.session = self.panel.session
        self.session.begin()
        for label in (1, 2):  # something of each class, whatever is painted next
            self.session.subject.strokes.paint((3, 40 * label, 40), label)
        self.rng = np.random.default_rng(0)
        for form in (self.panel.pretrain_form, self.panel.finetune_form):
            form.container.patch_size.value = 32
            form.container.batch.value = 4
        self.panel.minutes_spin.setValue(0.1)
        self.panel.finetune_minutes_spin.setValue(0.1)

    def turn(self, number: int) -> None:
        """Use everything once."""
        self.paint(5)
        if number % 5 == 0:
            self.panel.pretrain_button.click()
            self.paint(2)
            demo.wait(lambda: not self.session.doing, "pre-training")
        self.panel.finetune_button.click()
        self.look(3)
        if number % 3 == 0:
            self.session.stop()
        demo.wait(lambda: not self.session.doing, "fine-tuning")
        if self.session.model is not None and self.session.subject is not None:
            self.session.export(self.folder / "masks.tif")
            demo.wait(lambda: not self.session.doing, "the export")
        self.session.tour.next_spot()
        self.look(1)
        self.remove(number)

    def paint(self, seconds: float) -> None:
        """Paint with the mouse; answers come meanwhile."""
        hand = mouse.Hand(self.viewer, self.session.subject.strokes, seed=int(self.rng.integers(2**31)))
        hand.start()
        QTest.qWait(int(seconds * 1000))
        hand.stop()
        self.session.subject.strokes.undo()

    def look(self, seconds: float) -> None:
        """Change planes."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.viewer.dims.set_current_step(0, int(self.rng.integers(self.viewer.dims.nsteps[0])))
            QTest.qWait(200)

    def remove(self, number: int) -> None:
        """Remove a layer, and open the image again if it was that one."""
        subject = self.session.subject
        layer: Any = (subject.prediction, subject.strokes, subject.image)[number % 3]
        if layer is not None:
            self.viewer.layers.remove(layer)
        if number % 3 == 2:
            for other in list(self.viewer.layers)[1:]:
                self.viewer.layers.remove(other)
            self.viewer.open(self.image, plugin="napari")
        if self.session.subject is None:
            self.session.choose(self.session.images[-1])
        QTest.qWait(500)

    def row(self, began: float) -> list[float]:
        """Return what there is now."""
        gc.collect()
        process = psutil.Process()
        shared = Path("/dev/shm")
        return [
            round((time.monotonic() - began) / 60, 2),
            round(process.memory_info().rss / 2**20, 1),
            threading.active_count(),
            len(QApplication.allWidgets()),
            process.num_fds(),
            len(process.children(recursive=True)),
            len(list(shared.iterdir())) if shared.exists() else 0,
            len(self.viewer.layers),
            len(self.session.history.rounds),
            round(sum(r.model.bytes_in_memory for r in self.session.history.rounds) / 2**20, 1),
            *heap(),
        ]


class _Heap(ctypes.Structure):
    """Of glibc, mallinfo2: what is known of all heaps."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("a", "b", "c", "d", "mapped", "e", "f", "used", "free", "g")]


def heap() -> tuple[float, float]:
    """Return the megabytes that malloc has given out, and those that it keeps."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Heap
    found = ask()
    return round((found.used + found.mapped) / 2**20, 1), round(found.free / 2**20, 1)


def slope(rows: list[list[float]], column: str) -> tuple[float, float]:
    """Return megabytes per hour after the first fifth, without those of models, and the standard error.

    Which layer was removed last makes a difference, so every third turn has a level of its own.
    """
    later = np.array(rows[len(rows) // 5 :])
    megabytes = later[:, COLUMNS.index(column)] - later[:, COLUMNS.index("weights")]
    about = np.column_stack([later[:, 0] / 60, np.eye(3)[np.arange(len(later)) % 3]])
    found, _, rank, _ = np.linalg.lstsq(about, megabytes)
    spread = ((megabytes - about @ found) ** 2).sum() / max(1, len(later) - rank)
    return float(found[0]), float(np.sqrt(spread * np.linalg.pinv(about.T @ about)[0, 0]))


def report(rows: list[list[float]]) -> None:
    first, last = rows[len(rows) // 5], rows[-1]
    slopes = ", ".join("{} {:+.1f} ± {:.1f}".format(name, *slope(rows, name)) for name in ("megabytes", "used"))
    print(f"{len(rows)} turns in {last[0]:.0f} minutes, MB per hour: {slopes}")
    changes = ", ".join(f"{name} {a:g} → {b:g}" for name, a, b in zip(COLUMNS[1:], first[1:], last[1:], strict=True))
    print(f"from turn {len(rows) // 5} to the last: {changes}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=120)
    args = parser.parse_args()
    if not args.minutes:
        lines = list(csv.reader(args.out.open()))
        report([[float(cell) for cell in line] for line in lines[1:]])
        return
    began, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder, args.out.open("w", newline="") as file:
        os.environ["BTUNET_PROJECTS"] = folder
        table = csv.writer(file)
        table.writerow(COLUMNS)
        user = User(Path(folder))
        while time.monotonic() - began < args.minutes * 60:
            user.turn(len(rows))
            rows.append(user.row(began))
            table.writerow(rows[-1])
            file.flush()
        user.viewer.close()
    QTest.qWait(2000)
    left = [child.name() for child in psutil.Process().children(recursive=True)]
    print(f"processes left after closing: {left or 'none'}")
    report(rows)


if __name__ == "__main__":
    main()
