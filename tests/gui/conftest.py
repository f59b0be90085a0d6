"""A real window with the panel in it; everything is ended at the end of each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication
from superqt.utils import WorkerBase

from napari_btunet._panel import Panel
from napari_btunet._session import Session, session_of

STEPS = 12


def discs(planes: int = 3, side: int = 96, seed: int = 0) -> np.ndarray:
    """Bright discs on noise: (planes, side, side) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    light = sum(((y - a) ** 2 + (x - b) ** 2 < 120).astype(float) for a, b in rng.uniform(10, side - 10, (6, 2)))
    noisy = np.clip(light, 0, 1) * 120 + rng.normal(60, 15, (planes, side, side))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def no_worker_outlives_its_test() -> Iterator[None]:
    yield
    WorkerBase.await_workers(10_000)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where projects without an image file are kept, so that no test finds that of another."""
    place = tmp_path_factory.mktemp("home") / "projects"
    monkeypatch.setenv("BTUNET_PROJECTS", str(place))
    return place


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the process that looks for a device, which one test of its own covers."""
    monkeypatch.setattr(Session, "_ask_for_device", lambda self: None)


class Window:
    """A viewer with the panel open, and what a user can do to it."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.errors: list[str] = []
        _, self.panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
        self.session: Session = session_of(viewer)
        self.session.begin()  # what a user waits for takes half a second
        self.session.said.connect(self._note)
        self.session.live.mode = "off"  # tests of answers to strokes turn it on
        self.hurry()

    def _note(self, sentence: str, is_error: bool) -> None:
        if is_error:
            self.errors.append(sentence)

    def hurry(self, steps: int = STEPS) -> None:
        """Choose settings that end soon."""
        for form, batch in ((self.panel.pretrain_form, 8), (self.panel.finetune_form, 2)):
            form.container.steps.value, form.container.patch_size.value = steps, 32
            form.container.batch.value = batch

    @property
    def strokes(self) -> Any:
        return self.session.subject.strokes

    @property
    def prediction(self) -> Any:
        return self.session.subject.prediction

    def wait(self, condition: Callable[[], Any], seconds: float = 240) -> None:  # a busy machine, two tests at once
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=int(seconds * 1000))

    def click(self, name: str) -> None:
        button = getattr(self.panel, name)
        assert button.isEnabled(), f"{name} is greyed out"
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def annotate(self, plane: int = 0) -> None:
        """Paint one stroke of background and one of object as napari's own brush does."""
        leading = np.unravel_index(plane, self.strokes.data.shape[:-2])
        self.strokes.brush_size = 4
        for label, y in ((1, 8), (2, 40)):
            for x in range(8, 60, 3):
                self.strokes.paint((*leading, y, x), label)

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        """Drag the mouse over the canvas between two (y, x) points of the world."""
        canvas = self.viewer.window._qt_viewer.canvas.native
        camera = getattr(self.viewer, "scene", self.viewer).camera  # moved in napari 0.9
        middle = np.array([canvas.height() / 2, canvas.width() / 2])
        path = [
            middle + (np.add(start, np.multiply(t, np.subtract(stop, start))) - camera.center[-2:]) * camera.zoom
            for t in np.linspace(0, 1, 8)
        ]
        none, left = Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton
        kinds = [(QEvent.Type.MouseMove, none, none), (QEvent.Type.MouseButtonPress, left, left)]
        kinds += [(QEvent.Type.MouseMove, none, left)] * (len(path) - 1)
        kinds += [(QEvent.Type.MouseButtonRelease, left, none)]
        for (y, x), (kind, button, buttons) in zip([path[0], *path, path[-1]], kinds, strict=True):
            at = QPointF(x, y)
            place = QPointF(canvas.mapToGlobal(QPoint(round(x), round(y))))
            QApplication.sendEvent(
                canvas, QMouseEvent(kind, at, place, button, buttons, Qt.KeyboardModifier.NoModifier)
            )
            self.qtbot.wait(20)


@pytest.fixture
def window(make_napari_viewer: Any, qtbot: Any, quiet: None) -> Iterator[Callable[..., Window]]:
    """Return a function that opens a window with an image in it and the panel beside it."""
    made: list[Window] = []

    def open_window(data: Any = None, show: bool = False, **options: Any) -> Window:
        viewer = make_napari_viewer(show=show)
        if data is not None:
            viewer.add_image(data, **{"name": "cells", **options})
        made.append(Window(viewer, qtbot))
        if show:  # the docks squeeze the canvas only after a while
            qtbot.waitExposed(viewer.window._qt_window)
            qtbot.wait(300)
            viewer.reset_view()
        return made[-1]

    yield open_window
    for each in made:
        each.session.shutdown()
    qtbot.waitUntil(lambda: all(each.session.job is None for each in made), timeout=20_000)
    made.clear()


def children() -> set[int]:
    """Return the process ids of the engine's living processes that this one started."""
    found = set()
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            if process.status() != psutil.STATUS_ZOMBIE and "btunet.process" in process.cmdline():
                found.add(process.pid)
    return found


def panel_of(viewer: Any) -> Panel:
    """Return the panel that is docked now."""
    docked = [w for name, w in viewer.window.dock_widgets.items() if name.startswith("BT-UNet")]
    assert len(docked) == 1
    return docked[0]


__all__ = ["Path", "Window", "children", "discs", "panel_of"]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return the file of a stack."""
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, discs(), photometric="minisblack", metadata={"axes": "ZYX"})
    return path


@pytest.fixture
def open_file(window: Callable[..., Window]) -> Callable[[Path], Window]:
    """Return a function that opens a file in a window of its own, as a user does."""

    def open_it(path: Path) -> Window:
        opened = window()
        opened.viewer.open(path, plugin="napari")
        return opened

    return open_it
