"""Small widgets that the panel is made of."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QScrollArea, QWidget

from btunet.settings import Settings


class Scroll(QScrollArea):
    """Scrolls up and down only: it is always as wide as what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QScrollArea.Shape.NoFrame)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Leave room for the column and the scroll bar beside it."""
        hint, column, bar = super().minimumSizeHint(), self.widget(), self.verticalScrollBar()
        if column is None or bar is None:
            return hint
        return QSize(column.minimumSizeHint().width() + bar.sizeHint().width(), hint.height())


def named(widget: Any, name: str, tooltip: str) -> Any:
    widget.setObjectName(name)
    widget.setToolTip(tooltip)
    return widget


def sentence(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def heading(text: str) -> QLabel:
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def minutes(kind: type[Settings], name: str) -> QDoubleSpinBox:
    """Return the editor of a settings class's ``minutes``."""
    field = kind.__dataclass_fields__["minutes"]
    spin = named(QDoubleSpinBox(), name, field.metadata["help"])
    spin.setDecimals(2)
    spin.setRange(0.05, field.metadata["max"])
    spin.setSingleStep(1)
    spin.setSuffix(" min")
    spin.setValue(field.default)
    return spin


def beside(*widgets: QWidget) -> QHBoxLayout:
    """Return widgets in a row."""
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
