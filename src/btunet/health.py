"""How a pre-training goes, in words, from its values so far: learning, collapsing, or no longer improving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

LEARNING, COLLAPSING, FLAT = "learning", "collapsing", "no longer improving"
SENTENCES = {
    LEARNING: "Learning.",
    COLLAPSING: (
        "Collapsing: everything begins to look the same to the network. Stop, then try more varied images, a larger "
        "batch or a lower learning rate."
    ),
    FLAT: "No longer improving: the loss hardly fell in the last quarter of the training. You can stop now.",
}
RECENT = 10  # steps that tell how it is now
FEWEST = 100  # steps before a loss can be called flat; most trainings begin slowly
LITTLE = 0.03  # of the loss; when no more than this was gained in a quarter of the training, it is flat
LOWEST_RANK = 2.0  # directions; with fewer the features are collapsed
LOST_RANK = 0.4  # of the highest rank so far; what is below has begun to collapse
DEAD = (
    0.01  # of the part on the diagonal; features of finite batches that do not depend on the image have no less off it
)
PATIENCE = 0.1  # of the training so far that another word must hold before it is said
MOST = 4000  # steps that are kept; of longer trainings every second one, every fourth, …


@dataclass(frozen=True)
class Health:
    """A word for how a training goes, and what is needed to change it without haste."""

    word: str = LEARNING
    sentence: str = SENTENCES[LEARNING]
    other: str = LEARNING  # the word that was found last
    since: int = 0  # the step from which it was found again and again


def health(history: Sequence[Mapping[str, float]], before: Health | None = None) -> Health:
    """Return how a pre-training goes.

    Another word than before is said only after it was found in every look during a tenth of the training so far, so
    that noise does not make the word flip.

    Parameters
    ----------
    history
        ``loss``, ``on diagonal``, ``off diagonal`` and ``rank`` of every step so far, oldest first.
    before
        What was said last.
    """
    before = before or Health()
    step, found = len(history), _found(history, before.word)
    now = before if found == before.other else replace(before, other=found, since=step)
    if found != now.word and step - now.since >= max(RECENT, PATIENCE * step):
        now = replace(now, word=found)
    return replace(now, sentence=_sentence(now.word, history))


def _found(history: Sequence[Mapping[str, float]], said: str) -> str:
    """Return the word for how it is now, given what was said last."""
    if len(history) < RECENT:
        return LEARNING
    if _is_collapsing(history):
        return COLLAPSING
    losses = [values["loss"] for values in history]
    return FLAT if len(history) >= FEWEST and _is_flat(losses, was_flat=said == FLAT) else LEARNING


def _is_collapsing(history: Sequence[Mapping[str, float]]) -> bool:
    """Whether features use few directions, fewer than before by far, or say nothing about the image."""
    recent = history[-RECENT:]
    rank = float(np.median([values["rank"] for values in recent]))
    highest = max(float(np.median(part)) for part in _parts([values["rank"] for values in history]))
    on, off = (float(np.median([values[f"{where} diagonal"] for values in recent])) for where in ("on", "off"))
    return rank < max(LOWEST_RANK, LOST_RANK * highest) or off < DEAD * on


def _parts(values: Sequence[float]) -> list[np.ndarray]:
    """Return values in parts of as many steps as tell how it is."""
    return np.array_split(np.asarray(values), max(1, len(values) // RECENT))


def _is_flat(losses: Sequence[float], was_flat: bool) -> bool:
    """Whether the last quarter gained little on the quarter before; in doubt, because of noise, what is said."""
    quarter = len(losses) // 4
    earlier, latest = np.asarray(losses[-2 * quarter : -quarter]), np.asarray(losses[-quarter:])
    gain = earlier.mean() - latest.mean()
    error = 2 * math.sqrt((earlier.var() + latest.var()) / quarter)
    return bool(gain + (-error if was_flat else error) < LITTLE * abs(earlier.mean()))


def _sentence(word: str, history: Sequence[Mapping[str, float]]) -> str:
    """Say it in full; when it learns, how much, in steps coarse enough to be read."""
    if word != LEARNING or len(history) < 2 * RECENT:
        return SENTENCES[word]
    first, last = (
        float(np.mean([values["loss"] for values in part])) for part in (history[:RECENT], history[-RECENT:])
    )
    fallen = int(10 * (1 - last / first)) * 10 if first else 0
    return f"Learning: the loss has fallen by {fallen} %." if fallen > 0 else SENTENCES[word]


class Watch:
    """Takes in the values of a training step by step and knows its health; forgets detail of what is long ago."""

    def __init__(self) -> None:
        self.health = Health()
        self._history: list[Mapping[str, float]] = []
        self._steps, self._every = 0, 1

    def note(self, values: Mapping[str, float]) -> Health:
        """Take in the values of one more step and return the health."""
        self._steps += 1
        if self._steps % self._every:
            return self.health
        self._history.append(values)
        if len(self._history) % RECENT == 0:
            self.health = health(self._history, self.health)
        if len(self._history) == MOST:
            self._history, self._every = self._history[1::2], 2 * self._every
            self.health = replace(self.health, since=self.health.since // 2)
        return self.health
