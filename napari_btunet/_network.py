"""The choice of a network: its names, what each is good for, and weights learned elsewhere."""

from __future__ import annotations

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QComboBox, QFileDialog, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

import btunet
from btunet.settings import NETWORKS, ZOO

WEIGHTS = "Weights of an encoder (*.safetensors *.pth *.pt *.bin)"


class NetworkChoice(QWidget):
    """A list of networks; below it, what the chosen one is good for."""

    changed = Signal(str)
    weights_wanted = Signal(str)  # a file, or "imagenet"

    def __init__(self) -> None:
        super().__init__()
        self.combo = QComboBox()
        self.combo.setObjectName("network_combo")
        self.combo.setToolTip("the network to train")
        self.sentence = QLabel()
        self.sentence.setObjectName("network_label")
        self.sentence.setWordWrap(True)
        self.weights_button = QPushButton("Start from ImageNet…")
        self.weights_button.setObjectName("weights_button")
        self.weights_button.setToolTip("an encoder that learned on photographs, to train further on your images")
        menu = QMenu(self.weights_button)
        menu.addAction("Download the weights once, from the internet", lambda: self.weights_wanted.emit("imagenet"))
        menu.addAction("Open a file of weights…", self._on_file)
        self.weights_button.setMenu(menu)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        for widget in (self.combo, self.sentence, self.weights_button):
            rows.addWidget(widget)
        self._fill()
        self.combo.currentIndexChanged.connect(self._on_chosen)
        self._on_chosen()

    def value(self) -> str:
        """Return the name of the chosen network."""
        return str(self.combo.currentData())

    def set_value(self, name: str) -> None:
        """Choose a network; one that is not in the list is added to it."""
        if self.combo.findData(name) < 0:
            self.combo.addItem(name, name)
        self.combo.setCurrentIndex(self.combo.findData(name))

    def _fill(self) -> None:
        for name, good_for in NETWORKS.items():
            self._add(name, name, good_for)
        available, reason = btunet.zoo_available()
        if available:
            for encoder, good_for in btunet.ZOO_ENCODERS.items():
                self._add(f"{ZOO}{encoder}", f"{ZOO}{encoder}", good_for)
        else:
            self._add(f"{ZOO}… (not installed)", "", reason)
            items = self.combo.model()
            last = items.item(self.combo.count() - 1) if isinstance(items, QStandardItemModel) else None
            if last is not None:
                last.setEnabled(False)

    def _add(self, shown: str, name: str, sentence: str) -> None:
        self.combo.addItem(shown, name)
        self.combo.setItemData(self.combo.count() - 1, sentence, Qt.ItemDataRole.ToolTipRole)

    def _on_chosen(self) -> None:
        sentence = self.combo.currentData(Qt.ItemDataRole.ToolTipRole) or ""
        self.sentence.setText(sentence[:1].upper() + sentence[1:])
        self.weights_button.setVisible(self.value().startswith(ZOO))
        self.changed.emit(self.value())

    def _on_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open weights", "", WEIGHTS)
        if path:
            self.weights_wanted.emit(path)
