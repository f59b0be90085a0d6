"""The network BT-Unet calls its U-Net (Punn & Agarwal 2022): light, residual and, as published, separable.

Against Ronneberger's U-Net: 16 to 256 features, separable convolutions with batch normalisation, a residual connection
around every block, and nearest-neighbour upsampling. Against the published code: no batch normalisation after the last
convolution (a replication gained 0.25 Dice at 20 % of the labels without it), one output per class instead of one in
all, and the scaling of the input is the normalisation every model here has.

For 3 channels and one output it has 353,100 values, running statistics included, 188,523 of them in the encoder: the
published 353,104 less the 4 of that last normalisation. With plain convolutions it has 2,081,041.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import WIDTHS, Block, MaxPoolEncoder, Pointwise, ResidualDouble
from .contract import Network, reach


class Decoder(nn.Module):
    """Upsample, join the skip, block: the encoder's maps → (N, W_0, Y, X)."""

    def __init__(self, widths: Sequence[int], block: Block) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            block(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )  # deep to fine

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = features[-1]
        for level, skip in zip(self.levels, features[-2::-1], strict=True):
            x = level(torch.cat([skip, F.interpolate(x, size=skip.shape[-2:])], 1))  # (N, W_i, Y / 2^i, X / 2^i)
        return x


class UNet(Network):
    """Residual U-Net.

    Parameters
    ----------
    channels, classes
        Of the image; outputs, background included.
    separable
        Separable convolutions, as published, or plain ones.
    widths
        Features per level, finest first.
    """

    def __init__(self, channels: int, classes: int, *, separable: bool, widths: Sequence[int] = WIDTHS) -> None:
        block = partial(ResidualDouble, separable=separable)
        super().__init__(
            MaxPoolEncoder(channels, widths, block),
            Decoder(widths, block),
            Pointwise(widths[0], classes),
            widths=widths,
            reach=reach(len(widths), down=2, up=2),
        )
