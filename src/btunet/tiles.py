"""Predict a plane of any size in overlapping tiles, so blended that no seam can be seen.

A tile is read with a margin as wide as the network can see; the margin's own output is thrown away, so what is kept is
what the whole plane would have given. Neighbouring tiles overlap a little further and fade into each other, which
hides what is left for networks that see everything.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .device import precision
from .networks import Network


def predict_plane(network: Network, plane: np.ndarray, tile: int) -> np.ndarray:
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
    device = next(network.parameters()).device

    @torch.inference_mode()
    def probabilities(window: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(np.ascontiguousarray(window))[None].to(device)  # (1, C, y, x)
        with precision(device):
            logits: Tensor = network(images)
        return logits[0].float().softmax(0).cpu().numpy()  # (K, y, x)

    stride = network.stride  # every window starts on a multiple of it, or its pooling would see other pairs of pixels
    margin = -(-network.reach // stride) * stride
    tile = max(stride, tile // stride * stride)
    return blend(probabilities, plane, tile, margin, fade=min(margin, tile) // 4 // stride * stride)


def blend(
    function: Callable[[np.ndarray], np.ndarray], plane: np.ndarray, tile: int, margin: int, *, fade: int
) -> np.ndarray:
    """Apply ``function`` to windows of a (C, Y, X) plane and fade its (K, y, x) results together.

    Parameters
    ----------
    function
        Keeps the size of the window; its results are float.
    plane
        What is cut into windows.
    tile
        Side of the area a window contributes, pixels.
    margin
        Ignored border of each window where it does not touch the plane's own border, pixels.
    fade
        How far a window fades into its neighbours on either side of their border, at most half a tile, pixels.
    """
    height, width = plane.shape[-2:]
    if height <= tile + margin and width <= tile + margin:
        return function(plane)
    result: np.ndarray | None = None
    for y, rows in _weights(height, tile, margin, fade):
        for x, columns in _weights(width, tile, margin, fade):
            part = function(plane[:, y, x]) * (rows[:, None] * columns)  # (K, y, x)
            if result is None:
                result = np.zeros((len(part), height, width), np.float32)
            result[:, y, x] += part
    assert result is not None  # there is at least one window
    return result


def _weights(length: int, tile: int, margin: int, fade: int) -> list[tuple[slice, np.ndarray]]:
    """Cut 0..length into windows with weights that sum to 1 everywhere."""
    windows = []
    for start in range(0, length, tile):
        stop = min(length, start + tile)
        low, high = max(0, start - margin - fade), min(length, stop + margin + fade)
        at = np.arange(low, high) + 0.5
        weight = np.ones(high - low, np.float32)
        if start > 0:
            weight *= np.clip((at - start + fade) / max(1, 2 * fade), 0, 1) if fade else at > start
        if stop < length:
            weight *= np.clip((stop + fade - at) / max(1, 2 * fade), 0, 1) if fade else at < stop
        windows.append((slice(low, high), weight))
    return windows
