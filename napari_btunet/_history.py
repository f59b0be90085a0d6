"""The models of a session, one per round; any of them can be the present one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import btunet

EPOCH = "1970-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Round:
    """A model, how many pixels were painted by then, and what is known of it."""

    model: btunet.Model
    painted: int  # pixels
    note: str
    when: str

    @classmethod
    def of(cls, model: btunet.Model) -> Round:
        """Return a round from what its model says of itself."""
        record = model.history[-1] if model.history else {}
        when = datetime.fromisoformat(str(record.get("date", EPOCH))).astimezone()
        return cls(model, int(record.get("painted", 0)), str(record.get("note", "")), when.strftime("%H:%M"))

    def describe(self) -> str:
        """Say in one line what it is and how good."""
        parts = [self.when, self.note or f"{self.painted:,} pixels painted"]
        right = btunet.right(self.model)
        if right is not None:
            parts.append(f"right in {right[0]:.2f} of {right[1]} held-out strokes")
        return ", ".join(parts)


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
