"""Import what napari needs for its first labels layer, most of a second, without holding the window up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from threading import Thread

from qtpy.QtCore import QTimer

NEEDED = ("pandas", "skimage.color.colorconv")
DRAWN = 100  # milliseconds after which a window is drawn
LOOK = 20  # milliseconds between two looks at whether it is done


def soon(act: Callable[[], None]) -> None:
    """Draw the window first, import what is needed in a thread, then act, in this one."""
    QTimer.singleShot(DRAWN, partial(_prepare, act))


def _prepare(act: Callable[[], None]) -> None:
    thread = Thread(target=lambda: [import_module(name) for name in NEEDED], daemon=True)
    thread.start()
    _follow(thread, act)


def _follow(thread: Thread, act: Callable[[], None]) -> None:
    """Act after the thread, even if it failed: then napari says what is missing."""
    if thread.is_alive():
        QTimer.singleShot(LOOK, partial(_follow, thread, act))
    else:
        act()
