"""Every stroke judged by a classifier that did not learn it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .folds import Folds
from .instant import InstantClassifier, Seen
from .labels import IGNORE, Targets


def judgements(
    seen: Seen, folds: Folds, targets: Targets, prior: np.ndarray, seed: int
) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Yield, a fold at a time, what a classifier makes of strokes that it did not learn.

    Parameters
    ----------
    seen
        Annotated pixels.
    folds
        The strokes, dealt.
    targets
        Where they lie.
    prior
        (K,): how common the classes are, as the classifier expects that learned all strokes.
    seed
        Of the classifiers.

    Yields
    ------
    strokes, shares, sure
        Numbers of S strokes in ``folds.strokes``; (S, K): the share of each one's pixels that is taken for each class;
        (S, K): the probability of each class, the mean over its pixels. A stroke is left out if none of its pixels was
        seen, or if without its fold a class is unknown.
    """
    of, classes = _stroke_of(seen, folds), len(prior)
    dealt = np.array([stroke.fold for stroke in folds.strokes])[of]  # (P,)
    for fold in range(folds.count):
        asked, learned = dealt == fold, _known(seen, folds.without(fold, targets))
        if not asked.any() or set(seen.labels[learned]) != set(seen.labels):
            continue
        classifier = InstantClassifier(seen.only(learned), classes, seed)
        classifier.expect(prior)
        found = classifier(seen.features[asked])  # (P, K)
        numbers = np.unique(of[asked])
        mine = [found[of[asked] == n] for n in numbers]
        counts = np.stack([np.bincount(pixels.argmax(1), minlength=classes) for pixels in mine])  # (S, K)
        yield numbers.tolist(), counts / counts.sum(1, keepdims=True), np.stack([pixels.mean(0) for pixels in mine])


def _stroke_of(seen: Seen, folds: Folds) -> np.ndarray:
    """Return for every pixel that was seen the number of its stroke, (P,)."""
    of = np.zeros(len(seen.labels), int)
    for number, plane in enumerate(seen.planes):
        here = seen.of == number
        strokes = [(n, s.pixels) for n, s in enumerate(folds.strokes) if (s.image, s.plane) == plane]
        pixels = np.concatenate([p for _, p in strokes])
        numbers = np.repeat([n for n, _ in strokes], [len(p) for _, p in strokes])
        order = np.argsort(pixels)
        of[here] = numbers[order][np.searchsorted(pixels[order], seen.pixels[here])]
    return of


def _known(seen: Seen, targets: Targets) -> np.ndarray:
    """Return which of the pixels that were seen targets know, (P,) bool."""
    known = np.zeros(len(seen.labels), bool)
    for number, plane in enumerate(seen.planes):
        if plane in targets:
            here = seen.of == number
            known[here] = targets[plane].ravel()[seen.pixels[here]] != IGNORE
    return known
