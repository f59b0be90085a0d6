"""The Attention U-Net (Oktay et al. 2018) in the residual form BT-Unet's authors use.

Each skip is weighed by a gate before it joins the decoder. The gate sees the skip and the coarser map: the bottleneck
at the deepest level, the decoder's previous map above it. Which code and widths BT-Unet used is not known; this is the
public residual form with 16 to 256 features and plain convolutions: 2,454,325 values for 3 channels and one output,
running statistics included (no batch normalisation after the last convolution: 4 fewer).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import WIDTHS, Block, Gate, MaxPoolEncoder, ResidualDouble, conv_norm_relu
from .contract import Network, reach


class Level(nn.Module):
    """One level of the decoder: gate the skip, join it to the upsampled map, block."""

    def __init__(self, coarse: int, features: int, block: Block) -> None:
        super().__init__()
        self.signal = conv_norm_relu(coarse, features, 1)
        self.gate = Gate([features], features, features)
        self.gated = nn.Sequential(nn.Conv2d(features, features, 1), nn.BatchNorm2d(features))
        self.block = block(coarse + features, features)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return (N, C, Y, X) of a map (N, F, Y / 2, X / 2) and a skip (N, C, Y, X)."""
        seen = self.gated(skip * self.gate([skip], self.signal(x)))  # (N, C, Y, X)
        y: Tensor = self.block(torch.cat([seen, F.interpolate(x, size=skip.shape[-2:])], 1))
        return y


class Decoder(nn.Module):
    """The encoder's maps → (N, W_0, Y, X)."""

    def __init__(self, widths: Sequence[int], block: Block) -> None:
        super().__init__()
        self.levels = nn.ModuleList(Level(a, b, block) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = features[-1]
        for level, skip in zip(self.levels, features[-2::-1], strict=True):
            x = level(x, skip)
        return x


class AttentionUNet(Network):
    """Attention U-Net.

    Parameters
    ----------
    channels, classes
        Of the image; outputs, background included.
    separable
        Separable convolutions instead of plain ones.
    widths
        Features per level, finest first.
    """

    def __init__(self, channels: int, classes: int, *, separable: bool = False, widths: Sequence[int] = WIDTHS) -> None:
        block = partial(ResidualDouble, separable=separable)
        super().__init__(
            MaxPoolEncoder(channels, widths, block),
            Decoder(widths, block),
            nn.Conv2d(widths[0], classes, 1),
            widths=widths,
            reach=reach(len(widths), down=2, up=4),  # the gate looks one pixel of its coarser map away
        )
