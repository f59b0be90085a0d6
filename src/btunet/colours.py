"""Features as colours: their three main mixtures become red, green and blue, and stay what they were from look to look.

Principal components come in any order and sign, and change both while a network learns. So the new ones are turned onto
the old ones where both are known (orthogonal Procrustes, Schönemann 1966), on samples that stay the same pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.utils.extmath import randomized_svd

ROBUST = (1, 99)  # per cent of the samples that black and full colour lie at
PACE = 0.3  # of the way to the present range of a mixture that the colours go at every look


@dataclass(frozen=True)
class Palette:
    """How features become colours.

    Parameters
    ----------
    mixture
        (C, 3): how much of every feature is in red, green and blue.
    offset
        (3,): what is added, so that the samples' mean is 0.
    limits
        (2, 3): mixtures that become 0 and 255.
    samples
        (P, 3): mixtures of the samples, which the next palette is turned onto.
    """

    mixture: np.ndarray
    offset: np.ndarray
    limits: np.ndarray
    samples: np.ndarray


def palette_of(samples: np.ndarray, before: Palette | None = None) -> Palette:
    """Return the palette that shows most of what samples differ in.

    Parameters
    ----------
    samples
        (P, C) features of P places, more than 3 of each.
    before
        The palette of the last look, with features of the same places: colours stay close to it.
    """
    samples = np.asarray(samples, np.float64)
    mean = samples.mean(0)
    _, strengths, axes = randomized_svd(samples - mean, 3, random_state=0)
    spread = strengths / np.sqrt(len(samples))
    # all three count the same, as they will on the screen; where there is no difference nothing is made up
    mixture = (axes / np.where(spread > 1e-6 * (1 + np.abs(mean).max()), spread, np.inf)[:, None]).T  # (C, 3)
    mixed = (samples - mean) @ mixture  # (P, 3)
    if before is not None:
        turn, _ = orthogonal_procrustes(mixed, before.samples)
        mixture, mixed = mixture @ turn, mixed @ turn
    limits = np.percentile(mixed, ROBUST, axis=0)  # (2, 3)
    if before is not None:
        limits = before.limits + PACE * (limits - before.limits)
    return Palette(mixture, -mean @ mixture, limits, mixed)


def mixed(features: np.ndarray, palette: Palette) -> np.ndarray:
    """Return the three mixtures (3, Y, X) of features (C, Y, X)."""
    found: np.ndarray = np.tensordot(palette.mixture.T, features, 1) + palette.offset[:, None, None]
    return found


def coloured(mixtures: np.ndarray, palette: Palette) -> np.ndarray:
    """Return the colours (Y, X, 3) uint8 of mixtures (3, Y, X)."""
    low, high = palette.limits[:, :, None, None]
    span = np.where(high > low, high - low, np.inf)
    return np.moveaxis(((mixtures - low) / span * 255).clip(0, 255).astype(np.uint8), 0, -1)
