"""How far the running job is, and the values that a training reports."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

import btunet

from ._curve import Curve
from ._parts import named, sentence


class ProgressRow(QWidget):
    """A bar, the button that stops, and a sentence; not to be seen while nothing runs, but its place is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = named(QProgressBar(), "progress_bar", "how far the work is")
        self.stop_button = named(QPushButton("Stop"), "stop_button", "stop, and keep what was learned")
        self.label = sentence("progress_label")
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.stop_button)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addLayout(row)
        rows.addWidget(self.label)
        policy = self.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.setSizePolicy(policy)

    def set_value(self, fraction: float, said: str) -> None:
        """Show a part that is done, 0..1, 0 while nobody knows, and say how it goes on."""
        self.bar.setRange(0, 1000 if fraction else 0)  # 0 to 0 is "busy"
        self.bar.setValue(round(1000 * fraction))
        self.label.setText(said)


class Losses(QWidget):
    """The loss of a training as a curve, and its latest values; hidden until there are some."""

    def __init__(self) -> None:
        super().__init__()
        self.curve = named(Curve(), "loss_curve", "the loss: what training makes smaller")
        self.label = sentence("health_label")
        self.steps: list[int] = []
        self._losses: list[float] = []
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addWidget(self.curve)
        rows.addWidget(self.label)
        self.setVisible(False)

    def clear(self) -> None:
        """Begin with another training."""
        self.steps, self._losses = [], []

    def take(self, news: Sequence[btunet.Progress]) -> None:
        """Take in what a training reports."""
        told = [progress for progress in news if progress.values]
        for progress in told:
            if not self.steps or progress.step != self.steps[-1]:
                self._losses.append(progress.values["loss"])
                self.steps.append(progress.step)
        if told:
            self.curve.set_value(self._losses, "loss")
            self.label.setText("  ".join(f"{name} {value:.3g}" for name, value in told[-1].values.items()))
            self.setVisible(True)
