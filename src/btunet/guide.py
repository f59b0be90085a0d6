"""What a network is told about pixels nobody painted: what the instant classifier expects there.

Strokes say nothing of most of an image. A network that learns them alone may call the rest whatever it likes, and with
few strokes it does; told to agree with the classifier wherever there are none, it starts from what a random forest
knows and goes beyond it where shape and context say more (the classifier as teacher, as in distillation, Hinton et al.
2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from .instant import InstantClassifier, learn
from .patches import Annotations, Source, random_place

WINDOWS = 64  # kept at most; memory and the time to make them are bounded, whatever the size of the images
FRESH = 4  # made per step until there are as many


class Guide:
    """Windows of all planes, half of them around strokes, with what the classifier expects there."""

    def __init__(self, sources: Sequence[Source], annotations: Annotations, classes: int, size: int, seed: int) -> None:
        self._sources, self._annotations = list(sources), annotations
        self._classes, self._size, self._seed = classes, size, seed
        self.learn()

    def learn(self) -> None:
        """Learn the strokes anew and forget what was expected before."""
        self.classifier: InstantClassifier = learn(self._sources, self._annotations, self._classes, self._seed)
        self._windows: list[tuple[np.ndarray, np.ndarray]] = []

    def draw(self, count: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return windows and what is expected there: (count, C, size, size) and (count, K, size, size) float32."""
        missing = WINDOWS - len(self._windows)
        for _ in range(min(missing, max(FRESH, count - len(self._windows)))):
            self._windows.append(self._window(rng))
        chosen = [self._windows[i] for i in rng.choice(len(self._windows), count, replace=count > len(self._windows))]
        images, expected = (np.stack(parts) for parts in zip(*chosen, strict=True))
        return images, expected.astype(np.float32)

    def _window(self, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return one more window, (C, size, size), and what is expected there, (K, size, size) float16."""
        size = self._size
        if len(self._windows) % 2:
            place = random_place(self._sources, size, rng)
        else:
            image, plane, y, x = self._annotations.draw(rng)
            place = image, plane, y - int(rng.integers(size)), x - int(rng.integers(size))
        source = self._sources[place[0]]
        return source.patch(*place[1:], size), self.classifier.window(source, *place[1:], size).astype(np.float16)
