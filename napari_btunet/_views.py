"""What the network learns to ignore: pairs of views to look at, and a tick to veto what makes a difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QRect, QSize, Qt, QTimer
from qtpy.QtGui import QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QCheckBox, QLabel, QSizePolicy, QWidget
from superqt import QCollapsible

import btunet

from . import _layers
from ._job import Job

if TYPE_CHECKING:
    from napari.layers import Image

Pairs = Mapping[btunet.ViewSettings, np.ndarray]
LINES, GAP = 3, 3  # height of a view in lines of text; pixels between two
SETTLE = 300  # milliseconds after the last change before views are asked for
EXPLAINED = "Upper and lower picture are the same to the network. Untick what makes a difference in your images."


class Peek:
    """Asks a background process what views look like; a newer question replaces an older one."""

    def __init__(self, elsewhere: Callable[..., btunet.Task[Any]]) -> None:
        self._elsewhere = elsewhere
        self._job: Job | None = None

    def ask(self, images: Sequence[Image], settings: btunet.PretrainSettings, show: Callable[[Pairs], None]) -> None:
        """Have the pairs of images made; ``show`` gets them. Images that cannot be used have none."""
        self.rest()
        try:
            stacks = [_layers.stack_of(image) for image in images]
        except ValueError:  # the panel says why, above
            return
        if not stacks:
            return
        job = self._job = Job(self._elsewhere("preview_views", stacks, settings), "preview")

        def on_ended(how: str, result: Any) -> None:
            if job is self._job:
                self._job = None
                if how == "done":
                    show(result)

        job.ended.connect(on_ended)
        job.start()

    def rest(self) -> None:
        """End the process, if there is one."""
        if self._job is not None:
            job, self._job = self._job, None
            job.abandon()


class ViewStrip(QWidget):
    """Draws pairs of views, one above the other: (N, 2, Y, X, 3) uint8."""

    def __init__(self) -> None:
        super().__init__()
        self._pairs = np.zeros((0, 2, 1, 1, 3), np.uint8)
        self.setObjectName("view_strip")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def value(self) -> np.ndarray:
        """Return the pairs that are shown."""
        return self._pairs

    def set_value(self, pairs: np.ndarray) -> None:
        """Show other pairs."""
        self._pairs = np.ascontiguousarray(pairs)
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Be two views high."""
        return QSize(0, 2 * LINES * self.fontMetrics().height() + GAP)

    def paintEvent(self, _: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Draw the pairs as large as there is room."""
        count = len(self._pairs)
        with QPainter(self) as painter:
            if not count:
                painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignCenter), "looking at the images …")
                return
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            side = min((self.height() - GAP) // 2, (self.width() - (count - 1) * GAP) // count)
            for column, pair in enumerate(self._pairs):
                for row, view in enumerate(pair):
                    height, width = view.shape[:2]
                    picture = QImage(view.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
                    painter.drawImage(QRect(column * (side + GAP), row * (side + GAP), side, side), picture)


class IgnoredViews(QCollapsible):
    """Edits what is ignored; opened, it shows what that means for the images."""

    wanted = Signal()  # pairs to show
    changed = Signal(btunet.ViewSettings)

    def __init__(self) -> None:
        super().__init__("What it learns to ignore")
        self.setObjectName("ignored_views")
        self._pairs: Pairs = {}
        self._subject: Image | None = None
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(SETTLE)
        self._settled.timeout.connect(self.wanted.emit)
        explained = QLabel(EXPLAINED)
        explained.setWordWrap(True)
        self.strip = ViewStrip()
        self.ticks = {f.name: _tick(f) for f in fields(btunet.ViewSettings)}
        for widget in (explained, self.strip, *self.ticks.values()):
            self.addWidget(widget)
        for tick in self.ticks.values():
            tick.toggled.connect(self._on_ticked)
        self.toggled.connect(self._on_opened)

    def value(self) -> btunet.ViewSettings:
        """Return what is ignored."""
        return btunet.ViewSettings(**{name: tick.isChecked() for name, tick in self.ticks.items()})

    def set_value(self, views: btunet.ViewSettings) -> None:
        """Ignore something else."""
        for name, tick in self.ticks.items():
            tick.setChecked(getattr(views, name))

    def set_subject(self, image: Image | None) -> None:
        """Show views of another image."""
        if image is not self._subject:
            self._subject = image
            self.renew()

    def renew(self, _: Any = None) -> None:
        """Forget the views: there are others now."""
        self.show_pairs({})
        self._ask()

    def show_pairs(self, pairs: Pairs) -> None:
        """Show the pairs of what is ignored now, given those of every choice."""
        self._pairs = pairs
        self.strip.set_value(pairs.get(self.value(), np.zeros((0, 2, 1, 1, 3), np.uint8)))

    def _ask(self) -> None:
        if self.isExpanded() and not self._pairs:
            self._settled.start()

    def _on_opened(self, _: bool) -> None:
        self._ask()

    def _on_ticked(self, _: bool) -> None:
        self.show_pairs(self._pairs)
        self.changed.emit(self.value())


def _tick(f: Any) -> QCheckBox:
    """Return the editor of one field: what is ignored, as its help text says."""
    tick = QCheckBox(f.metadata["help"][:1].upper() + f.metadata["help"][1:])
    tick.setObjectName(f"{f.name}_check")
    tick.setChecked(f.default)
    return tick
