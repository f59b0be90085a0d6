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

WIDTHS = (16, 32, 64, 128, 256)


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
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            ChannelNorm(outputs),
            nn.ReLU(inplace=True),
        )


class Encoder(nn.Module):
    """(N, C, Y, X) → one map per level, each half the size of the one before."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(DoubleConv(a, b) for a, b in zip([channels, *widths], widths, strict=False))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for i, level in enumerate(self.levels):
            x = level(F.max_pool2d(x, 2) if i else x)  # (N, W_i, Y / 2^i, X / 2^i)
            features.append(x)
        return features


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


class UNet(nn.Module):
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
        super().__init__()
        self.encoder = Encoder(channels, widths)
        self.decoder = Decoder(widths)
        self.head = nn.Conv2d(widths[0], classes, 1)
        self.widths = tuple(widths)
        self.stride: int = 2 ** (len(widths) - 1)

    @property
    def reach(self) -> int:
        """Half the receptive field, pixels: two 3×3 convolutions per level on the way down and on the way up."""
        levels = len(self.widths)
        down = sum(2 << i for i in range(levels))
        up = sum(3 << i for i in range(levels - 1))  # the nearest neighbour above adds up to one pixel
        return down + up + self.stride

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K, Y, X) for images (N, C, Y, X) of any size; the border is mirrored up to the stride."""
        height, width = images.shape[-2:]
        pad = (0, -width % self.stride, 0, -height % self.stride)
        x = F.pad(images, pad, mode="replicate") if any(pad) else images  # (N, C, Y', X')
        logits: Tensor = self.head(self.decoder(self.encoder(x)))  # (N, K, Y', X')
        return logits[..., :height, :width]
