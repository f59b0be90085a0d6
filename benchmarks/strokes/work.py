"""What an arm is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from btunet.labels import IGNORE, target_of_strokes
from btunet.studies.plan import Plane

from .features import Features
from .sets import ImageSet, Masks


@dataclass(frozen=True)
class Work:
    """Images and annotations to learn from, and how long.

    ``images.stacks`` are all training images, annotated or not; no arm may look at ``images.masks``, the truth.
    """

    images: ImageSet
    labels: Masks  # (image, plane) → strokes, or masks if ``dense``
    dense: bool = False
    seconds: float = 60.0  # to train, used when ``steps`` is 0
    steps: int = 0
    seed: int = 0
    threads: int = 1
    cache: Path | None = None  # a folder for what all runs of a set share, such as encoders
    features: Features = field(default_factory=Features)

    @property
    def targets(self) -> dict[Plane, np.ndarray]:
        """What is known: (image, plane) → (Y, X) classes, 255 where nothing is."""
        return {plane: v if self.dense else target_of_strokes(v) for plane, v in self.labels.items()}

    def pixels(self, most: int, *, raw: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return features (n, F) and classes (n,) of annotated pixels, at most about so many, drawn evenly."""
        rng, targets = np.random.default_rng([self.seed, 2]), self.targets
        share = min(1.0, most / sum(int((t != IGNORE).sum()) for t in targets.values()))
        features, classes = [], []
        for (image, plane), target in targets.items():
            chosen = (target != IGNORE) & (rng.random(target.shape) < share if share < 1 else True)
            features.append(self.features(self.images.stacks[image], plane, raw=raw)[chosen])
            classes.append(target[chosen])
        return np.concatenate(features), np.concatenate(classes)
