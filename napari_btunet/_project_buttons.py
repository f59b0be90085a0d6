"""Open a project, and keep it where the user likes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

import btunet

if TYPE_CHECKING:
    from ._session import Session

READER = "napari-btunet"  # what napari calls the plugin


class ProjectButtons(QWidget):
    """Two buttons that ask for a folder."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.open_button = QPushButton("Open project…")
        self.open_button.setObjectName("open_project_button")
        self.open_button.setToolTip("the images of a project with all that was done on them; a folder .btunet")
        self.keep_button = QPushButton("Keep in another folder…")
        self.keep_button.setObjectName("keep_elsewhere_button")
        self.keep_button.setToolTip("keep strokes and models there from now on; what there is, is copied")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for button in (self.open_button, self.keep_button):
            row.addWidget(button)
        self.open_button.clicked.connect(self._on_open)
        self.keep_button.clicked.connect(self._on_keep)

    def _on_open(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a project (.btunet)")
        if folder:
            self.open(Path(folder))

    def _on_keep(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Keep the project in")
        if folder:
            self.keep_in(Path(folder))

    def open(self, folder: Path) -> None:
        """Open the images of a project, unless the window works on another one."""
        session, here = self._session, self._session.keeper.project
        if here is not None and here.folder != folder:
            session.said.emit(f"This window works on {here.folder.name}; open {folder.name} in another one.", True)
            return
        try:
            session.viewer.open(str(folder), plugin=READER)
        except (btunet.BtunetError, ValueError) as error:  # the latter is napari's, where the folder is no project
            session.said.emit(str(error), True)

    def keep_in(self, folder: Path) -> None:
        """Keep the project in another folder, unless work is going on in it."""
        session, keeper = self._session, self._session.keeper
        if session.is_busy or keeper.is_read_only:
            why = "another window has the project" if keeper.is_read_only else "wait until the work is done, or stop it"
            session.said.emit(f"Not now: {why}.", True)
            return
        try:
            keeper.keep_in(folder)
        except btunet.BtunetError as error:
            session.said.emit(str(error), True)
        else:
            where = keeper.project.folder if keeper.project else folder
            session.said.emit(f"Strokes and models are kept in {where} from now on.", False)
            session.changed.emit()
