"""What more strokes would bring: a power law through the scores so far, and how sure it is.

    score(n) = now + rest · (1 − (n / n_now)^−rate)

with n the effort (strokes or minutes), ``now`` the score at the present effort and ``rest`` all that could still be
gained. Scores are noisy and few, so every law of a grid counts as much as the scores make it likely (Bayes' rule; the
noise and the present score, unknown too, are integrated out), and what is forecast is an interval. No law loses; but
what a few strokes bring wanders around any law, by as much as was seen on images, and the interval allows for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 5  # scores at different efforts
RANGE = 1.5  # times the first effort that the last one must be
MORE = 0.5  # of the effort so far that is asked for next
WORTH = 0.02  # gain that is lost among the differences between one training and the next
FINEST = 0.005  # noise below which no score is believed
NOISIEST = 0.05  # of the scores, above which they cannot tell when to stop
LEVELS = (0.05, 0.5, 0.95)
WANDER = 0.01 * 1.645  # 95th percentile of what the truth was seen to wander by (`benchmarks/budget.py`)
RESTS, RATES = np.linspace(0, 1, 301), np.geomspace(0.05, 3, 48)


@dataclass(frozen=True)
class Forecast:
    """What more effort would bring.

    Parameters
    ----------
    more
        Effort that is meant, in the unit of the efforts so far.
    gain, low, high
        By which the score would rise, and an interval of 90 %.
    most
        By which it would rise at most if it followed a law, with a probability of 95 %.
    noise
        Standard deviation of the scores round the law.
    """

    more: float
    gain: float
    low: float
    high: float
    most: float
    noise: float

    @property
    def may_stop(self) -> bool:
        """Whether even the highest gain that is likely is lost in the noise, and the noise is not what hides it."""
        return self.noise < NOISIEST and self.most < WORTH


def forecast(efforts: Sequence[float], scores: Sequence[float], more: float = 0.0) -> Forecast | str:
    """Say what more effort would bring.

    Parameters
    ----------
    efforts
        At which there was a score, rising, more than 0. Of equal ones the last counts.
    scores
        0..1.
    more
        Effort that is meant; by default half of what was spent so far.

    Returns
    -------
    Forecast or str
        A sentence if there is nothing to say yet.
    """
    spent = {float(n): float(s) for n, s in zip(efforts, scores, strict=True) if n > 0}
    n, y = np.array(sorted(spent)), np.array([spent[key] for key in sorted(spent)])
    if len(n) < FEWEST:
        return f"a forecast needs {FEWEST} scores, there are {len(n)}"
    if n[-1] < RANGE * n[0]:
        return "a forecast needs scores further apart"
    more = more or MORE * n[-1]
    rest, rate = (grid[..., None] for grid in np.meshgrid(RESTS, RATES))
    left = y - rest * (1 - (n / n[-1]) ** -rate)  # of each score when the law has taken its part
    now = left.mean(-1)
    errors = ((left - now[..., None]) ** 2).sum(-1) + len(n) * FINEST**2
    weights = np.where(now + RESTS <= 1, (errors / errors.min()) ** (-(len(n) - 1) / 2), 0)
    gains = (rest * (1 - ((n[-1] + more) / n[-1]) ** -rate))[..., 0]
    least, gain, most = quantiles(gains.ravel(), weights.ravel())
    low, high = gain - float(np.hypot(gain - least, WANDER)), gain + float(np.hypot(most - gain, WANDER))
    noise = float(np.sqrt(errors[weights > 0].min() / (len(n) - 3)))
    return Forecast(float(more), gain, low, high, most, noise)


def quantiles(values: np.ndarray, weights: np.ndarray) -> tuple[float, ...]:
    """Return the values below which `LEVELS` of the weight lie."""
    order = np.argsort(values)
    shares = np.cumsum(weights[order]) / weights.sum()
    return tuple(float(v) for v in values[order[np.minimum(np.searchsorted(shares, LEVELS), len(values) - 1)]])
