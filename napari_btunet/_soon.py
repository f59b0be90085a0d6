"""Import what napari needs for its first labels layer, most of a second, without holding the window up."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from qtpy.QtCore import QTimer

NEEDED = ("pandas", "skimage.color.colorconv")
DRAWN = 100  # milliseconds after which a window is drawn


def soon(act: Callable[[], None]) -> None:
    """Draw the window first, import what is needed in a thread, then act, in this one."""
    QTimer.singleShot(DRAWN, lambda: _prepare(act))


def _prepare(act: Callable[[], None]) -> None:
    from napari.qt.threading import create_worker

    worker = create_worker(_import, _start_thread=False)
    worker.returned.connect(lambda _: act())
    worker.start()


def _import() -> None:
    for name in NEEDED:
        import_module(name)
