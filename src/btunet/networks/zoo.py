"""U-Nets whose encoder comes from segmentation-models-pytorch, and from timm where its name begins with ``tu-``.

The decoder is that package's too. All weights are random here; `btunet.transfer` brings those learned on ImageNet. The
packages are an extra (``zoo``) and are imported when such a network is built, which takes two seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import BtunetError
from ..settings import ZOO
from .contract import Network

REACH = 128
"""How far a tile looks beyond its border, pixels. These networks see further: the convolutions of a ResNet reach more
than 300 pixels, squeeze-and-excitation the whole tile. But what is so far away hardly counts: with tiles of 256 pixels,
no probability of a resnet18 fine-tuned on nuclei was more than 0.005 from that of the whole plane (0.34 with 64)."""

PROBE = (64, 96)  # size of the image that shows what an encoder makes, pixels; not square, as planes need not be


class Encoder(nn.Module):
    """An encoder of the package: (N, C, Y, X) → the maps it learns, finest first."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> list[Tensor]:
        # the first map is the image, or one the decoder does not use; those without features only hold a place
        return [m for m in self.net(x)[1:] if m.shape[1]]


class Decoder(nn.Module):
    """The package's decoder: the encoder's maps → (N, W, Y, X)."""

    def __init__(self, net: nn.Module, levels: int) -> None:
        super().__init__()
        self.net = net
        self.levels = levels

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        maps = list(features)
        while len(maps) <= self.levels:  # of what the encoder left out the decoder needs the size
            n, _, y, x = maps[0].shape
            maps.insert(0, maps[0].new_empty(n, 0, 2 * y, 2 * x))
        decoded: Tensor = self.net(maps)
        return decoded


def zoo_unet(encoder: str, channels: int, classes: int) -> Network:
    """Return a U-Net with the named encoder, with random weights.

    Parameters
    ----------
    encoder
        A name that segmentation-models-pytorch knows, such as ``resnet18``, or ``tu-`` and a name that timm knows.
    channels
        Channels of the image.
    classes
        Outputs, background included.

    Raises
    ------
    ValueError
        If there is no such encoder, or it is not one for a U-Net.
    BtunetError
        If the packages are missing or do not fit together.
    """
    smp = library(encoder)
    check_name(encoder)
    try:
        net = smp.Unet(encoder, encoder_weights=None, in_channels=channels, classes=classes)
        widths = _widths(net, channels)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # what a model of timm raises that was made for other tasks, or for images of one size or three channels
        raise ValueError(
            f"the encoder {encoder} does not work in a U-Net for images of any size and {channels} "
            f"channel{'s' * (channels > 1)} ({error}); choose another"
        ) from error
    levels = len(net.decoder.blocks)
    return Network(
        Encoder(net.encoder),
        Decoder(net.decoder, levels),
        net.segmentation_head[0],  # its other parts do nothing
        widths=widths,
        reach=REACH,
        stride=2**levels,
    )


def _widths(net: Any, channels: int) -> list[int]:
    """Try the network on an empty image and return the features of the maps its encoder makes."""
    with torch.no_grad():
        net.eval()  # or the running statistics would take the image in
        image = torch.zeros(1, channels, *PROBE)
        size = tuple(net(image).shape[-2:])
        maps = Encoder(net.encoder)(image)
        net.train()
    if size != PROBE:
        raise ValueError(f"it makes {size[0]}×{size[1]} pixels of {PROBE[0]}×{PROBE[1]}")
    return [m.shape[1] for m in maps]


def library(encoder: str) -> Any:
    """Import and return segmentation-models-pytorch.

    Raises
    ------
    BtunetError
        If it is not installed, or cannot be imported: its packages are compiled for one version of torch.
    """
    if find_spec("segmentation_models_pytorch") is None:
        raise BtunetError(
            f"the network {ZOO}{encoder} needs more packages; install them with: pip install 'napari-btunet[zoo]'"
        )
    try:
        import segmentation_models_pytorch as smp
    except (ImportError, OSError, RuntimeError) as error:
        raise BtunetError(
            f"the network {ZOO}{encoder} cannot be used because its packages do not fit together ({_installed()}: "
            f"{error}); install the torchvision made for this torch, see https://pytorch.org/get-started/locally"
        ) from error
    return smp


def _installed() -> str:
    """Say which versions are installed."""
    found = []
    for name in ("torch", "torchvision", "timm"):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def check_name(encoder: str) -> None:
    """Raise ValueError, with near names, unless there is an encoder of this name."""
    import timm
    from segmentation_models_pytorch.encoders import get_encoder_names

    if encoder in get_encoder_names() or (encoder.startswith("tu-") and timm.is_model(encoder.removeprefix("tu-"))):
        return
    near = get_close_matches(encoder, [*get_encoder_names(), *(f"tu-{name}" for name in timm.list_models())])
    meant = f"did you mean {' or '.join(near)}?" if near else "a common one is resnet18"
    raise ValueError(f"there is no encoder {encoder!r}; {meant}")


class Hosted(NamedTuple):
    """Where a file is on huggingface.co."""

    repository: str
    revision: str
    name: str

    @property
    def address(self) -> str:
        """What a browser downloads it from."""
        return f"https://huggingface.co/{self.repository}/resolve/{self.revision}/{self.name}"


def imagenet_file(encoder: str) -> Hosted | None:
    """Return where the ImageNet weights of an encoder are, or None if they are not on huggingface.co."""
    library(encoder)
    check_name(encoder)
    import timm
    from segmentation_models_pytorch.encoders import encoders

    if encoder.startswith("tu-"):
        config: Any = timm.get_pretrained_cfg(encoder.removeprefix("tu-"))
        known = config is not None and config.hf_hub_id
        return Hosted(config.hf_hub_id, "main", config.hf_hub_filename or "model.safetensors") if known else None
    there = encoders[encoder]["pretrained_settings"].get("imagenet")
    return Hosted(there["repo_id"], there["revision"], "model.safetensors") if there else None
