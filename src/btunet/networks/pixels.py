"""What single pixels look like, as a part of a network: from its first step it knows what a classifier of pixels knows.

A perceptron with two hidden layers on the filter responses (`btunet.filters`) of every pixel, taught what a classifier
expects (`btunet.guide`). Its logits are added to those of the network, which learns what to add.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..device import channels_last
from ..filters import REACH, SCALES, filter_responses

SMALLEST = 32  # pixels, side of an image that all scales fit into
HIDDEN = 48  # features of each hidden layer
FARTHEST = 4.0  # standard deviations; a response further off counts as this far


class Pixels(nn.Module):
    """Images (N, C, Y, X) → logits (N, K, Y, X), each from the filter responses of one pixel.

    Parameters
    ----------
    channels
        C.
    classes
        K.
    """

    mean: Tensor
    deviation: Tensor
    reach = REACH
    stride = 2 ** (SCALES - 1)  # windows that start on multiples of it see the same pixels of coarse scales

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        features = filter_responses(torch.zeros(1, channels, SMALLEST, SMALLEST)).shape[1]
        self.register_buffer("mean", torch.zeros(features, 1, 1))
        self.register_buffer("deviation", torch.ones(features, 1, 1))
        widths = [features, HIDDEN, HIDDEN, classes]
        first, second, last = (nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        self.layers = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, K, Y, X)."""
        height, width = images.shape[-2:]
        missing = (0, max(0, SMALLEST - width), 0, max(0, SMALLEST - height))
        images = F.pad(images, missing, mode="replicate") if any(missing) else images
        logits: Tensor = self.layers(channels_last(self.responses(images)[..., :height, :width]))
        return logits

    @torch.no_grad()
    def responses(self, images: Tensor) -> Tensor:
        """Return what the layers see of images (N, C, Y, X): (N, F, Y, X) float32, of mean 0 and deviation 1."""
        with torch.autocast(images.device.type, enabled=False):
            found = filter_responses(images.float())
        return found.sub_(self.mean).div_(self.deviation).clamp_(-FARTHEST, FARTHEST)

    @torch.no_grad()
    def get_used_to(self, images: Tensor) -> None:
        """Measure the mean and the deviation of the filter responses of images (N, C, Y, X)."""
        found = filter_responses(images)
        self.mean.copy_(found.mean((0, 2, 3))[:, None, None])
        self.deviation.copy_(found.std((0, 2, 3))[:, None, None].clamp(min=1e-3))
