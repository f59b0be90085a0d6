"""Networks, by the names users choose them with; all share the contract in `contract`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..settings import NETWORKS, ZOO
from .attention_unet import AttentionUNet
from .contract import Network
from .inception_unet import InceptionUNet
from .rca_iunet import RCAIUNet
from .unet import UNet

__all__ = ["Network", "build"]

BUILDERS: dict[str, Callable[[int, int], Network]] = {
    "unet": partial(UNet, separable=True),
    "plain-unet": partial(UNet, separable=False),
    "attention-unet": AttentionUNet,
    "inception-unet": InceptionUNet,
    "rca-iunet": RCAIUNet,
}


def build(name: str, channels: int, classes: int) -> Network:
    """Return the network ``name`` with random weights.

    Parameters
    ----------
    name
        One of `btunet.settings.NETWORKS`, or ``smp:`` and the name of an encoder.
    channels
        Channels of the image.
    classes
        Outputs, background included.

    Raises
    ------
    ValueError
        If there is no such network.
    BtunetError
        If it needs a package that is not installed.
    """
    if name.startswith(ZOO):
        from .zoo import zoo_unet

        return zoo_unet(name.removeprefix(ZOO), channels, classes)
    if name not in BUILDERS:
        raise ValueError(f"there is no network {name!r}; choose one of: {', '.join(NETWORKS)}")
    return BUILDERS[name](channels, classes)
