"""The contract all networks share: three named parts, ``encoder``, ``decoder`` and ``head``, and perhaps two more.

``encoder(image)`` returns a list of maps, finest first, coarsest (bottleneck) last; ``decoder(maps)`` returns one map
at the image's size; ``head`` turns it into one logit per class, to which ``pixels`` adds what single pixels look like.
``joints`` add to the encoder's maps what ``pixels`` sees. State-dict prefixes are these names.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from .joints import Joints
from .pixels import Pixels


class Network(nn.Module):
    """A network of three parts for images of any size.

    Parameters
    ----------
    encoder, decoder, head
        The parts.
    widths
        Features per level, finest first.
    reach
        How far, in pixels, one output pixel can see.
    stride
        What image sides are padded to a multiple of, and where tiles begin; by default one halving between two levels.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        head: nn.Conv2d,
        *,
        widths: Sequence[int],
        reach: int,
        stride: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.widths = tuple(widths)
        self.reach = reach
        self.stride = self._coarsest = stride or 2 ** (len(widths) - 1)
        self.pixels: Pixels | None = None
        self.joints: Joints | None = None

    def begin_with(self, pixels: Pixels) -> None:
        """Start from what a classifier of single pixels knows: its answer is that of the network, until it learns.

        Training leaves ``pixels`` as they are; what they see, the decoder sees through ``joints``, which are trained.
        """
        self.pixels, self.joints = pixels.requires_grad_(False), Joints(self.widths)
        self.reach, self.stride = max(self.reach, pixels.reach), max(self.stride, pixels.stride)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor, margin: int = 0, features: list[Tensor] | None = None) -> Tensor:
        """Return logits (N, K, Y, X) for images (N, C, Y + 2·margin, X + 2·margin) of any size.

        The border is repeated up to the stride. Into the margin only ``pixels`` looks, which sees further than a patch;
        its features are worked out unless they are given.
        """
        inner = images[..., margin : images.shape[-2] - margin, margin : images.shape[-1] - margin]
        height, width = inner.shape[-2:]
        pad = (0, -width % self._coarsest, 0, -height % self._coarsest)
        x = F.pad(inner, pad, mode="replicate") if any(pad) else inner  # (N, C, Y', X')
        maps = self.encoder(x)
        if self.pixels is None:
            return self._logits(maps, height, width)
        features = self.pixels.features(images) if features is None else features
        maps = self.joints(maps, features, margin) if self.joints else maps
        return self._logits(maps, height, width) + self.pixels.regression(features, margin)[..., :height, :width]

    def _logits(self, maps: list[Tensor], height: int, width: int) -> Tensor:
        logits: Tensor = self.head(self.decoder(maps))
        return logits[..., :height, :width]


def reach(levels: int, down: int, up: int) -> int:
    """Return how far, in pixels, one output pixel sees through a network that halves the image between levels.

    Parameters
    ----------
    levels
        Number of levels.
    down, up
        How far one level of the encoder and of the decoder looks, in its own pixels.
    """
    coarsest: int = 2 ** (levels - 1)  # pixels that share one of the bottleneck's, so one may see all others
    return down * (2 * coarsest - 1) + up * (coarsest - 1) + coarsest - 1
