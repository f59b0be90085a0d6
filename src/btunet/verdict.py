"""Whether pre-training helped, by strokes that were held out of trainings with it and without it.

Few strokes and few trainings say little, and the interval must show it. A difference D of stroke s of fold f in the
training pair r has three parts that chance decides,

    D_sr = δ + a_s + t_fr + e_sr,

what is particular to the stroke, what to the pair of trainings (all strokes of a fold share it), and the rest. So both
are drawn again: the strokes of every class, and for every fold its pairs. Drawing n of n would give n - 1 n-ths of the
variance, half of it for two pairs, so n - 1 are drawn (Rao & Wu 1988). That trainings of different folds share most of
their strokes stays uncounted; no estimate is free of bias there (Bengio & Grandvalet 2004).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from .comparison import DRAWS, LEVEL
from .replace import replacing
from .verdict_picture import picture

ENOUGH = 2  # strokes of a class, and trainings of a fold: fewer do not tell how much they differ
NOTICED = 0.005  # what is less would be written as 0.00, so nobody need wait for it


@dataclass(frozen=True)
class Judged:
    """A held-out stroke, and the share of its pixels that trainings got right that had not learned it, 0..1.

    ``without`` and ``pretrained`` hold a share for every pair of trainings: from random weights, and from the encoder.
    """

    image: str
    plane: int
    y: int  # of its first pixel
    x: int
    kind: int  # class, 0..K-1
    fold: int
    without: tuple[float, ...]
    pretrained: tuple[float, ...]

    @property
    def gain(self) -> float:
        """Mean difference that the pre-training made, -1..1."""
        return float(np.mean(self.pretrained) - np.mean(self.without))


@dataclass(frozen=True)
class Verdict:
    """How much more of the held-out strokes is right after pre-training; classes count the same, -1..1.

    ``low`` and ``high`` bound the difference with a probability of 95 %; they are -1 and 1 while too little is known.
    """

    difference: float
    low: float
    high: float
    judged: tuple[Judged, ...]
    classes: tuple[str, ...]

    @property
    def strokes(self) -> int:
        """How many strokes it rests on."""
        return len(self.judged)

    @property
    def word(self) -> str:
        """*helped*, *hurt*, or *no clear difference*."""
        if abs(self.difference) < NOTICED or self.low <= 0 <= self.high:
            return "no clear difference"
        return "helped" if self.difference > 0 else "hurt"

    @property
    def of_folds(self) -> dict[int, float]:
        """The difference by the strokes of each fold alone."""
        folds = sorted({stroke.fold for stroke in self.judged})
        return {fold: _mean([s for s in self.judged if s.fold == fold]) for fold in folds}

    def describe(self) -> str:
        """Say it in one sentence."""
        if not self.judged:
            return "Nothing is known yet: no held-out stroke was judged"
        mean, low, high = (round(v, 2) + 0.0 for v in (self.difference, self.low, self.high))  # + 0.0: no "-0.00"
        return f"{self.word.capitalize()}: {mean:+.2f} ({low:+.2f} to {high:+.2f}) on {self.strokes} held-out strokes"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        said = {"verdict": self.word, "sentence": self.describe(), "strokes": self.strokes}
        return said | {"of folds": {str(fold): mean for fold, mean in self.of_folds.items()}} | asdict(self)

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``verdict.json``, with every stroke, and a picture of them, ``verdict.svg``; return their paths.

        Raises
        ------
        BtunetError
            If they cannot be written.
        """
        contents = {"verdict.json": json.dumps(self.as_dict(), indent=1), "verdict.svg": picture(self)}
        for name, content in contents.items():
            with replacing(Path(folder) / name) as part:
                part.write_text(content, encoding="utf-8")
        return [Path(folder) / name for name in contents]


def verdict_of(judged: Sequence[Judged], classes: Sequence[str], seed: int = 0) -> Verdict:
    """Return what held-out strokes say.

    Parameters
    ----------
    judged
        The strokes; those of a fold must have as many trainings. A fold with fewer than two is left out.
    classes
        Names, background first.
    seed
        Of the draws.
    """
    known = tuple(stroke for stroke in judged if len(stroke.without) >= ENOUGH)
    counts = np.bincount([stroke.kind for stroke in known], minlength=1)
    mean = _mean(known) if known else 0.0
    if min(counts[counts > 0], default=0) < ENOUGH:
        return Verdict(mean, -1.0, 1.0, known, tuple(classes))
    low, high = np.percentile(_drawn(known, np.random.default_rng(seed)), LEVEL)
    return Verdict(mean, float(low), float(high), known, tuple(classes))


def _mean(judged: Sequence[Judged]) -> float:
    kinds = sorted({stroke.kind for stroke in judged})
    return float(np.mean([np.mean([s.gain for s in judged if s.kind == kind]) for kind in kinds]))


def _drawn(judged: Sequence[Judged], rng: Generator) -> np.ndarray:
    """Return the mean difference of every draw of trainings and strokes, (DRAWS,)."""
    gains = np.empty((DRAWS, len(judged)))
    for fold in {stroke.fold: None for stroke in judged}:
        here = [n for n, stroke in enumerate(judged) if stroke.fold == fold]
        pairs = np.array([np.subtract(judged[n].pretrained, judged[n].without) for n in here])  # (strokes, pairs)
        count = pairs.shape[1]
        chosen = rng.integers(count, size=(DRAWS, count - 1))
        gains[:, here] = pairs[:, chosen].mean(2).T
    means = []
    for kind in sorted({stroke.kind for stroke in judged}):
        here = [n for n, stroke in enumerate(judged) if stroke.kind == kind]
        chosen = rng.integers(len(here), size=(DRAWS, len(here) - 1))
        means.append(np.take_along_axis(gains[:, here], chosen, 1).mean(1))
    drawn: np.ndarray = np.mean(means, axis=0)
    return drawn
