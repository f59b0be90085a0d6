"""What the trunk sees, added to the maps of an encoder: the decoder sees places as one who knows photographs does.

The trunk's maps go through 1×1 convolutions that begin at zero (as in ControlNet, Zhang et al. 2023), so that at first
the encoder's maps are what they were, pre-trained or not, and training decides how much of each to use.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .trunk import STRIDES, WIDTHS


class Joints(nn.Module):
    """An encoder's maps and the trunk's features → the encoder's maps with more in them; the finest is left as it is.

    Each level takes the features of its own resolution, the coarsest those of lower ones too.

    Parameters
    ----------
    widths
        Features per level of the encoder, finest first; level i halves the image i times.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        strides = [2**level for level in range(1, len(widths))]
        self._taken = [
            [i for i, s in enumerate(STRIDES) if s == stride or s > stride == strides[-1]] for stride in strides
        ]
        self.levels = nn.ParameterList(
            torch.zeros(width, sum(WIDTHS[i] for i in taken), 1, 1)
            for taken, width in zip(self._taken, widths[1:], strict=True)
        )

    def forward(self, maps: list[Tensor], features: Sequence[Tensor], margin: int) -> list[Tensor]:
        """Return maps (N, W_i, Y / 2^i, X / 2^i), given those and the trunk's of the image with a margin, pixels."""
        joined = copy(maps)  # with whatever else an encoder's list holds
        for i, (level, taken) in enumerate(zip(self.levels, self._taken, strict=True), start=1):
            seen = torch.cat([F.interpolate(features[t], scale_factor=STRIDES[t] / 2**i) for t in taken], 1)
            start, (height, width) = margin // 2**i, maps[i].shape[-2:]
            joined[i] = maps[i] + F.conv2d(seen[..., start : start + height, start : start + width], level)
        return joined
