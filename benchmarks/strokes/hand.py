"""One person's hand on one plane: strokes, and an account of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from scipy.ndimage import binary_dilation, find_objects
from skimage.morphology import skeletonize

from btunet.annotator import paint
from btunet.labels import IGNORE

TRIES = 3  # where a stroke may begin: a person sees where there is room for one


@dataclass
class Hand:
    """Paints on one plane: ``values`` are strokes as `btunet` knows them, ``length`` is that of their centre lines."""

    shape: tuple[int, int]
    rng: Generator
    strokes: int = 0
    length: int = 0
    values: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.values = np.zeros(self.shape, np.uint8)

    def stroke(self, region: np.ndarray, k: int) -> None:
        """Paint one stroke in class ``k`` inside a (Y, X) region, if there is any."""
        box = find_objects(region.astype(np.uint8))
        if not box:
            return
        inside = np.where(region[box[0]], k, IGNORE)
        line = max((paint(inside, 1, self.rng) > 0 for _ in range(TRIES)), key=np.count_nonzero)
        self.values[box[0]][line] = k + 1
        self.strokes += 1
        self.length += int(skeletonize(line).sum())


def outline(mask: np.ndarray) -> int:
    """Return how many pixels of objects touch another class."""
    changes = np.zeros(mask.shape, bool)
    changes[1:] |= mask[1:] != mask[:-1]
    changes[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    return int((binary_dilation(changes, np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0]])) & (mask > 0)).sum())
