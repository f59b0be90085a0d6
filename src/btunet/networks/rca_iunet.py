"""RCA-IUnet (Punn & Agarwal 2022, arXiv 2108.02508): residual inception blocks, hybrid pools, cross-spatial attention.

2,923,813 values for 3 channels and one output, running statistics included: the published 2,923,817 less the 4 of the
batch normalisation after the last convolution, which is left out here (it cost a replication of BT-Unet 0.25 Dice).
Further against the published code: the attention weighs the skip connection, as gates of this kind do, where the code
weighs the map that enters the stage and never passes the skip itself on; and the spectral pooling transforms space
(see `blocks.spectral_pool`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import WIDTHS, Gate, HybridPool, conv, conv_norm_relu
from .contract import Network, reach


class Branches(nn.Module):
    """Separable convolutions of several sizes beside a hybrid pool, each normalised; a 1×1 convolution mixes them."""

    def __init__(self, inputs: int, outputs: int, sizes: Sequence[int]) -> None:
        super().__init__()
        pool = nn.Sequential(HybridPool(inputs, factor=1), nn.BatchNorm2d(inputs), nn.ReLU())
        self.branches = nn.ModuleList(
            [*(conv_norm_relu(inputs, outputs, size, separable=True) for size in sizes), pool]
        )
        self.mix = conv(len(sizes) * outputs + inputs, outputs, 1, separable=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, Y, X) of (N, inputs, Y, X)."""
        y: Tensor = self.mix(torch.cat([branch(x) for branch in self.branches], 1))
        return y


class ResidualInception(nn.Module):
    """Two rounds of branches plus a 1×1 convolution; nothing follows the sum. The second round is 3×3 only."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(Branches(inputs, outputs, (3, 1, 5)), Branches(outputs, outputs, (3, 3, 3)))
        self.shortcut = nn.Sequential(conv(inputs, outputs, 1, separable=True), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, Y, X) of (N, inputs, Y, X)."""
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


class Levels(list[Tensor]):
    """The encoder's maps, finest first, which also know what entered each stage."""

    def __init__(self, maps: Sequence[Tensor], entered: Sequence[Tensor]) -> None:
        super().__init__(maps)
        self.entered = entered


class Encoder(nn.Module):
    """(N, C, Y, X) → one map per level, hybrid pools between them."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(ResidualInception(a, b) for a, b in pairwise([channels, *widths]))
        self.pools = nn.ModuleList(HybridPool(w) for w in widths[:-1])

    def forward(self, x: Tensor) -> Levels:
        entered, features = [x], [self.stages[0](x)]
        for pool, stage in zip(self.pools, self.stages[1:], strict=True):
            entered.append(pool(features[-1]))  # (N, W_(i-1), Y / 2^i, X / 2^i)
            features.append(stage(entered[-1]))  # (N, W_i, Y / 2^i, X / 2^i)
        return Levels(features, entered)


class CrossSpatialAttention(nn.Module):
    """Weigh a skip by what entered its stage, by itself, and by the next deeper map of the encoder.

    Parameters
    ----------
    entered, features, coarse
        Features of the three maps.
    """

    def __init__(self, entered: int, features: int, coarse: int) -> None:
        super().__init__()
        self.signals = nn.ModuleList(conv_norm_relu(f, features, 1) for f in (entered, features, coarse))
        self.gate = Gate([features, features], features, features)
        self.out = conv_norm_relu(features, features, 1)

    def forward(self, entered: Tensor, skip: Tensor, coarse: Tensor) -> Tensor:
        """Return (N, C, Y, X); ``entered`` and ``skip`` are (N, F, Y, X), ``coarse`` is (N, F, Y / 2, X / 2)."""
        x, y, z = (signal(m) for signal, m in zip(self.signals, (entered, skip, coarse), strict=True))
        seen: Tensor = self.out(y * self.gate([x, y], z))
        return seen


class Decoder(nn.Module):
    """The encoder's maps → (N, W_0, Y, X)."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        entered = [channels, *widths][: len(widths) - 1]
        levels = list(zip(entered, widths, widths[1:], strict=False))[::-1]  # deep to fine
        self.attention = nn.ModuleList(CrossSpatialAttention(e, w, coarse) for e, w, coarse in levels)
        self.merge = nn.ModuleList(ResidualInception(w + coarse, w) for _, w, coarse in levels)

    def forward(self, features: Levels) -> Tensor:
        x = features[-1]
        for i, attention, merge in zip(range(len(features) - 2, -1, -1), self.attention, self.merge, strict=True):
            skip = attention(features.entered[i], features[i], features[i + 1])  # (N, W_i, Y / 2^i, X / 2^i)
            x = merge(torch.cat([skip, F.interpolate(x, size=skip.shape[-2:])], 1))
        return x


class RCAIUNet(Network):
    """RCA-IUnet.

    Parameters
    ----------
    channels, classes
        Of the image; outputs, background included.
    widths
        Features per level, finest first.
    """

    def __init__(self, channels: int, classes: int, *, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__(
            Encoder(channels, widths),
            Decoder(channels, widths),
            nn.Conv2d(widths[0], classes, 1),
            widths=widths,
            reach=reach(len(widths), down=3, up=5),  # of its convolutions; its spectral pools see the whole tile
        )
