"""Which of two models is better, by strokes that neither had learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .model import Model

FEWEST = 3  # strokes that two models must have been judged by
DRAWS = 2000
LEVEL = (2.5, 97.5)  # percentiles


@dataclass(frozen=True)
class Comparison:
    """How much more of the held-out strokes a model gets right than another: classes count the same, 0..1.

    ``low`` and ``high`` bound the difference with a probability of 95 %; ``strokes`` is what it rests on.
    """

    difference: float
    low: float
    high: float
    strokes: int

    @property
    def is_worse(self) -> bool:
        """Whether the model is worse beyond doubt."""
        return self.high < 0

    def describe(self) -> str:
        """Say it in a few words."""
        how = "higher" if self.difference >= 0 else "lower"
        return f"{abs(self.difference):.2f} {how} on {self.strokes} held-out strokes"


def compare(new: Model, old: Model, seed: int = 0) -> Comparison | None:
    """Compare two models by the strokes that neither had learned when it was judged by them.

    Returns
    -------
    Comparison or None
        None if there are too few such strokes.
    """
    now, before = _judgement(new), _judgement(old)
    common = sorted(now.keys() & before.keys())
    if len(common) < FEWEST:
        return None
    gains: dict[int, list[float]] = {}
    for key in common:
        gains.setdefault(key[-1], []).append(now[key] - before[key])
    rng = np.random.default_rng(seed)
    drawn = np.mean([rng.choice(g, (DRAWS, len(g))).mean(1) for g in gains.values()], axis=0)  # (DRAWS,)
    low, high = np.percentile(drawn, LEVEL)
    middle = np.mean([np.mean(g) for g in gains.values()])
    return Comparison(float(middle), float(low), float(high), len(common))


def right(model: Model) -> tuple[float, int] | None:
    """Return the share of held-out strokes that a model got right, classes counting the same, and how many they were.

    None if no strokes were held out of its last training.
    """
    judged = _judgement(model)
    if not judged:
        return None
    kinds = {key[-1] for key in judged}
    shares = [np.mean([r for key, r in judged.items() if key[-1] == kind]) for kind in kinds]
    return float(np.mean(shares)), len(judged)


def _judgement(model: Model) -> dict[tuple[str, int, int, int], float]:
    """Return how much of each stroke a model was right about, by where the stroke begins and its class."""
    records = model.history[-1].get("held out", ()) if model.history else ()
    return {(r["image"], r["plane"], r["pixel"], r["class"]): r["right"] for r in records}
