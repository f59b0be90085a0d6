"""What more strokes would bring: one line, and the scores so far as a curve."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from btunet.budget import Forecast, forecast

from ._curve import Curve

if TYPE_CHECKING:
    from ._effort import Effort
    from ._history import Round
    from ._live import Live

EXPLAINED = "what so many more strokes would bring, with an interval of 90 %; the curve is under More"
Points = dict[int, float]  # strokes → score


@dataclass
class Budget:
    """Scores against strokes: of the answers while there is no model, of the models from then on.

    The two are not of one kind, Dice and the share of right strokes, so they are never mixed.
    """

    answers: Points = field(default_factory=dict)
    _estimates: Any = None  # those that were noted last

    def note(self, live: Live, effort: Effort) -> None:
        """Take in a new score of the answers."""
        if live.estimates and live.estimates is not self._estimates:
            self._estimates = live.estimates
            self.answers[effort.strokes] = fmean(e.dice for e in live.estimates.values())

    def points(self, rounds: list[Round]) -> Points:
        """Return the scores that matter now."""
        return of_rounds(rounds) if rounds else dict(sorted(self.answers.items()))


def of_rounds(rounds: list[Round]) -> Points:
    """Return the scores of models by the strokes that had been painted when their training began."""
    found: Points = {}
    for each in rounds:
        record = each.model.history[-1] if each.model.history else {}
        spent = record.get("effort")
        if each.score is not None and isinstance(spent, dict) and isinstance(spent.get("strokes"), int):
            found[spent["strokes"]] = each.score.share
    return dict(sorted(found.items()))


def asked(points: Points) -> Forecast | str:
    """Return what half as many strokes again would bring."""
    return forecast(list(points), list(points.values()), max(1, round(max(points, default=0) / 2)))


def sentence(effort: Effort, said: Forecast | str) -> str:
    """Say what was painted, and whether to go on."""
    if not effort.strokes:
        return ""
    if isinstance(said, str):
        return f"{effort.describe()} of painting"
    if said.may_stop:
        return f"{effort.describe()}. You can stop: {said.more:.0f} more bring less than {max(said.most, 0.01):.2f}"
    return f"{effort.describe()}. {said.more:.0f} more: +{said.gain:.2f} ({said.low:.2f} to {said.high:.2f})"


class BudgetLine(QLabel):
    """The line; hidden until something is painted.

    Parameters
    ----------
    session
        Whose effort and scores are meant.
    """

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.setObjectName("budget_label")
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._session = session
        self._points: Points | None = None  # those that are shown
        self._said: Forecast | str = ""
        self.curve = BudgetCurve()
        session.changed.connect(self._on_changed)
        self._on_changed()

    def _on_changed(self) -> None:
        if not isalive(self):
            return
        session = self._session
        session.budget.note(session.live, session.effort)
        points = session.budget.points(session.history.rounds)
        if points != self._points:
            self._points, self._said = points, asked(points)
            self.curve.set_value(points, self._said)
            self.setToolTip(self._said if isinstance(self._said, str) else EXPLAINED)
        self.setText(sentence(session.effort, self._said))
        self.setVisible(bool(self.text()))


class BudgetCurve(QWidget):
    """The curve under its heading; hidden while there are no two scores."""

    def __init__(self) -> None:
        super().__init__()
        self.curve = Curve()
        self.curve.setObjectName("budget_curve")
        self.curve.setToolTip("score against strokes; the bar is the forecast")
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addWidget(QLabel("Score against strokes"))
        rows.addWidget(self.curve)

    def set_value(self, points: Points, said: Forecast | str) -> None:
        """Show other scores and another forecast."""
        self.setVisible(len(points) > 1)
        ahead = None
        if isinstance(said, Forecast):
            strokes, score = list(points.items())[-1]
            ahead = (strokes + said.more, score + said.low, score + said.high)
        self.curve.set_value(list(points.values()), "score", list(points), ahead)
