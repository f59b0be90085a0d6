"""Networks whose encoder comes from segmentation-models-pytorch (extra ``zoo``)."""

from __future__ import annotations

from .contract import Network


def zoo_unet(encoder: str, channels: int, classes: int) -> Network:
    """Return a U-Net with the named encoder, with random weights."""
    raise NotImplementedError
