"""Dice estimated from strokes that were not learned from.

Strokes say how often each class is taken for each other one, but not how common the classes are: a person paints as
much background as object. How common they are follows from how often they are predicted, corrected for the mistakes
(the adjusted count of Forman 2008). From both follows Dice:

    π solves  q = Rᵀ π,        Dice_k = 2 π_k R_kk / (π_k + q_k)

with R_kj the share of class k that is predicted as j, q the shares of the predictions, π those of the truth. Strokes
are few, so R is uncertain: a Dirichlet distribution for every class, in which each stroke counts once. What cannot be
is left out: q must lie between the rows of R. With no knowledge of π, a possible R weighs 1 / |det R|.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .task import Estimate

ENOUGH = 4  # strokes of every class, below which nothing is said
DRAWS = 20_000
POSSIBLE = 100  # draws, below which strokes and predictions contradict each other
SINGULAR = 1e-3  # of a determinant
LEVELS = (0.025, 0.5, 0.975)


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
    rates = np.stack([rng.dirichlet(row + 1 / len(painted), DRAWS) for row in sums], 1)  # (DRAWS, K, K)
    rates = rates[np.abs(np.linalg.det(rates)) > SINGULAR]
    true = np.linalg.solve(rates.swapaxes(1, 2), np.broadcast_to(predicted[:, None], (len(rates), len(painted), 1)))
    possible = (true >= 0).all((1, 2))
    if possible.sum() < POSSIBLE:
        return {}
    rates, true = rates[possible], true[possible, :, 0]
    weights = 1 / np.abs(np.linalg.det(rates))
    dice = 2 * true * np.diagonal(rates, axis1=1, axis2=2) / (true + predicted)  # (possible, K)
    found = {int(k): _quantiles(dice[:, i], weights) for i, k in enumerate(painted) if k > 0}
    return {k: Estimate(middle, low, high, int(counts[k])) for k, (low, middle, high) in found.items()}


def _quantiles(values: np.ndarray, weights: np.ndarray) -> list[float]:
    """Return the values below which these shares of the weight lie."""
    order = np.argsort(values)
    shares = np.cumsum(weights[order]) / weights.sum()
    places = np.minimum(np.searchsorted(shares, LEVELS), len(values) - 1)
    return [float(v) for v in values[order[places]]]
