"""Strokes that contradict the others: a classifier that did not learn them is sure that they are something else.

Slips of the brush, of the chosen class or of the eye; but also what is rare, and right. So nothing follows from them
but a question to the person who painted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .folds import Stroke
from .honest import ENOUGH
from .task import Spot

MOST = 0.5  # share of a stroke's pixels that must be taken for the other class, at least
SURE = 0.75  # probability of the other class, the mean over the stroke, at least
AROUND = 16  # pixels around a stroke that are shown with it


def contradictions(
    strokes: Sequence[Stroke],
    shares: np.ndarray,
    sure: np.ndarray,
    classes: Sequence[str],
    shapes: Mapping[tuple[int, int], tuple[int, ...]],
) -> tuple[Spot, ...]:
    """Return the strokes that are probably of another class, the surest first.

    Parameters
    ----------
    strokes
        Those that were judged, S of them.
    shares, sure
        (S, K) each, what `crossfit.judgements` says of them.
    classes
        Names, background first.
    shapes
        (image, plane) → (Y, X) of the planes they lie on.

    Returns
    -------
    tuple of Spot
        One for each, with the reason. Strokes of classes that have fewer than `honest.ENOUGH` are not doubted, nor are
        they taken for one of those: too little is known.
    """
    kinds = np.array([stroke.kind for stroke in strokes], int)
    counts = np.bincount(kinds, minlength=len(classes))
    doubted = []
    for stroke, share, probability in zip(strokes, shares, sure, strict=True):
        other = int(share.argmax())
        known = min(counts[stroke.kind], counts[other]) >= ENOUGH
        if other != stroke.kind and known and share[other] > MOST and probability[other] >= SURE:
            reason = f"painted as {classes[stroke.kind]}, looks like {classes[other]}"
            doubted.append((-float(probability[other]), _spot(stroke, shapes[stroke.image, stroke.plane], reason)))
    return tuple(spot for _, spot in sorted(doubted, key=lambda pair: pair[0]))


def _spot(stroke: Stroke, shape: tuple[int, ...], reason: str) -> Spot:
    """Return a square around a whole stroke, whose middle is one of its pixels."""
    rows, columns = np.unravel_index(stroke.pixels, shape)
    y, x = int(rows[len(rows) // 2]), int(columns[len(rows) // 2])
    reach = max(int(np.abs(rows - y).max()), int(np.abs(columns - x).max())) + AROUND
    return Spot(stroke.image, stroke.plane, y, x, 2 * reach, reason)
