"""What is around single pixels, as a part of a network: from its first step it knows what strokes say of them.

A logistic regression on what a network that learned photographs sees (`trunk`), learned from strokes (`instant`). Its
logits are added to those of the network, which learns what to add.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..device import channels_last
from .trunk import STRIDES, WIDTHS, Trunk

REACH = 128
"""How far a tile looks beyond its border, pixels. The trunk sees further, but little depends on that: with tiles of 128
pixels, probabilities of classifiers on membranes and nuclei were at most 0.02 from those of the whole plane, on breast
ultrasound 0.15 (0.006 in the mean)."""

FEATURES = sum(WIDTHS)
FARTHEST = 4.0  # standard deviations; a feature further off counts as this far
BRIGHTEST = 1.2  # the trunk was trained on values from -1 to 1


class Pixels(nn.Module):
    """Images (N, C, Y, X) → logits (N, K, Y, X), each from what is around one pixel.

    Parameters
    ----------
    channels
        C.
    classes
        K.
    """

    usual: Tensor
    spread: Tensor
    weight: Tensor
    bias: Tensor
    reach = REACH
    stride = max(STRIDES)  # windows that start on multiples of it see the same coarse pixels

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("usual", torch.zeros(FEATURES, 1, 1))  # mean of the trunk's features
        self.register_buffer("spread", torch.ones(FEATURES, 1, 1))  # deviation
        self.register_buffer("weight", torch.zeros(classes, FEATURES))
        self.register_buffer("bias", torch.zeros(classes))
        self.trunk = Trunk(channels)

    def forward(self, images: Tensor, margin: int = 0) -> Tensor:
        """Return (N, K, Y, X) for images (N, C, Y + 2·margin, X + 2·margin)."""
        height, width = (length - 2 * margin for length in images.shape[-2:])
        return self.regression(self.features(images), margin)[..., :height, :width]

    @torch.no_grad()
    def regression(self, features: list[Tensor], margin: int = 0) -> Tensor:
        """Return logits (N, K, Y, X) inside the margin, pixels, of maps; they are weighed first, which is cheaper."""
        with torch.autocast(features[0].device.type, enabled=False):
            weights = torch.split(self.weight[..., None, None], list(WIDTHS), 1)
            weighed = [F.conv2d(m, w) for m, w in zip(features, weights, strict=True)]
            parts = [enlarged(m, stride, margin) for m, stride in zip(weighed, STRIDES, strict=True)]
            logits: Tensor = sum(parts, self.bias[:, None, None])
        return logits

    @torch.no_grad()
    def features(self, images: Tensor) -> list[Tensor]:
        """Return the trunk's maps of images (N, C, Y, X), float32, of mean 0 and deviation 1 on usual images.

        The border is repeated up to the stride.
        """
        missing = (0, -images.shape[-1] % self.stride, 0, -images.shape[-2] % self.stride)
        images = F.pad(images, missing, mode="replicate") if any(missing) else images
        return self._comparable(self._maps(images))

    @torch.no_grad()
    def get_used_to(self, images: Tensor) -> list[Tensor]:
        """Measure mean and deviation of every feature on images (N, C, Y, X), sides multiples of 32.

        Returns their features.
        """
        maps = self._maps(images)
        self.usual.copy_(torch.cat([m.mean((0, 2, 3)) for m in maps])[:, None, None])
        self.spread.copy_(torch.cat([m.std((0, 2, 3)) for m in maps])[:, None, None].clamp(min=1e-3))
        return self._comparable(maps)

    def _comparable(self, maps: list[Tensor]) -> list[Tensor]:
        known = zip(maps, self._by_map(self.usual), self._by_map(self.spread), strict=True)
        return [m.sub(usual).div_(spread).clamp_(-FARTHEST, FARTHEST) for m, usual, spread in known]

    def _maps(self, images: Tensor) -> list[Tensor]:
        return [m.float() for m in self.trunk(channels_last(images.clamp(-BRIGHTEST, BRIGHTEST)))]

    def _by_map(self, values: Tensor) -> list[Tensor]:
        return list(torch.split(values, list(WIDTHS)))


def enlarged(features: Tensor, stride: int, margin: int = 0) -> Tensor:
    """Return what lies inside the margin, pixels, of a map (N, F, Y / stride, X / stride) at the size of the image."""
    spare = max(0, margin // stride - 1)  # the map's pixels in the margin that no pixel inside is next to
    near = features[..., spare : features.shape[-2] - spare, spare : features.shape[-1] - spare]
    near = F.interpolate(near.contiguous(), scale_factor=stride, mode="bilinear")  # as rows it takes a fifth
    rest = margin - spare * stride
    return near[..., rest : near.shape[-2] - rest, rest : near.shape[-1] - rest]


def sampled(maps: list[Tensor], places: Tensor) -> Tensor:
    """Return what all enlarged maps (1, F, y, x) of an image have at some pixels: (P, sum of F).

    ``places``: rows and columns, (2, P) integers.
    """
    size = torch.tensor(maps[0].shape[:-3:-1], device=places.device) * STRIDES[0]  # width, height
    grid = (2 * places.flip(0).T + 1) / size - 1  # (P, 2): x, y from -1 to 1
    found = []
    for m in maps:
        last = 1 - 1 / torch.tensor(m.shape[:-3:-1], device=places.device)  # middle of the outermost pixel
        inside = grid.clamp(-last, last)[None, None]  # beyond it the border is repeated
        found.append(F.grid_sample(m, inside, align_corners=False)[0, :, 0])
    return torch.cat(found).T
