"""Barlow Twins pre-training of an encoder on unlabelled images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import Checkpoint
from .images import Stack, as_stack, check_contrast
from .model import Model, beginning
from .patches import Source
from .ranks import joined
from .settings import PretrainSettings, ViewSettings
from .task import Progress, Reply, Steer, Task
from .twin_learner import TwinLearner, sizes_of

CHECKPOINT_EVERY = 60.0  # seconds from one to the next


def pretrain(
    images: Sequence[Stack | np.ndarray],
    settings: PretrainSettings | None = None,
    *,
    views: ViewSettings | None = None,
    start_from: Model | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    look_at: tuple[int, int] | None = None,
) -> Task[Model]:
    """Pre-train an encoder so that two views of one patch look the same to it (Zbontar et al. 2021, BT-Unet).

    Patches come from all planes of all images. What is compared, and how, is the recipe's (`recipes`); by default the
    embeddings have half as many features D as there are patches N, so that the correlation matrix can have full rank.
    The projector is thrown away at the end.

    Started by ``torchrun`` as several processes, they share every batch; the first one yields, hears the replies and
    writes the checkpoint. All return the same encoder.

    Parameters
    ----------
    images
        Stacks or arrays of one number of channels.
    settings
        How long, how much at once, which seed.
    views
        What the network is taught to ignore; by default all that views can differ in.
    start_from
        A model whose encoder is trained further.
    checkpoint
        File that keeps everything needed to go on: replaced once a minute and when the training is stopped. It stays
        where it is; delete it when the result is safe. If it cannot be written, ``Progress.stage`` says so, and the
        training goes on.
    resume
        Go on from the checkpoint, if there is one, to the result of a training that was never interrupted. Minutes that
        were used count.
    look_at
        (image, plane) shown to the user: yielded in ``Progress.learned`` as the encoder sees it, as often as 2 % of its
        time allow. What is learned does not depend on it.

    Yields
    ------
    Progress
        With ``loss``, its parts ``on diagonal`` and ``off diagonal``, and ``rank``, the effective rank of the
        bottleneck's features (1 = collapsed); in ``health`` what they mean. The reply ``True`` stops and keeps what was
        learned; a `Steer` moves the look.

    Returns
    -------
    Model
        The encoder, without classes.

    Raises
    ------
    ValueError
        If the images are constant, hold NaN, or differ in channels (from each other or from ``start_from``); if the
        checkpoint is of a training with other settings, images or weights to start from.
    BtunetError
        If the checkpoint cannot be read.

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
    if resume and checkpoint is None:
        raise ValueError("there is nothing to resume without a checkpoint; say which file it is")
    stacks = [as_stack(image, name=f"image {i}") for i, image in enumerate(images)]
    with joined() as ranks:
        ranks.share(settings.batch)
        reply: Reply = None
        if ranks.rank == 0:
            reply = yield Progress("reading images", 0, 0)
        is_stopped = reply is True
        check_contrast(stacks)
        model = beginning(settings.network, stacks, start_from)
        found = Checkpoint.load(checkpoint) if resume and checkpoint and checkpoint.exists() else None
        sizes = None
        if found and checkpoint:
            found.check(checkpoint, settings.as_dict())
            sizes = sizes_of(found, checkpoint, settings)
        sources = [Source(s, model.normalisation) for s in stacks]
        learner = TwinLearner(model, sources, settings, ranks, sizes, views)
        if found and checkpoint:
            learner.resume(found, checkpoint)
        learner.check_same()
        clock = learner.clock
        next_checkpoint = time.monotonic() + CHECKPOINT_EVERY
        while not ranks.first(clock.done):
            learner.step()
            if ranks.rank == 0:
                if isinstance(reply, Steer):
                    look_at = reply.look_at or look_at
                reply = yield learner.progress(look_at)
                is_stopped = is_stopped or reply is True
                if checkpoint and (is_stopped or time.monotonic() >= next_checkpoint):
                    learner.keep(checkpoint)
                    next_checkpoint = time.monotonic() + CHECKPOINT_EVERY
            if ranks.first(is_stopped):
                break
    state = {f"encoder.{key}": value for key, value in learner.encoder.state_dict().items()}
    bare = Model(model.network, model.channels, (), {}, model.normalisation, model.history)
    record: dict[str, Any] = {
        "steps": clock.step,
        "seconds": round(clock.seconds, 1),
        "images": [s.name for s in stacks],
    }
    record |= learner.batch.record | ({"processes": ranks.size} if ranks.size > 1 else {})
    record |= {"views": learner.views.as_dict()} if learner.views != ViewSettings() else {}
    return bare.trained("pretrain", state, settings=settings.as_dict(), final=learner.values, **record)
