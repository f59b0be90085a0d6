"""The models of a session, one per round; any of them can be the present one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import btunet
from btunet.comparison import went_on_from

from ._thumbnail import checked

EPOCH = "1970-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Card:
    """What a list shows of a round: a line on how good it is, one on how it came to be, and a picture."""

    title: str
    details: str
    picture: tuple[str, ...]  # lines of digits, see `_thumbnail`


@dataclass(frozen=True)
class Round:
    """A model, how much was painted by then, and what is known of it."""

    model: btunet.Model
    painted: int  # pixels
    note: str
    when: str
    score: btunet.Score | None = None
    strokes: int = 0  # that it saw; 0 if it does not tell
    seconds: float = 0.0  # of training
    picture: tuple[str, ...] = ()
    alone: btunet.Comparison | None = None  # with the instant classifier

    @classmethod
    def of(cls, model: btunet.Model) -> Round:
        """Return a round from what its model says of itself."""
        record = model.history[-1] if model.history else {}
        when = datetime.fromisoformat(str(record.get("date", EPOCH))).astimezone()
        return cls(
            model,
            int(record.get("painted", 0)),
            str(record.get("note", "")),
            when.strftime("%H:%M"),
            btunet.right(model),
            len(record.get("learned", ())),
            float(record.get("seconds", 0.0)),
            checked(record.get("picture")),
            btunet.compare_with_classifier(model),
        )

    def describe(self) -> str:
        """Say in one line what it is and how good."""
        parts = [self.when, self.note or f"{self.painted:,} pixels painted"]
        return ", ".join([*parts, self.score.describe()] if self.score else parts)

    def card(self, number: int, before: Round | None, parent: int | None) -> Card:
        """Return what is shown of it.

        Parameters
        ----------
        number
            What it is called, from 1.
        before
            The round before.
        parent
            The number of the one it was trained further from, if it was.
        """
        found = self.score
        how = f"{found.share:.2f} ({found.low:.2f} to {found.high:.2f}) of {found.strokes}" if found else "not judged"
        how += f", {self.alone.difference:+.2f} to strokes alone" if self.alone else ""
        parts = [self.when, *([self.note] if self.note else [])]
        if self.strokes:
            added = self.strokes - before.strokes if before and before.strokes else 0
            parts.append(f"{self.strokes} strokes" + f" ({added:+})" * bool(added))
        if self.model.is_instant:
            parts.append("strokes alone")
        if self.seconds:
            parts.append(f"{self.seconds:.0f} s" if self.seconds < 90 else f"{self.seconds / 60:.0f} min")
        if parent is not None:
            parts.append(f"from {parent}")
        return Card(f"{number}  {how}", ", ".join(parts), self.picture)


class History:
    """Models in the order they came.

    Parameters
    ----------
    rounds
        Those of before.
    at
        Place of the present one.
    """

    def __init__(self, rounds: Sequence[Round] = (), at: int = -1) -> None:
        self.rounds = list(rounds)
        self.at = at

    @property
    def present(self) -> btunet.Model | None:
        """The model that predicts."""
        return self.rounds[self.at].model if self.rounds else None

    @property
    def before(self) -> btunet.Model | None:
        """The model before the present one, or after it if that is the first."""
        others = [*self.rounds[: self.at][::-1], *self.rounds[self.at + 1 :]] if self.at >= 0 else self.rounds[-2::-1]
        return others[0].model if others else None

    def cards(self) -> list[Card]:
        """Return what is shown of the rounds."""
        models, found = [each.model for each in self.rounds], []
        for n, each in enumerate(self.rounds):
            parents = [m + 1 for m, other in enumerate(models) if m != n and went_on_from(each.model, other)]
            found.append(each.card(n + 1, self.rounds[n - 1] if n else None, parents[-1] if parents else None))
        return found

    def add(self, model: btunet.Model) -> btunet.Comparison | None:
        """Keep a model; it becomes the present one unless it is worse, beyond doubt, than the one there is.

        Returns
        -------
        Comparison or None
            Of the new model with the present one, where they can be compared.
        """
        found = btunet.compare(model, self.present) if self.present else None
        self.rounds.append(Round.of(model))
        if found is None or not found.is_worse:
            self.at = len(self.rounds) - 1
        return found

    def use(self, number: int) -> None:
        """Make a model the present one."""
        self.at = number
