"""Barlow Twins pre-training of an encoder on unlabelled images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from .barlow import Projector, barlow_twins, effective_rank
from .device import pick_device, precision
from .images import Stack, as_stack, check_contrast
from .model import Model, beginning
from .optimise import Clock, Trainer, explained, seeded
from .patches import Source, random_patches
from .recipes import PRETRAINING
from .settings import PretrainSettings
from .task import Progress, Task
from .views import twin_views


def pretrain(
    images: Sequence[Stack | np.ndarray],
    settings: PretrainSettings | None = None,
    *,
    start_from: Model | None = None,
) -> Task[Model]:
    """Pre-train an encoder so that two views of one patch look the same to it (Zbontar et al. 2021, BT-Unet).

    Patches come from all planes of all images. What is compared, and how, is the recipe's (`recipes`); by default the
    embeddings have half as many features D as there are patches N, so that the correlation matrix can have full rank.
    The projector is thrown away at the end.

    Parameters
    ----------
    images
        Stacks or arrays of one number of channels.
    settings
        How long, how much at once, which seed.
    start_from
        A model whose encoder is trained further.

    Yields
    ------
    Progress
        With ``loss``, its parts ``on diagonal`` and ``off diagonal``, and ``rank``, the effective rank of the
        bottleneck's features (1 = collapsed). The reply ``True`` stops and keeps what was learned.

    Returns
    -------
    Model
        The encoder, without classes.

    Raises
    ------
    ValueError
        If the images are constant, hold NaN, or differ in channels (from each other or from ``start_from``).

    Examples
    --------
    >>> import numpy as np
    >>> from btunet import PretrainSettings, pretrain, run
    >>> images = [np.random.default_rng(0).random((4, 64, 64))]
    >>> encoder = run(pretrain(images, PretrainSettings(steps=1, batch=4, patch_size=32)))
    >>> encoder.is_encoder
    True
    """
    settings = settings or PretrainSettings()
    stacks = [as_stack(image, name=f"image {i}") for i, image in enumerate(images)]
    is_stopped = (yield Progress("reading images", 0, 0)) is True
    check_contrast(stacks)
    model = beginning(settings.network, stacks, start_from)
    sources = [Source(s, model.normalisation) for s in stacks]

    device = pick_device()
    rng, generator = np.random.default_rng(settings.seed), torch.Generator().manual_seed(settings.seed)
    network = model.build(classes=len(model.classes) or 2, seed=settings.seed)
    encoder = network.encoder.to(device).train()
    recipe = PRETRAINING[settings.recipe]
    dimensions = recipe.dimensions or settings.batch // 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        projector = Projector(network.widths[-recipe.levels :], recipe.hidden, dimensions).to(device).train()
    trainer = Trainer(nn.ModuleList([encoder, projector]), recipe.descent, settings.learning_rate)
    clock = Clock(settings.steps, settings.minutes)
    while not clock.done:
        with explained("batch or patch size"), seeded(generator):
            region = round(settings.patch_size * recipe.region)
            patches = torch.from_numpy(random_patches(sources, settings.batch, region, rng)).to(device)
            views = twin_views(patches, settings.patch_size, recipe.crop, recipe.light, generator)
            with precision(device):
                features = encoder(torch.cat(views))  # one pass: batch statistics over both views
            z_a, z_b = projector(features).chunk(2)  # (N, D) each
            on_diagonal, off_diagonal = barlow_twins(z_a, z_b, recipe.redundancy or 1 / dimensions)
            loss = on_diagonal + off_diagonal
            trainer.step(loss, clock.fraction)
        clock.step += 1
        values = {
            "loss": loss.item(),
            "on diagonal": on_diagonal.item(),
            "off diagonal": off_diagonal.item(),
            "rank": effective_rank(features[-1].detach().mean((-2, -1))),
        }
        reply = yield Progress("pre-training", clock.step, clock.total, values)
        if is_stopped or reply is True:
            break
    state = {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
    bare = Model(model.network, model.channels, (), {}, model.normalisation, model.history)
    record = {"steps": clock.step, "seconds": round(clock.seconds, 1), "images": [s.name for s in stacks]}
    return bare.trained("pretrain", state, settings=settings.as_dict(), final=values, **record)
