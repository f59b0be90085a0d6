"""The U-Net (Ronneberger et al. 2015), light and normalised.

Differs from the paper: 16 to 256 features instead of 64 to 1024, padded convolutions, and a 1×1 convolution before the
upsampling, which halves the features the decoder has to carry. Features are normalised over channels at every pixel
(Ba et al. 2016, as ConvNeXt does): unlike batch normalisation it needs no statistics of the batch, which patches around
strokes would bias, and unlike group normalisation it does not look at the whole tile, so tiles fit together exactly.
There is no normalisation between the last convolution and the classes: in a replication of BT-Unet it cost 0.25 Dice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import WIDTHS, MaxPoolEncoder
from .contract import Network, reach


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of every pixel of (N, C, Y, X)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)  # (N, C, Y, X)


class DoubleConv(nn.Sequential):
    """Twice: 3×3 convolution, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            ChannelNorm(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            ChannelNorm(outputs),
            nn.ReLU(),
        )


class Decoder(nn.Module):
    """The encoder's maps → (N, W_0, Y, X)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        deep_to_fine = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.reduce = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in deep_to_fine)
        self.merge = nn.ModuleList(DoubleConv(2 * b, b) for _, b in deep_to_fine)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = features[-1]
        for reduce, merge, skip in zip(self.reduce, self.merge, features[-2::-1], strict=True):
            x = F.interpolate(reduce(x), size=skip.shape[-2:])
            x = merge(torch.cat([skip, x], 1))  # (N, W_i, Y / 2^i, X / 2^i)
        return x


class LayerNormUNet(Network):
    """U-Net for images of any size.

    Parameters
    ----------
    channels
        Channels of the image.
    classes
        Outputs, background included.
    widths
        Features per level, finest first.
    """

    def __init__(self, channels: int, classes: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__(
            MaxPoolEncoder(channels, widths, DoubleConv),
            Decoder(widths),
            nn.Conv2d(widths[0], classes, 1),
            widths=widths,
            reach=reach(len(widths), down=2, up=2),
        )
