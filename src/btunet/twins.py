"""Pairs of views: patches from anywhere in many images, each seen twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .patches import Source, random_place
from .ranks import ALONE, Ranks
from .recipes import PretrainRecipe
from .views import twin_views
from .windows import Windows


class Twins:
    """Draws pairs of views: ``twins(batch, rng, generator)`` are two tensors (N, C, size, size).

    Parameters
    ----------
    sources
        The images.
    device
        Where views are wanted.
    size
        Side of a view, pixels.
    recipe
        In what the views of a pair differ.
    ranks
        Those that share a batch; each draws its own part.
    """

    def __init__(
        self, sources: Sequence[Source], device: torch.device, size: int, recipe: PretrainRecipe, ranks: Ranks = ALONE
    ) -> None:
        self._sources, self._size, self._recipe, self._ranks = sources, size, recipe, ranks
        self.windows = Windows(sources, device)

    def __call__(self, batch: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return this rank's part of a batch of pairs; numpy's generator chooses places, torch's the views."""
        size, recipe, ranks = self._size, self._recipe, self._ranks
        region = round(size * recipe.region)
        places = [random_place(self._sources, region, rng) for _ in range(batch)]
        patches = self.windows(places[ranks.share(batch)], region)
        return twin_views(patches, size, recipe.crop, recipe.light, generator, ranks, recipe.turned)
