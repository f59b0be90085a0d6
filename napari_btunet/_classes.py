"""The list of classes: names, colours, and which one the brush paints."""

from __future__ import annotations

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from ._layers import BACKGROUND, colour_of

MOST = 6  # rows in sight


class ClassList(QListWidget):
    """Shows one row per class; a click chooses it, a double click renames it."""

    chosen = Signal(int)  # label
    renamed = Signal(int, str)  # label, new name

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("class_list")
        self.itemClicked.connect(self._on_clicked)
        self.itemChanged.connect(self._on_changed)

    def value(self) -> list[str]:
        """Return the names, background first."""
        items = [self.item(row) for row in range(self.count())]
        return [item.text() for item in items if item is not None]

    def set_value(self, names: Sequence[str], label: int) -> None:
        """Show these classes, and which label is painted."""
        was = self.blockSignals(True)
        if self.value() != list(names):
            self.clear()
            for row, name in enumerate(names):
                self.addItem(self._item(row + BACKGROUND, name))
            self.setFixedHeight(min(len(names), MOST) * self.sizeHintForRow(0) + 2 * self.frameWidth())
        self.setCurrentRow(label - BACKGROUND)
        self.blockSignals(was)

    def _item(self, label: int, name: str) -> QListWidgetItem:
        swatch = QPixmap(self.iconSize() if self.iconSize().isValid() else QSize(12, 12))
        swatch.fill(QColor(colour_of(label)))
        item = QListWidgetItem(QIcon(swatch), name)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
        key = "W" if label == BACKGROUND else "Q"
        item.setToolTip(f"Label {label}. {key} chooses it on the strokes layer; double-click to rename.")
        return item

    def _on_clicked(self, item: QListWidgetItem) -> None:
        self.chosen.emit(self.row(item) + BACKGROUND)

    def _on_changed(self, item: QListWidgetItem) -> None:
        self.renamed.emit(self.row(item) + BACKGROUND, item.text())
