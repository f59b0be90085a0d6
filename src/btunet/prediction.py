"""Masks and probabilities of whole stacks, plane by plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .device import pick_device
from .images import Stack, as_stack
from .model import Model, check_channels
from .optimise import explained
from .patches import Source
from .settings import PredictSettings
from .task import PredictedPlane, Progress, Steer, Task
from .tiles import predict_plane


def predict(
    model: Model,
    images: Sequence[Stack | np.ndarray],
    settings: PredictSettings | None = None,
    *,
    look_at: tuple[int, int] = (0, 0),
) -> Task[list[np.ndarray]]:
    """Predict the class of every pixel of every plane.

    Parameters
    ----------
    model
        With classes.
    images
        Stacks or arrays with the model's channels, any size.
    settings
        Tile size.
    look_at
        (image, plane) to predict first; a `Steer` reply names the next one.

    Yields
    ------
    Progress
        With each plane as it is done. The reply ``True`` stops; planes not reached stay 0 (background).

    Returns
    -------
    list of ndarray
        One mask per image on its spatial axes: uint8, 0 = background, 1..K = classes.

    Raises
    ------
    ValueError
        If the model has no classes, or an image has other channels than the model.

    Examples
    --------
    >>> from btunet import Model, predict, read, run
    >>> masks = run(predict(Model.load("cells.safetensors"), [read("embryo.tif")]))  # doctest: +SKIP
    """
    stacks = [as_stack(image, name=f"image {i}") for i, image in enumerate(images)]
    masks = [np.zeros((s.planes, *s.plane_shape), np.uint8) for s in stacks]  # (planes, Y, X)

    def keep(done: PredictedPlane, _: np.ndarray) -> None:
        masks[done.image][done.plane] = done.mask

    yield from _every_plane(model, stacks, settings or PredictSettings(), look_at, keep)
    return [mask.reshape(s.spatial_shape) for mask, s in zip(masks, stacks, strict=True)]


def predict_probabilities(
    model: Model, images: Sequence[Stack | np.ndarray], settings: PredictSettings | None = None
) -> Task[list[np.ndarray]]:
    """Predict the probability of every class; everything else as `predict`.

    Returns
    -------
    list of ndarray
        One array per image: float32, its plane axes followed by (K, Y, X), background first, sums to 1 over K.
    """
    stacks = [as_stack(image, name=f"image {i}") for i, image in enumerate(images)]
    found = [np.zeros((s.planes, len(model.classes), *s.plane_shape), np.float32) for s in stacks]

    def keep(done: PredictedPlane, probabilities: np.ndarray) -> None:
        found[done.image][done.plane] = probabilities

    yield from _every_plane(model, stacks, settings or PredictSettings(), (0, 0), keep)
    return [f.reshape(*s.stack_shape, *f.shape[1:]) for f, s in zip(found, stacks, strict=True)]


def _every_plane(
    model: Model,
    stacks: Sequence[Stack],
    settings: PredictSettings,
    look_at: tuple[int, int],
    keep: Callable[[PredictedPlane, np.ndarray], None],
) -> Task[None]:
    """Predict all planes, the one that is looked at first, and hand each to ``keep``."""
    if model.is_encoder:
        raise ValueError("this model is a pre-trained encoder without classes; fine-tune it first")
    check_channels(model, stacks)
    network = model.build().to(pick_device()).eval()
    sources: dict[int, Source] = {}
    left = dict.fromkeys((i, plane) for i, s in enumerate(stacks) for plane in range(s.planes))
    total = len(left)
    while left:
        image, plane = look_at if look_at in left else next(iter(left))
        del left[image, plane]
        if image not in sources:
            sources[image] = Source(stacks[image], model.normalisation)
        with explained("the tile size"):
            probabilities = predict_plane(network, sources[image].plane(plane), settings.tile)  # (K, Y, X)
        done = PredictedPlane(image, plane, probabilities.argmax(0).astype(np.uint8))
        keep(done, probabilities)
        reply = yield Progress("predicting", total - len(left), total, planes=(done,))
        if reply is True:
            return
        if isinstance(reply, Steer) and reply.look_at:
            look_at = reply.look_at
