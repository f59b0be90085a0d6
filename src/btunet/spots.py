"""Where to paint next: places that would tell the most, each with its reason.

Candidates are windows drawn evenly from all planes. Before anything is painted they are ordered so that each is as
unlike the ones before as possible (farthest-first traversal, Gonzalez 1985). Afterwards a candidate counts for how
unsure the prediction is there, how unlike all painted places and earlier suggestions it looks, and how much the
neighbouring planes disagree: ranks among the candidates, so that no unit matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from .filters import REACH, filter_responses
from .folds import Stroke
from .patches import Source, random_place
from .sweep import Function
from .task import Spot
from .windows import Place

CANDIDATES = 200
SIDE = 96  # pixels of a window
CONTEXT = 48  # pixels around it that the prediction sees
SUGGESTED = 20
WORST = 0.25  # the share of a window's pixels, the least sure ones, whose uncertainty counts
NEW, UNSURE, UNLIKE, DISAGREE = (
    "a kind of place not seen before",
    "the prediction is unsure",
    "unlike anything painted",
    "neighbouring planes disagree",
)


class Candidates:
    """Windows of all planes and what they look like; each is looked at once.

    Parameters
    ----------
    sources
        All images.
    seed
        Of the choice of windows.
    """

    def __init__(self, sources: Sequence[Source], seed: int) -> None:
        self._sources = sources
        rng = np.random.default_rng(seed)
        self.places: list[Place] = list(dict.fromkeys(random_place(sources, SIDE, rng) for _ in range(CANDIDATES)))
        self._looks: dict[Place, np.ndarray] = {}

    def look(self, places: Sequence[Place]) -> Iterator[None]:
        """Look at windows that were not looked at yet, one at a time."""
        for place in places:
            if place not in self._looks:
                image, plane, y, x = place
                self._looks[place] = _looks(self._sources[image], plane, y, x)
                yield

    def features(self, places: Sequence[Place]) -> np.ndarray:
        """Return (N, F) of windows that were looked at, each feature with the deviation 1 over all candidates."""
        known = np.stack([self._looks[place] for place in self.places])
        found: np.ndarray = np.stack([self._looks[place] for place in places]) / np.maximum(known.std(0), 1e-6)
        return found


def around(stroke: Stroke, width: int) -> Place:
    """Return the window around the middle of a stroke, on a plane of this width."""
    y, x = divmod(int(stroke.pixels[len(stroke.pixels) // 2]), width)
    return stroke.image, stroke.plane, y - SIDE // 2, x - SIDE // 2


def judge(places: Sequence[Place], sources: Sequence[Source], function: Function) -> Iterator[tuple[float, float]]:
    """Yield how unsure the prediction of each window is, and how much of it neighbouring planes see differently."""

    def predicted(source: Source, plane: int, y: int, x: int) -> np.ndarray:
        window, top, left = source.around(plane, y, x, SIDE, CONTEXT)
        return function(window)[:, top : top + SIDE, left : left + SIDE]  # (K, SIDE, SIDE), or up to the border

    for image, plane, y, x in places:
        source = sources[image]
        found = predicted(source, plane, y, x)
        second, first = np.sort(found, axis=0)[-2:]
        unsure = np.sort((1 - first + second).ravel())[-int(WORST * SIDE * SIDE) :].mean()
        mask, neighbour = found.argmax(0), plane + 1 if plane + 1 < source.stack.planes else plane - 1
        has_neighbour = source.stack.planes > 1 and "Z" in source.stack.axes
        other = predicted(source, neighbour, y, x).argmax(0) if has_neighbour else mask
        yield float(unsure), float((mask != other).mean())


def suggest(places: Sequence[Place], looks: np.ndarray, painted: np.ndarray, judgements: np.ndarray) -> list[Spot]:
    """Return the best places in their order.

    Parameters
    ----------
    places
        Candidates, N.
    looks
        (N, F), what they look like.
    painted
        (P, F), what painted windows look like; empty before anything is painted.
    judgements
        (N, 2), how unsure, and how much neighbouring planes disagree; ignored before anything is painted.
    """
    cold = len(painted) == 0
    seen = painted if len(painted) else looks[[np.linalg.norm(looks - np.median(looks, 0), axis=1).argmin()]]
    distance = np.linalg.norm(looks[:, None] - seen, axis=2).min(1)  # (N,)
    unsure, differ = (_ranks(column) for column in judgements.T)
    free, spots = np.ones(len(places), bool), list[Spot]()
    while free.any() and len(spots) < SUGGESTED:
        unlike = _ranks(distance)
        total = distance if cold else unsure + unlike + differ
        best = int(np.where(free, total, -np.inf).argmax())
        reasons = (NEW,) if cold else (UNSURE, UNLIKE, DISAGREE)
        why = reasons[0 if cold else int(np.argmax([unsure[best], unlike[best], differ[best]]))]
        image, plane, y, x = places[best]
        spots.append(Spot(image, plane, y + SIDE // 2, x + SIDE // 2, SIDE, why))
        free &= np.array([p[:2] != (image, plane) or abs(p[2] - y) + abs(p[3] - x) > SIDE for p in places])
        distance = np.minimum(distance, np.linalg.norm(looks - looks[best], axis=1))
    return spots


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return where each value lies among all, 0..1; what is the same everywhere has the rank 0."""
    order = np.searchsorted(np.sort(values), values, side="left")
    return np.asarray(order / max(1, len(values) - 1))


def _looks(source: Source, plane: int, y: int, x: int) -> np.ndarray:
    """Return what a window looks like: mean and deviation of its filter responses, (2 · F,)."""
    window = source.patch(plane, y - REACH, x - REACH, SIDE + 2 * REACH)  # (C, SIDE + 2·REACH, SIDE + 2·REACH)
    inside = slice(REACH, REACH + SIDE)
    responses = filter_responses(torch.from_numpy(window)[None])[0, :, inside, inside].flatten(1).numpy()
    return np.concatenate([responses.mean(1), responses.std(1)])
