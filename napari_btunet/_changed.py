"""What becomes of strokes on an image that has other values than when it was painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from ._session import Session


class ChangedImage(QWidget):
    """Asks, without standing in the way of painting; not to be seen while there is nothing to ask."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("changed_image")
        self._session = session
        self.sentence = QLabel()
        self.sentence.setObjectName("changed_label")
        self.sentence.setWordWrap(True)
        self.use_button = QPushButton("Use these strokes")
        self.use_button.setToolTip("they lie where they should; not asked again")
        self.aside_button = QPushButton("Keep them aside")
        self.aside_button.setToolTip("begin anew on this image; they stay in the project, for the image as it was")
        buttons = QHBoxLayout()
        for button in (self.use_button, self.aside_button):
            buttons.addWidget(button)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addWidget(self.sentence)
        rows.addLayout(buttons)
        self.use_button.clicked.connect(self._on_use)
        self.aside_button.clicked.connect(self._on_aside)
        session.changed.connect(self._on_changed)
        self._on_changed()

    def _on_changed(self) -> None:
        if isalive(self):
            keeper, image = self._session.keeper, self._session.image
            self.setVisible(image in keeper.changed and not keeper.is_read_only)
            name = image.name if image is not None else ""
            self.sentence.setText(f"{name} has other values than when it was painted.")

    def _on_use(self) -> None:
        if self._session.image is not None:
            self._session.keeper.accept(self._session.image)
            self._session.changed.emit()

    def _on_aside(self) -> None:
        if self._session.subject is not None:
            self._session.keeper.set_aside(self._session.subject)
            self._session.changed.emit()
