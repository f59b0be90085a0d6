"""What the views of pre-training look like, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch

from .images import Stack, as_stack
from .normalise import Normalisation
from .optimise import seeded
from .patches import Source
from .recipes import PRETRAINING
from .settings import PretrainSettings, ViewSettings
from .task import Progress, Task
from .twins import Twins
from .views import as_told

PAIRS = 6
RANGE = (0.5, 99.5)  # per cent of the values that black and white lie at


def preview_views(
    images: Sequence[Stack | np.ndarray], settings: PretrainSettings | None = None
) -> Task[dict[ViewSettings, np.ndarray]]:
    """Return six pairs of views as pre-training makes them, for every choice of what is to be ignored.

    All choices show the same places with the same luck, so that only what is chosen differs between them.

    Parameters
    ----------
    images
        Stacks or arrays of one number of channels.
    settings
        Recipe, patch size and seed are those of the training.

    Yields
    ------
    Progress
        Once.

    Returns
    -------
    dict
        What is ignored → (6, 2, Y, X, 3) uint8: pairs of views as they can be shown, of one brightness scale. Images
        with other than 3 channels show their first.

    Examples
    --------
    >>> import numpy as np
    >>> from btunet import ViewSettings, preview_views, run
    >>> image = np.random.default_rng(0).random((96, 96))
    >>> run(preview_views([image]))[ViewSettings()].shape
    (6, 2, 64, 64, 3)
    """
    settings = settings or PretrainSettings()
    stacks = [as_stack(image, name=f"image {i}") for i, image in enumerate(images)]
    yield Progress("reading images", 0, 0)
    sources = [Source(stack, Normalisation()) for stack in stacks]
    choices = [
        ViewSettings(ignore_brightness=b, ignore_orientation=o, ignore_size=s)
        for b, o, s in product([True, False], repeat=3)
    ]
    pairs = {choice: _pairs(sources, settings, choice) for choice in choices}
    low, high = np.percentile(pairs[ViewSettings()], RANGE)
    span = max(high - low, 1e-6)
    return {choice: ((views - low) / span * 255).clip(0, 255).astype(np.uint8) for choice, views in pairs.items()}


def _pairs(sources: Sequence[Source], settings: PretrainSettings, choice: ViewSettings) -> np.ndarray:
    """Return pairs of views, (6, 2, Y, X, 3) float32."""
    recipe = as_told(PRETRAINING[settings.recipe], choice)
    twins = Twins(sources, torch.device("cpu"), settings.patch_size, recipe)
    generator = torch.Generator().manual_seed(settings.seed)
    with seeded(generator):
        views = twins(PAIRS, np.random.default_rng(settings.seed), generator)
    shown = torch.stack(views, 1).movedim(2, -1)  # (6, 2, Y, X, C)
    return (shown if shown.shape[-1] == 3 else shown[..., :1].expand(*shown.shape[:-1], 3)).numpy()
