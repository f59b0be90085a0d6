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

from .featuremaps import BORDER, FeatureMaps
from .instant import Memory, learn, untaught
from .networks.pixels import Pixels
from .patches import Annotations, Source, random_place
from .windows import Place


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
        *,
        balanced: bool = True,
        pixels: Pixels | None = None,
    ) -> None:
        self._sources, self._annotations = list(sources), annotations
        self._classes, self._size, self._seed = classes, size, seed
        self._balanced = balanced
        self.memory = Memory(pixels) if pixels else untaught(self._sources, classes, seed)
        self.pixels = self.memory.pixels
        self.maps = FeatureMaps(self.pixels, self._sources, annotations)
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
    def expect(self, places: Sequence[Place], matrices: Tensor) -> Tensor:
        """Return what is expected where matrices (N, 2, 3) look around windows: (N, K, Y, X)."""
        features = self.maps(places, self._size, matrices)
        return self.pixels.regression(features, BORDER)[..., : self._size, : self._size].softmax(1)

    def places(self, count: int, rng: Generator) -> list[Place]:
        """Return where windows lie, in turn around strokes and anywhere: (image, plane, y, x) of their first pixels."""
        places = []
        for turn in range(count):
            if turn % 2:
                places.append(random_place(self._sources, self._size, rng))
            else:
                image, plane, y, x = self._annotations.draw(rng)
                places.append((image, plane, y - int(rng.integers(self._size)), x - int(rng.integers(self._size))))
        return places
