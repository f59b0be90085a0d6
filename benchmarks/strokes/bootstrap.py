"""Differences between two methods on the same annotations, paired by seed and test image, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from .rows import Row

RESAMPLED = 2000


@dataclass(frozen=True)
class Difference:
    """Mean difference in Dice, its 95 % interval, and from how many seeds (of every set) it comes."""

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def verdict(self) -> str:
        """Say what it means; one seed says nothing, because its interval lacks the training."""
        if self.seeds < 2:
            return "one seed only"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "no clear difference"

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def images_of(row: Row) -> list[float]:
    """Return Dice of every test image, the mean of its classes; NaN where there is none to score."""
    known = [[d for d in image if d is not None] for image in row["table"]]
    return [fmean(image) if image else float("nan") for image in known]


def paired(rows: Sequence[Row], others: Sequence[Row]) -> np.ndarray:
    """Return differences, rows - others: (seeds, images). Seeds that only one has and images without Dice are left."""
    first, second = ({row["seed"]: images_of(row) for row in some} for some in (rows, others))
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return np.zeros((0, 0))
    pairs = np.array([np.subtract(first[s], second[s]) for s in seeds])  # (seeds, images)
    return pairs[:, ~np.isnan(pairs).any(0)]


def difference(*sets: np.ndarray) -> Difference | None:
    """Return the mean difference over sets, each counting the same.

    Seeds and images of each set are drawn again, each with replacement, so that the interval covers both what was
    annotated and what was tested.

    Parameters
    ----------
    sets
        What `paired` gave for each; empty ones are left out.

    Returns
    -------
    Difference
        None if there is nothing to compare.
    """
    full = [pairs for pairs in sets if pairs.size]
    if not full:
        return None
    rng = np.random.default_rng(0)
    low, high = np.percentile(np.mean([_means(pairs, rng) for pairs in full], axis=0), [2.5, 97.5])
    mean = fmean(float(pairs.mean()) for pairs in full)
    return Difference(mean, float(low), float(high), min(len(pairs) for pairs in full))


def _means(pairs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the mean of every resampling, (RESAMPLED,)."""
    seeds, images = pairs.shape
    which = rng.integers(seeds, size=(RESAMPLED, seeds)), rng.integers(images, size=(RESAMPLED, images))
    return np.array([pairs[np.ix_(s, i)].mean() for s, i in zip(*which, strict=True)])
