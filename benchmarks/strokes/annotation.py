"""A simulated person: strokes to begin with, strokes where a prediction is wrong, and how much was painted.

Every stroke is one of `btunet.annotator`: a wobbly line of 15 to 60 pixels with a brush of radius 2, inside one class,
never across its border: the longest of three that begin at random.

- *To begin*: in every object class, strokes that start well inside any of its parts. In the background, a person paints
  beside the objects as well as far away, so strokes alternate: the first, third, … within `NEAR` pixels of an object,
  the second, fourth, … further away (anywhere in the background where there is no such place).
- *To correct*, after RootPainter's simulated user: wrong pixels are gathered by true class into regions; rims too thin
  to hit with a brush are passed over. The largest region gets a stroke in its true class and counts half afterwards;
  the largest then gets the next, so a huge error gets several strokes and many errors get one each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from btunet.labels import IGNORE
from btunet.studies.plan import Plane, planes_of

from .hand import Hand, outline
from .sets import ImageSet, Masks

NEAR = 20.0  # pixels from an object that count as beside it
RIM = 1.0  # pixels at the border of a wrong region that nobody would aim at


@dataclass(frozen=True)
class Painting:
    """What is annotated and what it cost.

    ``labels`` are strokes (0 = not annotated, 1 = background, 2.. = classes) or, when ``dense``, masks. ``length`` is
    that of the strokes' centre lines, or of the outlines of the masks, pixels; ``pixels`` counts what is annotated.
    """

    labels: Masks
    dense: bool = False
    strokes: int = 0
    length: int = 0

    @property
    def pixels(self) -> int:
        """Annotated pixels."""
        unknown = IGNORE if self.dense else 0
        return sum(int((values != unknown).sum()) for values in self.labels.values())


def begin(images: ImageSet, budget: str, seed: int) -> Painting:
    """Return what a person annotates first.

    Parameters
    ----------
    images
        The set.
    budget
        ``4x5``: 5 strokes per class on each of 4 planes; ``5``: dense masks of 5 planes.
    seed
        Chooses planes and strokes; a larger budget of one seed holds the planes of a smaller one.
    """
    count, strokes = planes_of(budget, len(images.masks))
    planes = showing_all(images, seed)[:count]
    if not strokes:
        masks = {plane: images.masks[plane] for plane in planes}
        return Painting(masks, dense=True, length=sum(outline(mask) for mask in masks.values()))
    return _painted(
        {plane: images.masks[plane] for plane in planes}, seed, lambda mask, hand: first(mask, strokes, hand)
    )


def showing_all(images: ImageSet, seed: int) -> list[Plane]:
    """Return the planes to learn from in random order, first those that show a class not seen before."""
    planes = sorted(images.masks)
    order = [planes[i] for i in np.random.default_rng([seed, 0]).permutation(len(planes))]
    shown = {plane: frozenset(np.unique(images.masks[plane]).tolist()) - {IGNORE} for plane in order}
    seen: set[int] = set()
    early: list[Plane] = []
    while news := max((len(shown[p] - seen) for p in order), default=0):
        early.append(next(p for p in order if len(shown[p] - seen) == news))
        seen |= shown[early[-1]]
    return [*early, *(p for p in order if p not in early)]


def first(mask: np.ndarray, per_class: int, hand: Hand) -> None:
    """Paint the first strokes on a (Y, X) mask."""
    background = mask == 0
    objects = ~background & (mask != IGNORE)
    near = background & (distance_transform_edt(~objects) <= NEAR) if objects.any() else background
    for i in range(per_class):
        part = near if i % 2 == 0 else background & ~near
        hand.stroke(part if part.any() else background, 0)
    for k in (int(v) for v in np.unique(mask) if v not in (0, IGNORE)):
        for _ in range(per_class):
            hand.stroke(mask == k, k)


def opened(painting: Painting, images: ImageSet, seed: int, count: int) -> Painting:
    """Return the painting with the next planes opened, on which nothing is painted yet."""
    fresh = [plane for plane in showing_all(images, seed) if plane not in painting.labels][:count]
    empty = {plane: np.zeros_like(images.masks[plane]) for plane in fresh}
    return replace(painting, labels={**painting.labels, **empty})


def correct(
    painting: Painting, predictions: Masks, images: ImageSet, *, strokes: int, seed: int, turn: int
) -> Painting:
    """Return the painting after a person added strokes where the predictions of its planes are wrong.

    Parameters
    ----------
    painting
        What is annotated so far.
    predictions
        For each of its planes, (Y, X) classes.
    images
        The set.
    strokes
        To add per plane, at most: what is right needs none.
    seed, turn
        Choose the hand's movements.
    """
    if painting.dense:
        raise ValueError("dense masks hold no mistakes to correct; choose a budget of strokes")
    masks = {plane: images.masks[plane] for plane in painting.labels}
    wrong = {plane: np.stack([masks[plane], predictions[plane]]) for plane in masks}
    added = _painted(wrong, seed, lambda pair, hand: mend(pair[0], pair[1], strokes, hand), turn)
    labels = {
        plane: np.where(added.labels[plane] > 0, added.labels[plane], values)
        for plane, values in painting.labels.items()
    }
    return replace(
        painting, labels=labels, strokes=painting.strokes + added.strokes, length=painting.length + added.length
    )


def mend(mask: np.ndarray, prediction: np.ndarray, strokes: int, hand: Hand) -> None:
    """Paint strokes where a (Y, X) prediction is wrong, in the true class, the largest mistakes first."""
    regions: list[tuple[float, int, np.ndarray]] = []  # weight, class, (Y, X) bool
    for k in (int(v) for v in np.unique(mask) if v != IGNORE):
        wrong = (mask == k) & (prediction != k)
        core = distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1] > RIM
        parts, count = label(core)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        for part in np.argsort(-sizes)[:strokes]:
            regions.append((float(sizes[part]), k, parts == part + 1))
    for _ in range(strokes if regions else 0):
        largest = max(range(len(regions)), key=lambda i: regions[i][0])
        weight, k, region = regions[largest]
        hand.stroke(region, k)
        regions[largest] = weight / 2, k, region


def _painted(
    planes: Mapping[Plane, np.ndarray], seed: int, how: Callable[[np.ndarray, Hand], None], turn: int = 0
) -> Painting:
    """Return what a hand paints on each plane; what it does on one does not depend on the others."""
    hands = {}
    for plane, given in planes.items():
        hands[plane] = Hand(given.shape[-2:], np.random.default_rng([seed, 1, turn, *plane]))
        how(given, hands[plane])
    return Painting(
        {plane: hand.values for plane, hand in hands.items()},
        strokes=sum(hand.strokes for hand in hands.values()),
        length=sum(hand.length for hand in hands.values()),
    )
