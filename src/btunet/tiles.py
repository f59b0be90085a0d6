"""Predict a plane of any size in overlapping tiles that show no seam.

A tile is read with a margin as wide as the network can see; the margin's own output is thrown away, so what is kept is
what the whole plane would have given.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .device import precision
from .networks import Network
from .sweep import Function, Tiling, blend


def tiling(network: Network, tile: int) -> Tiling:
    """Return how windows must lie for a network, with tiles of about this size, pixels."""
    stride = network.stride  # every window starts on a multiple of it, or its pooling would see other pairs of pixels
    margin = -(-network.reach // stride) * stride
    tile = max(stride, tile // stride * stride)
    return Tiling(tile, margin, fade=min(margin, tile) // 4 // stride * stride)


def forward(network: Network) -> Function:
    """Return the function that gives class probabilities (K, y, x) for a normalised window (C, y, x)."""
    device = next(network.parameters()).device

    @torch.inference_mode()
    def probabilities(window: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(np.ascontiguousarray(window))[None].to(device)  # (1, C, y, x)
        with precision(device):
            logits: Tensor = network(images)
        return logits[0].float().softmax(0).cpu().numpy()  # (K, y, x)

    return probabilities


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
    return blend(forward(network), plane, tiling(network, tile))
