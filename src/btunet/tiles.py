"""Predict planes of any size in overlapping tiles that show no seam.

A tile is read with a margin as wide as the network can see; the margin's own output is thrown away, so what is kept is
what the whole plane would have given.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .device import channels_last, precision, send, settle
from .model import Model
from .networks import Network
from .networks.folding import fold
from .networks.pixels import Pixels
from .optimise import explained
from .patches import Source
from .settings import PredictSettings
from .sweep import Function, Rows, Tiling, blend, sweep


def tiling(network: Network | Pixels, tile: int) -> Tiling:
    """Return how windows must lie for a network, with tiles of about this size, pixels."""
    stride = network.stride  # every window starts on a multiple of it, or its pooling would see other pairs of pixels
    margin = -(-network.reach // stride) * stride
    tile = max(stride, tile // stride * stride)
    return Tiling(tile, margin, fade=min(margin, tile) // 4 // stride * stride)


def forward(network: Network | Pixels) -> Function:
    """Return the function that gives class probabilities (K, y, x) for a normalised window (C, y, x)."""
    device = next(network.parameters()).device

    @torch.inference_mode()
    def probabilities(window: np.ndarray) -> np.ndarray:
        images = send(np.ascontiguousarray(window), device)[None]  # (1, C, y, x)
        with precision(device):
            logits: Tensor = network(channels_last(images))
        return logits[0].float().softmax(0).cpu().numpy()  # (K, y, x)

    return probabilities


def predict_plane(network: Network | Pixels, plane: np.ndarray, tile: int) -> np.ndarray:
    """Return class probabilities of one plane.

    Parameters
    ----------
    network
        In evaluation mode, on the device to use.
    plane
        (C, Y, X) float32, normalised.
    tile
        Side of the area a tile contributes, pixels, its margin not counted.

    Returns
    -------
    ndarray
        (K, Y, X) float32 that sum to 1 over K.
    """
    return blend(forward(network), plane, tiling(network, tile))


class Predictor:
    """A model and how it goes over planes; reads them by window and holds none whole.

    Raises
    ------
    ValueError
        If the model has no classes.
    """

    def __init__(self, model: Model, settings: PredictSettings) -> None:
        if model.is_encoder:
            raise ValueError("this model is a pre-trained encoder without classes; fine-tune it first")
        self.classes = len(model.classes)
        self._network = model.build().eval()
        fold(self._network)
        self._memory = settings.memory * 2**20
        self.tiling = tiling(self._network, settings.tile)

    @cached_property
    def _forward(self) -> Function:
        return forward(settle(self._network))

    def panels(self, source: Source, step: int, at_least: int = 1) -> list[slice]:
        """Return columns that can be predicted at once within the memory; see `Tiling.panels`."""
        stack = source.stack
        values = stack.channels, np.dtype(stack.data.dtype).itemsize, self.classes
        return self.tiling.panels(stack.plane_shape, self._memory, values, step, at_least)

    def rows(self, source: Source, plane: int, columns: slice, first: int = 0, step: int = 1) -> Iterator[Rows | None]:
        """Yield probabilities of finished rows of some columns, and None after a tile that finishes none."""

        def function(window: np.ndarray) -> np.ndarray:
            return self._forward(source.normalisation.apply(window, source.limits))

        def read(y: slice, x: slice) -> np.ndarray:
            return source.stack.read(plane, y, x)

        shape = source.stack.plane_shape
        with explained("the tile size or the memory"):
            yield from sweep(function, read, shape, self.tiling, columns, first=first, step=step)


def most_likely(probabilities: np.ndarray) -> np.ndarray:
    """Return the class of every pixel, (y, x) uint8, for (K, y, x)."""
    mask = np.empty(probabilities.shape[1:], np.uint8)
    for row, found in enumerate(mask):  # row by row, since numpy's own result takes eight bytes per pixel
        found[:] = probabilities[:, row].argmax(0)
    return mask


def doubt(probabilities: np.ndarray) -> np.ndarray:
    """Return how unsure every pixel is, (y, x) uint8, for (K, y, x): 0 = sure, 255 = two classes are equally likely.

    One minus the margin between the two likeliest classes.
    """
    unsure = np.empty(probabilities.shape[1:], np.uint8)
    for row, found in enumerate(unsure):  # row by row, as above
        second, first = np.partition(probabilities[:, row], -2, axis=0)[-2:]
        found[:] = np.rint(255 * (1 - (first - second)))
    return unsure
