"""The models so far as a list of cards: pointed at, one shows where it differs; a click uses it."""

from __future__ import annotations

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import QEvent, QSize, QTimer
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from ._history import Card
from ._thumbnail import pixmap_of

SHOWN = 2  # cards that are in sight at once
SETTLE = 150  # milliseconds that the mouse rests on a card before it is meant
EXPLAINED = "share of held-out strokes that it gets right, with an interval\nclick: use it, and fine-tune it further"


class Cards(QListWidget):
    """Shows cards, the present one selected."""

    chosen = Signal(int)  # row
    pointed = Signal(int)  # row under the mouse; -1 when it left

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("history_list")
        self.setToolTip("the models so far; click one to use it (R: the one before, D: where that differs)")
        self.setMouseTracking(True)
        line = self.fontMetrics().height()
        self._side = 2 * line
        self.setIconSize(QSize(self._side, self._side))
        self._cards: list[Card] = []
        self._row = -1
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(SETTLE)
        self._settled.timeout.connect(self._on_settled)
        self.itemEntered.connect(self._on_entered)
        self.itemClicked.connect(self._on_clicked)

    def value(self) -> list[Card]:
        """Return the cards."""
        return list(self._cards)

    def set_value(self, cards: Sequence[Card], at: int) -> None:
        """Show other cards; the one in a row is the present one."""
        if self._cards != list(cards):
            self._cards = list(cards)
            self.clear()
            for card in cards:
                item = QListWidgetItem(f"{card.title}\n{card.details}")
                item.setToolTip(f"{card.title}\n{card.details}\n{EXPLAINED}")
                item.setSizeHint(QSize(0, self._side + 6))
                if card.picture:
                    item.setIcon(_icon(pixmap_of(card.picture).scaledToHeight(self._side)))
                self.addItem(item)
            self.setFixedHeight(min(len(cards), SHOWN) * (self._side + 6) + 4)
        self.setVisible(bool(cards))
        self.setCurrentRow(at)

    def viewportEvent(self, event: QEvent | None) -> bool:  # noqa: N802 (Qt's name)
        """Hear when the mouse leaves."""
        if event is not None and event.type() in (QEvent.Type.Leave, QEvent.Type.Hide):
            self._point_at(-1)
        return super().viewportEvent(event)

    def _on_entered(self, item: QListWidgetItem) -> None:
        self._point_at(self.row(item))

    def _point_at(self, row: int) -> None:
        """Wait until the mouse rests before a card is shown, but not before one disappears."""
        self._row = row
        self._settled.start()
        if row < 0:
            self._settled.stop()
            self.pointed.emit(row)

    def _on_settled(self) -> None:
        self.pointed.emit(self._row)

    def _on_clicked(self, item: QListWidgetItem) -> None:
        self.chosen.emit(self.row(item))


def _icon(picture: QPixmap) -> QIcon:
    """Return an icon that looks the same on the card that is selected."""
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)
    return icon
