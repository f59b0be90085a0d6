"""A fifth of the strokes, whole ones, that a training does not learn before it was judged by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .ancestry import Ancestry
from .folds import FOLDS, Folds, Stroke
from .labels import IGNORE, Targets
from .networks import Network
from .networks.pixels import Pixels
from .patches import Source
from .tiles import forward, tiling

FOLD = 0  # the same in every training, so that models can be compared


class HeldOut:
    """Strokes that are kept back, if every class has enough of them.

    Parameters
    ----------
    targets
        What is known at the beginning; later planes come with `learned`.
    """

    def __init__(self, targets: Targets) -> None:
        self._folds = Folds()
        for (image, plane), target in targets.items():
            self._folds.deal(image, plane, target)
        counts = Counter(stroke.kind for stroke in self._folds.strokes)
        self.is_on = len(counts) > 1 and min(counts.values()) >= FOLDS
        self._before: Ancestry | None = None

    def pass_over(self, before: Ancestry) -> None:
        """Judge by no stroke that the model to train further had learned; they are kept back all the same."""
        self._before = before

    def learned(self, image: int, plane: int, target: np.ndarray) -> np.ndarray:
        """Return the part of what is known about a plane that may be learned now: (Y, X) uint8, 255 elsewhere."""
        self._folds.deal(image, plane, target)
        if not self.is_on:
            return target
        return self._folds.without(FOLD, {(image, plane): target}).get((image, plane), np.full_like(target, IGNORE))

    def judge(self, network: Network | Pixels, sources: Sequence[Source], names: Sequence[str]) -> list[dict[str, Any]]:
        """Return how much of each stroke that is kept back a network is right about, as JSON-ready records.

        Parameters
        ----------
        network
            In evaluation mode.
        sources
            The images.
        names
            Of the images, for the record.
        """
        held = [
            s
            for s in self._folds.of(FOLD)
            if not (self._before and self._before.knows(s, sources[s.image].stack.plane_shape))
        ]
        return [
            {"image": names[s.image], "plane": s.plane, "pixel": int(s.pixels[0]), "class": s.kind, "right": right}
            for s, right in zip(held, rights(network, sources, held), strict=True)
        ]


def rights(network: Network | Pixels, sources: Sequence[Source], strokes: Sequence[Stroke]) -> Iterator[float]:
    """Yield the share of pixels of each stroke that a network in evaluation mode predicts as its class."""
    function, stride = forward(network), network.stride
    margin = tiling(network, stride).margin
    for stroke in strokes:
        source = sources[stroke.image]
        y, x = np.unravel_index(stroke.pixels, source.stack.plane_shape)
        top, left = int(y.min()) // stride * stride, int(x.min()) // stride * stride
        side = max(int(y.max()) - top, int(x.max()) - left) + 1
        window, row, column = source.around(stroke.plane, top, left, side, margin)
        found = function(window).argmax(0)[y - top + row, x - left + column]
        yield round(float((found == stroke.kind).mean()), 4)
