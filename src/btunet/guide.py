"""What a network is told about pixels nobody painted: what a classifier of single pixels expects there.

Strokes say nothing of most of an image. A network that learns them alone may call the rest whatever it likes, and with
few strokes it does. So it begins with what the classifier knows (`networks.pixels`) and is told to agree with it
wherever there are no strokes; where shape and context say more it goes beyond (the classifier as teacher, as in
distillation, Hinton et al. 2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from .device import send
from .instant import Memory, learn
from .networks.pixels import Pixels
from .optimise import Trainer
from .patches import Annotations, Source, random_place
from .recipes import Descent
from .windows import Windows

SHOWN = 12  # windows that the instant classifier teaches with
LESSONS = 100  # steps of teaching
LESSON = 2048  # pixels per step
DESCENT = Descent(algorithm="adamw", rate=1e-2)


class Guide:
    """A small perceptron that was taught by the instant classifier; it answers many times faster, and as well.

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
    """

    def __init__(
        self,
        sources: Sequence[Source],
        annotations: Annotations,
        classes: int,
        size: int,
        seed: int,
        windows: Windows,
    ) -> None:
        self._sources, self._annotations = list(sources), annotations
        self._classes, self._size, self._seed, self._windows = classes, size, seed, windows
        self.memory = Memory()
        self.pixels = self._untaught().requires_grad_(False)
        self.learn()

    def learn(self) -> None:
        """Learn the strokes anew; whatever holds ``pixels`` knows them then."""
        rng = np.random.default_rng(self._seed)
        classifier = learn(self._sources, self._annotations, self._classes, self._seed, self.memory)
        places = self._places(SHOWN, rng)
        expected = [classifier.window(self._sources[i], plane, y, x, self._size) for i, plane, y, x in places]
        images = self._windows(places, self._size)
        pupil = self._untaught()
        teach(pupil, images, send(np.stack(expected), self._windows.device), self._seed)
        self.pixels.load_state_dict(pupil.state_dict())

    def _untaught(self) -> Pixels:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            return Pixels(self._sources[0].stack.channels, self._classes).to(self._windows.device)

    @torch.no_grad()
    def draw(self, count: int, rng: Generator) -> tuple[Tensor, Tensor]:
        """Return windows, half of them around strokes, and what is expected there: (N, C, Y, X) and (N, K, Y, X)."""
        images = self._windows(self._places(count, rng), self._size)
        return images, self.pixels(images).softmax(1)

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


def teach(pixels: Pixels, images: Tensor, expected: Tensor, seed: int) -> None:
    """Let a part for networks learn what a classifier expects, by its probabilities.

    Parameters
    ----------
    pixels
        The part.
    images, expected
        (N, C, Y, X) and (N, K, Y, X), on its device.
    seed
        Of the choice of pixels.
    """
    pixels.get_used_to(images)
    responses = pixels.responses(images).movedim(1, -1).flatten(0, 2)  # (P, F)
    truth = expected.movedim(1, -1).flatten(0, 2)  # (P, K)
    generator = torch.Generator().manual_seed(seed)
    trainer = Trainer(pixels.layers, DESCENT)
    for lesson in range(LESSONS):
        chosen = torch.randint(len(truth), (LESSON,), generator=generator).to(truth.device)
        logits = pixels.layers(responses[chosen].T[None, ..., None])[0, :, :, 0].T  # (LESSON, K)
        trainer.step(F.cross_entropy(logits, truth[chosen]), lesson / LESSONS)
