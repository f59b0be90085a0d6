"""Masks and probabilities of whole stacks, plane by plane: as arrays; `streaming` writes them to files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .images import Stack, as_stack
from .model import Model, check_channels
from .patches import Source
from .settings import PredictSettings
from .task import PredictedPlane, Progress, Steer, Task
from .tiles import Predictor, doubt, most_likely

Keep = Callable[[int, int, slice, slice, np.ndarray], None]  # image, plane, y, x, probabilities (K, y, x)


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

    def keep(image: int, plane: int, y: slice, x: slice, found: np.ndarray) -> None:
        masks[image][plane, y, x] = most_likely(found)

    yield from _every_plane(model, stacks, settings, look_at, keep, masks)
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
    masks = [np.zeros((s.planes, *s.plane_shape), np.uint8) for s in stacks]  # (planes, Y, X)

    def keep(image: int, plane: int, y: slice, x: slice, values: np.ndarray) -> None:
        found[image][plane, :, y, x] = values
        masks[image][plane, y, x] = most_likely(values)

    yield from _every_plane(model, stacks, settings, (0, 0), keep, masks)
    return [f.reshape(*s.stack_shape, *f.shape[1:]) for f, s in zip(found, stacks, strict=True)]


def _every_plane(
    model: Model,
    stacks: Sequence[Stack],
    settings: PredictSettings | None,
    look_at: tuple[int, int],
    keep: Keep,
    masks: Sequence[np.ndarray],
) -> Task[None]:
    """Predict all planes, the one that is looked at first, and hand what is found to ``keep``, which fills masks."""
    predictor = Predictor(model, settings or PredictSettings())
    check_channels(model, stacks)
    sources: dict[int, Source] = {}
    left = dict.fromkeys((i, plane) for i, s in enumerate(stacks) for plane in range(s.planes))
    total = len(left)
    while left:
        image, plane = look_at if look_at in left else next(iter(left))
        del left[image, plane]
        if image not in sources:
            sources[image] = Source(stacks[image], model.normalisation)
        unsure = np.zeros(stacks[image].plane_shape, np.uint8)
        for columns in predictor.panels(sources[image], predictor.tiling.tile):
            for rows in predictor.rows(sources[image], plane, columns):
                if rows:
                    keep(image, plane, rows[0], columns, rows[1])
                    unsure[rows[0], columns] = doubt(rows[1])
        done = PredictedPlane(image, plane, masks[image][plane], doubt=unsure)
        reply = yield Progress("predicting", total - len(left), total, planes=(done,))
        if reply is True:
            return
        if isinstance(reply, Steer) and reply.look_at:
            look_at = reply.look_at
