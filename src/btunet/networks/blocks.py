"""Parts that the networks of the papers have in common.

Their code normalises over the batch; so do these. Convolutions that a normalisation follows keep their bias, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64, 128, 256)
PIECES = 16  # images from which on torch hands 1×1 convolutions on one thread to oneDNN
Block = Callable[[int, int], nn.Module]
"""(features in, features out) → a block of one level."""


class Pointwise(nn.Conv2d):
    """A 1×1 convolution whose images are cut into 16 pieces where they are fewer, on one thread of a processor.

    Only from 16 images on does torch give it to oneDNN there, which takes half to nine tenths of the time.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, Y, X) of (N, inputs, Y, X)."""
        count, _, height, width = x.shape
        is_slow = x.device.type == "cpu" and torch.get_num_threads() == 1 and count < PIECES
        if not is_slow or count * height % PIECES:
            return super().forward(x)
        pieces = x.movedim(1, -1).reshape(PIECES, -1, width, self.in_channels).movedim(-1, 1)  # (16, inputs, N·Y/16, X)
        y = super().forward(pieces).movedim(1, -1)
        return y.reshape(count, height, width, self.out_channels).movedim(-1, 1)


def conv(inputs: int, outputs: int, size: int, *, separable: bool = False) -> nn.Module:
    """Return a padded convolution; separable, one per feature in space and then one per pixel (Chollet 2017)."""
    if not separable:
        return nn.Conv2d(inputs, outputs, size, padding=size // 2)
    alone = nn.Conv2d(inputs, inputs, size, padding=size // 2, groups=inputs, bias=False)
    return nn.Sequential(alone, Pointwise(inputs, outputs))


def conv_norm_relu(inputs: int, outputs: int, size: int, *, separable: bool = False) -> nn.Sequential:
    """Return a convolution, a batch normalisation and a ReLU."""
    return nn.Sequential(
        conv(inputs, outputs, size, separable=separable), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Dropout(nn.Dropout):
    """Dropout that, on a processor, draws 16 bits per value: torch's own took a sixth of a training step there."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x with a share p of its values 0 and the others larger by as much; x itself when not training."""
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.int16)[: x.numel()].as_strided(x.shape, x.stride()).ge_(round(self.p * 2**16) - 2**15)
        if x.dtype != torch.bfloat16:
            return x * kept.to(x.dtype).div_(1 - self.p)
        one = torch.tensor(1 / (1 - self.p), dtype=x.dtype).view(torch.int16)  # its bits; conversions are slow
        return x * kept.mul_(one).view(x.dtype)


class ResidualDouble(nn.Module):
    """[3×3 convolution, BN, ReLU] twice, dropout 0.1, plus a 1×1 convolution with BN; nothing follows the sum."""

    def __init__(self, inputs: int, outputs: int, *, separable: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm_relu(inputs, outputs, 3, separable=separable),
            conv_norm_relu(outputs, outputs, 3, separable=separable),
            Dropout(0.1),
        )
        self.shortcut = nn.Sequential(Pointwise(inputs, outputs), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, Y, X) of (N, inputs, Y, X)."""
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


class MaxPoolEncoder(nn.Module):
    """A block per level with 2×2 max pooling between them: (N, C, Y, X) → one map per level, finest first."""

    def __init__(self, channels: int, widths: Sequence[int], block: Block) -> None:
        super().__init__()
        self.levels = nn.ModuleList(block(a, b) for a, b in pairwise([channels, *widths]))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for i, level in enumerate(self.levels):
            x = level(F.max_pool2d(x, 2) if i else x)  # (N, W_i, Y / 2^i, X / 2^i)
            features.append(x)
        return features


def spectral_pool(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (N, C, Y, X) maps at a smaller size, keeping their lowest frequencies (Rippel et al. 2015).

    The code of the Inception U-Net and of RCA-IUnet transforms (X, C) instead of (Y, X) and does not undo the growth of
    the amplitude; here the frequencies are those of space, and a constant map keeps its value. Computed in float32:
    half-precision transforms do not exist for most sizes.

    Parameters
    ----------
    x
        (N, C, Y, X), any real type, odd sizes included.
    size
        (Y', X') of the result, at most (Y, X).
    """
    with torch.autocast(x.device.type, enabled=False):
        spectrum = torch.fft.rfft2(x.float())  # (N, C, Y, X // 2 + 1)
        rows, columns = size
        spectrum = spectrum[..., : columns // 2 + 1]
        positive, negative = spectrum[..., : (rows + 1) // 2, :], spectrum[..., x.shape[-2] - rows // 2 :, :]
        if rows % 2 == 0:  # the highest frequency is its own negative; for columns the inverse transform sees to it
            highest = (spectrum[..., rows // 2, :] + negative[..., 0, :]) / 2
            negative = torch.cat([highest[..., None, :], negative[..., 1:, :]], -2)
        kept = torch.cat([positive, negative], -2)  # (N, C, Y', X' // 2 + 1)
        share = rows * columns / (x.shape[-2] * x.shape[-1])
        pooled: Tensor = torch.fft.irfft2(kept, s=size) * share  # (N, C, Y', X')
        return pooled


class HybridPool(nn.Module):
    """Max pooling beside spectral pooling, mixed by a 1×1 convolution (Punn & Agarwal 2020).

    Parameters
    ----------
    features
        C, of what comes in and of what goes out.
    factor
        How many times smaller the result is. With 1 the spectral part is the map itself (keeping all frequencies
        changes nothing) and the max pooling has stride 1.
    """

    def __init__(self, features: int, factor: int = 2) -> None:
        super().__init__()
        self.factor = factor
        self.mix = Pointwise(2 * features, features)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, Y / factor, X / factor) of (N, C, Y, X)."""
        if self.factor == 1:
            largest = F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="replicate"), 2, 1)
            smooth = x
        else:
            largest = F.max_pool2d(x, self.factor)
            smooth = spectral_pool(x, (largest.shape[-2], largest.shape[-1])).to(x.dtype)
        mixed: Tensor = self.mix(torch.cat([largest, F.relu(smooth)], 1))  # (N, C, Y / factor, X / factor)
        return mixed


class Gate(nn.Module):
    """Additive attention (Oktay et al. 2018): which pixels of a skip the decoder should see.

    Parameters
    ----------
    fine
        Features of each map at the skip's size that shapes the mask.
    coarse
        Features of the map at half its size.
    features
        C, of the skip.
    """

    def __init__(self, fine: Sequence[int], coarse: int, features: int) -> None:
        super().__init__()
        self.fine = nn.ModuleList(nn.Conv2d(f, features, 2, stride=2) for f in fine)
        self.coarse = nn.Sequential(
            nn.Conv2d(coarse, features, 1), nn.ConvTranspose2d(features, features, 3, padding=1)
        )
        self.mask = nn.Sequential(nn.ReLU(), nn.Conv2d(features, 1, 1), nn.Sigmoid())

    def forward(self, fine: Sequence[Tensor], coarse: Tensor) -> Tensor:
        """Return the mask (N, 1, Y, X) in 0..1 for maps (N, F, Y, X) and one (N, F, Y / 2, X / 2)."""
        total = self.coarse(coarse) + sum(layer(x) for layer, x in zip(self.fine, fine, strict=True))
        return F.interpolate(self.mask(total), size=fine[0].shape[-2:])  # (N, 1, Y, X)
