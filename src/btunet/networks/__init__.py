"""Networks share one contract: three named parts, ``encoder``, ``decoder`` and ``head``.

``encoder(image)`` returns a list of features, finest first, coarsest (bottleneck) last; ``decoder(features)`` returns
one map at the image's size; ``head`` turns it into one logit per class. State-dict prefixes are these names.
``stride`` is the multiple image sides are padded to, ``reach`` how far, in pixels, one output pixel can see.
"""

from __future__ import annotations

from .unet import UNet

__all__ = ["UNet", "build"]


def build(name: str, channels: int, classes: int) -> UNet:
    """Return the network ``name`` with torch's default random weights.

    Parameters
    ----------
    name
        ``"unet"``.
    channels
        Channels of the image.
    classes
        Outputs, background included.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    if name != "unet":
        raise ValueError(f"there is no network {name!r}; choose one of: unet")
    return UNet(channels, classes)
