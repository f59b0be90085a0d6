"""The Inception U-Net (Punn & Agarwal 2020, ACM TOMM): several kernel sizes side by side, hybrid pooling.

The variant with batch normalisation and residual connections: 3,970,963 values for 3 channels and one output, running
statistics included, as published. Against the published code: the spectral pooling transforms space (see
`blocks.spectral_pool`) and every hybrid pool learns, where some of the code's are hidden from training; the switchable
normalisation of the input is left out, because every model here normalises its images itself. The paper's Hartley
transform keeps the same frequencies as the Fourier transform used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .blocks import WIDTHS, Dropout, HybridPool
from .contract import Network, reach

DROPOUT = (0.1, 0.1, 0.2, 0.2, 0.2)  # per level, finest first
SHORT = 16  # the bottleneck also sees the image itself, this much smaller


class Inception(nn.Module):
    """3×3, 1×1 and 5×5 convolutions and a hybrid pool side by side, normalised, mixed by a 1×1 convolution.

    Parameters
    ----------
    inputs, outputs
        Features.
    dropout
        Part of the mixed features left out in training.
    extra
        Features of maps that join the branches as they are; a block that takes some has no residual connection.
    """

    def __init__(self, inputs: int, outputs: int, dropout: float, extra: int = 0) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(inputs, outputs, size, padding=size // 2) for size in (3, 1, 5))
        self.branches.append(HybridPool(inputs, factor=1))
        self.norms = nn.ModuleList(nn.BatchNorm2d(f) for f in (outputs, outputs, outputs, inputs))
        self.mix = nn.Sequential(nn.Conv2d(3 * outputs + inputs + extra, outputs, 1), nn.ReLU(), Dropout(dropout))
        self.shortcut = None if extra else nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor, *extra: Tensor) -> Tensor:
        """Return (N, outputs, Y, X) of (N, inputs, Y, X)."""
        found = [norm(branch(x)).relu() for branch, norm in zip(self.branches, self.norms, strict=True)]
        y: Tensor = self.mix(torch.cat([*found, *extra], 1))
        return y if self.shortcut is None else y + self.shortcut(x)


class Encoder(nn.Module):
    """(N, C, Y, X) → one map per level; the last also sees the image pooled at once."""

    def __init__(self, channels: int, widths: Sequence[int], short: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            Inception(a, b, dropout) for a, b, dropout in zip([channels, *widths], widths[:-1], DROPOUT, strict=False)
        )
        self.pools = nn.ModuleList(HybridPool(w) for w in widths[:-1])
        self.short = nn.Sequential(HybridPool(channels, short), nn.BatchNorm2d(channels), nn.ReLU())
        self.bottleneck = Inception(widths[-2], widths[-1], DROPOUT[-1], extra=channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        features, x = [], image
        for stage, pool in zip(self.stages, self.pools, strict=True):
            features.append(stage(x))  # (N, W_i, Y / 2^i, X / 2^i)
            x = pool(features[-1])
        return [*features, self.bottleneck(x, self.short(image))]


class Decoder(nn.Module):
    """The encoder's maps → (N, W_0, Y, X): transposed convolution, join the skip, block."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        deep_to_fine = list(pairwise(widths[::-1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in deep_to_fine)
        self.merge = nn.ModuleList(
            Inception(2 * b, b, dropout) for (_, b), dropout in zip(deep_to_fine, DROPOUT[-2::-1], strict=False)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = features[-1]
        for up, merge, skip in zip(self.up, self.merge, features[-2::-1], strict=True):
            x = merge(torch.cat([skip, up(x)], 1))  # (N, W_i, Y / 2^i, X / 2^i)
        return x


class InceptionUNet(Network):
    """Inception U-Net with five levels.

    Parameters
    ----------
    channels, classes
        Of the image; outputs, background included.
    widths
        Features per level, finest first.
    """

    def __init__(self, channels: int, classes: int, *, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__(
            Encoder(channels, widths, SHORT),
            Decoder(widths),
            nn.Conv2d(widths[0], classes, 1),
            widths=widths,
            reach=reach(len(widths), down=2, up=2),  # of its convolutions; its spectral pools see the whole tile
        )
