"""What to do next, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtWidgets import QLabel

if TYPE_CHECKING:
    from ._session import Session

WHILE = {
    "finetune": "Paint on if you like: new strokes are learned too. T stops and keeps what there is.",
    "predict": "The whole stack is being predicted, the plane in sight first. Look around meanwhile.",
    "export": "The masks are being written, then read again and compared.",
    "trial": "Trainings with the encoder and without it are being compared; Stop ends that.",
}
BEGIN = "paint a few strokes on objects (Q) and on background (W)."
BOTH = "Objects (Q) and background (W) are both needed: paint a few strokes of each."
WHERE = "Press N: it takes you to where strokes tell the most. Paint what is there, of each class."
AGAIN = "Press T to learn the new strokes too, or N for one more place to paint."
ALONE = "Press T to fine-tune a network, N for one more place to paint, or export what the strokes say."
OUTDONE = "The strokes alone do better than the network so far: press N and paint more, or export."
USE = "Export, or correct bright planes of the strip not painted yet; then press T."


def next_step(session: Session) -> str:
    """Say what the user of a session may do next."""
    if session.subject is None and not session.is_beginning:
        return session.understood()
    if session.doing in WHILE:
        return WHILE[session.doing]
    if not any(subject.ledger.is_painted for subject in session.subjects.values()):
        return _begin(session)
    if session.model is not None and not session.model.is_instant:
        return AGAIN if session.is_behind else USE
    if any(each.alone is not None and each.alone.is_worse for each in session.history.rounds):
        return OUTDONE
    return ALONE if session.live.estimates or session.model else WHERE if session.live.answers else BOTH


def _begin(session: Session) -> str:
    """Say what to do where nothing is painted."""
    found = session.keeper.going_on.found
    if found is not None and not session.doing:
        return found.sentence()
    if session.doing == "pretrain":
        return f"While it learns, {BEGIN}"
    return f"P{BEGIN[1:]}" if session.encoder or session.model else f"Pre-train; meanwhile {BEGIN}"


class NextStep(QLabel):
    """Says it, in bold."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("next_label")
        self.setWordWrap(True)
        font = self.font()
        font.setBold(True)
        self.setFont(font)
        self.setMinimumHeight(2 * self.fontMetrics().height())  # what is below stays where it is
        self._session = session
        session.changed.connect(self._on_changed)
        session.painted.connect(self._on_changed)
        self._on_changed()

    def _on_changed(self, _: Any = None) -> None:
        if isalive(self):
            self.setText(next_step(self._session))
