"""The models of a session, one per round; any of them can be the present one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import btunet


@dataclass(frozen=True)
class Round:
    """A model, how many pixels were painted by then, and what is known of it."""

    model: btunet.Model
    painted: int  # pixels
    note: str = ""
    when: str = field(default_factory=lambda: time.strftime("%H:%M"))

    def describe(self) -> str:
        """Say in one line what it is and how good."""
        parts = [self.when, self.note or f"{self.painted:,} pixels painted"]
        right = btunet.right(self.model)
        if right is not None:
            parts.append(f"right in {right[0]:.2f} of {right[1]} held-out strokes")
        return ", ".join(parts)


class History:
    """Models in the order they came, none ever lost while the window is open."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self.at = -1  # the present one

    @property
    def present(self) -> btunet.Model | None:
        """The model that predicts."""
        return self.rounds[self.at].model if self.rounds else None

    def add(self, model: btunet.Model, painted: int, note: str = "") -> btunet.Comparison | None:
        """Keep a model; it becomes the present one unless it is worse, beyond doubt, than the one there is.

        Returns
        -------
        Comparison or None
            Of the new model with the present one, where they can be compared.
        """
        found = btunet.compare(model, self.present) if self.present else None
        self.rounds.append(Round(model, painted, note))
        if found is None or not found.is_worse:
            self.at = len(self.rounds) - 1
        return found

    def use(self, number: int) -> None:
        """Make a model the present one."""
        self.at = number
