"""Dice estimated from strokes that were not learned from.

Strokes say how often each class is taken for each other one, but not how common the classes are: a person paints as
much background as object. How common they are follows from how often they are predicted, corrected for the mistakes
(the adjusted count of Forman 2008). From both follows Dice:

    π solves  q = Rᵀ π,        Dice_k = 2 π_k R_kk / (π_k + q_k)

with R_kj the share of class k that is predicted as j, q the shares of the predictions, π those of the truth. Strokes
are few, so R is uncertain: a Dirichlet distribution for every class, in which each stroke counts once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls

from .task import Estimate

ENOUGH = 4  # strokes of every class, below which nothing is said
DRAWS = 400
LEVEL = (2.5, 50.0, 97.5)  # percentiles


def estimate(kinds: Sequence[int], shares: np.ndarray, predicted: np.ndarray, seed: int = 0) -> dict[int, Estimate]:
    """Estimate Dice of every class but the background.

    Parameters
    ----------
    kinds
        Class of each held-out stroke, S of them.
    shares
        (S, K): the share of a stroke's pixels that is predicted as each class by one who did not learn it.
    predicted
        (K,): the share of the image, or of several, that is predicted as each class.
    seed
        Of the draws from the distribution.

    Returns
    -------
    dict
        Class → estimate; empty where a class has fewer strokes than `ENOUGH`.
    """
    counts = np.bincount(kinds, minlength=shares.shape[1])
    painted = np.flatnonzero(counts)
    if len(painted) < 2 or counts[painted].min() < ENOUGH:
        return {}
    rng = np.random.default_rng(seed)
    predicted = predicted[painted] / predicted[painted].sum()
    sums = np.stack([shares[np.equal(kinds, k)][:, painted].sum(0) for k in painted])  # (K, K), a row per true class
    drawn = np.stack([rng.dirichlet(row + 1 / len(painted), DRAWS) for row in sums], 1)  # (DRAWS, K, K)
    dice = np.stack([_dice(rates, predicted) for rates in drawn])  # (DRAWS, K)
    low, middle, high = np.percentile(dice, LEVEL, axis=0)
    return {
        int(k): Estimate(float(middle[i]), float(low[i]), float(high[i]), int(counts[k]))
        for i, k in enumerate(painted)
        if k > 0
    }


def _dice(rates: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return Dice (K,) of every class, given R (K, K) and q (K,)."""
    summed = np.ones((1, len(predicted)))  # the shares of the truth add up to 1
    true, _ = nnls(np.vstack([rates.T, summed]), np.append(predicted, 1.0))
    together = true + rates.T @ true
    return np.asarray(2 * true * rates.diagonal() / np.maximum(together, 1e-12))
