"""How good a model is, and which of two is better, by strokes that they had not learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .model import Model

FEWEST = 3  # strokes that two models must have been judged by
DRAWS = 2000
LEVEL = (2.5, 97.5)  # percentiles
PEER = "held out, classifier"  # of the record: how right the instant classifier was
Judgement = dict[tuple[str, int, int, int], float]  # image, plane, first pixel, class → share that is right


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


@dataclass(frozen=True)
class Score:
    """The share of held-out strokes that a model gets right, classes counting the same, 0..1.

    ``low`` and ``high`` bound it with a probability of 95 %, each of the ``strokes`` counting once.
    """

    share: float
    low: float
    high: float
    strokes: int

    def describe(self) -> str:
        """Say it in a few words."""
        return f"right in {self.share:.2f} ({self.low:.2f} to {self.high:.2f}) of {self.strokes} held-out strokes"


def compare(new: Model, old: Model, seed: int = 0) -> Comparison | None:
    """Compare two models by the strokes that neither had learned when it was judged by them.

    A model that was trained further is judged by the same strokes before and after.

    Returns
    -------
    Comparison or None
        None if there are too few such strokes.
    """
    before = _judgement(new, "held out before") if went_on_from(new, old) else _judgement(old)
    return _compared(_judgement(new), before, seed)


def compare_with_classifier(model: Model, seed: int = 0) -> Comparison | None:
    """Compare a fine-tuned model with the instant classifier, by the strokes that neither had learned.

    Both learn the same strokes, and the model begins with the classifier: so this says what training added.

    Returns
    -------
    Comparison or None
        None if there are too few such strokes, or the model does not tell.
    """
    return _compared(_judgement(model), _judgement(model, PEER), seed)


def _compared(now: Judgement, before: Judgement, seed: int) -> Comparison | None:
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


def went_on_from(new: Model, old: Model) -> bool:
    """Return whether one model is the other, trained further."""
    if len(new.history) < 2 or not old.history:
        return False
    first, second = new.history[-2], old.history[-1]
    return bool(first.get("date")) and all(first.get(key) == second.get(key) for key in ("verb", "date", "final"))


def right(model: Model, seed: int = 0) -> Score | None:
    """Return the share of held-out strokes that a model got right.

    None if no strokes were held out of its last training.
    """
    rights: dict[int, list[float]] = {}
    for key, r in _judgement(model).items():
        rights.setdefault(key[-1], []).append(r)
    if not rights:
        return None
    rng = np.random.default_rng(seed)
    # Jeffreys' prior: strokes that are all right leave room for one that is not
    drawn = np.mean([rng.beta(sum(r) + 0.5, len(r) - sum(r) + 0.5, DRAWS) for r in rights.values()], axis=0)
    low, high = np.percentile(drawn, LEVEL)
    share = float(np.mean([np.mean(r) for r in rights.values()]))
    return Score(share, min(float(low), share), max(float(high), share), sum(map(len, rights.values())))


def _judgement(model: Model, record: str = "held out") -> Judgement:
    """Return how much of each stroke a model was right about, by where the stroke begins and its class."""
    records = model.history[-1].get(record, ()) if model.history else ()
    return {(r["image"], r["plane"], r["pixel"], r["class"]): r["right"] for r in records}
