"""What a network is told about pixels nobody painted: what a classifier of single pixels expects there.

Strokes say nothing of most of an image. A network that learns them alone may call the rest whatever it likes, and with
few strokes it does. So it begins with what the classifier knows (`networks.pixels`), as with masks too, and is told to
agree with it wherever there are no strokes; where shape and context say more it goes beyond (the classifier as teacher,
as in distillation, Hinton et al. 2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from .instant import Memory, learn, untaught
from .networks.pixels import Pixels
from .patches import Annotations, Source, random_place
from .windows import Windows


class Guide:
    """What the instant classifier expects anywhere, in a form that networks can begin with.

    Parameters
    ----------
    sources
        All images, painted or not.
    annotations
        What is painted.
    classes
        K, background included.
    size
        Side of a window, pixels.
    seed
        Of all random choices.
    windows
        Of the images.
    balanced
        Whether every class counts the same, as is right for strokes, or every pixel, as for masks.
    pixels
        Of a network that is trained further, to be taught; by default new ones.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        annotations: Annotations,
        classes: int,
        size: int,
        seed: int,
        windows: Windows,
        *,
        balanced: bool = True,
        pixels: Pixels | None = None,
    ) -> None:
        self._sources, self._annotations = list(sources), annotations
        self._classes, self._size, self._seed, self._windows = classes, size, seed, windows
        self._balanced = balanced
        self.memory = Memory(pixels) if pixels else untaught(self._sources, classes, seed)
        self.pixels = self.memory.pixels
        self.prior = np.zeros(classes, np.float32)  # how common the classifier takes classes to be, see `instant`
        if annotations.classes:
            self.learn()

    def learn(self) -> None:
        """Learn the annotations anew; whatever holds ``pixels`` knows them then."""
        classifier = learn(
            self._sources, self._annotations, self._classes, self._seed, self.memory, balanced=self._balanced
        )
        self.prior = classifier.prior
        self.pixels.weight.copy_(torch.from_numpy(classifier.weight))
        self.pixels.bias.copy_(torch.from_numpy(classifier.bias))

    @torch.no_grad()
    def draw(self, count: int, margin: int, rng: Generator) -> tuple[Tensor, Tensor]:
        """Return windows with a margin, half of them around strokes, and what is expected inside it.

        (N, C, Y + 2·margin, X + 2·margin) and (N, K, Y, X).
        """
        places = [(image, plane, y - margin, x - margin) for image, plane, y, x in self._places(count, rng)]
        images = self._windows(places, self._size + 2 * margin)
        return images, self.pixels(images, margin).softmax(1)

    def _places(self, count: int, rng: Generator) -> list[tuple[int, int, int, int]]:
        """Return where windows lie, in turn around strokes and anywhere: (image, plane, y, x) of their first pixels."""
        places = []
        for turn in range(count):
            if turn % 2:
                places.append(random_place(self._sources, self._size, rng))
            else:
                image, plane, y, x = self._annotations.draw(rng)
                places.append((image, plane, y - int(rng.integers(self._size)), x - int(rng.integers(self._size))))
        return places
