"""Did pre-training help? A button that asks, and one that writes the answer with every stroke and a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtWidgets import QFileDialog, QPushButton, QVBoxLayout, QWidget

import btunet

if TYPE_CHECKING:
    from ._session import Session


class TrialButtons(QWidget):
    """The two buttons.

    Parameters
    ----------
    session
        Whose encoder and strokes are meant.
    settings
        Returns those of fine-tuning as they stand in the panel.
    """

    def __init__(self, session: Session, settings: Callable[[], btunet.FinetuneSettings]) -> None:
        super().__init__()
        self._session, self._settings = session, settings
        self.ask_button = QPushButton("Did pre-training help?")
        self.ask_button.setObjectName("trial_button")
        self.ask_button.setToolTip("train with the encoder and without it; strokes held out tell which is better")
        self.save_button = QPushButton("Save the answer…")
        self.save_button.setObjectName("save_trial_button")
        self.save_button.setToolTip("write every stroke (JSON) and a picture (SVG) into a folder")
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        for button, clicked in ((self.ask_button, self._on_ask), (self.save_button, self._on_save)):
            button.clicked.connect(clicked)
            rows.addWidget(button)
        session.changed.connect(self._on_changed)
        self._on_changed()

    def _on_changed(self) -> None:
        if not isalive(self):
            return
        session = self._session
        self.ask_button.setEnabled(not session.doing and session.encoder is not None and session.subject is not None)
        self.save_button.setEnabled(session.verdict is not None)

    def _on_ask(self) -> None:
        if self._session.encoder is None:
            return
        like = self._settings()
        settings = btunet.TrialSettings(
            recipe=like.recipe, seed=like.seed, batch=like.batch, patch_size=like.patch_size
        )
        settings = replace(settings, steps=like.steps or settings.steps)
        self._session.try_out(self._session.encoder, settings)

    def _on_save(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Save the answer in")
        if folder and self._session.verdict is not None:
            try:
                *_, picture = self._session.verdict.save(Path(folder))
            except btunet.BtunetError as error:
                self._session.said.emit(str(error), True)
            else:
                self._session.said.emit(f"Saved: {picture}.", False)
