"""Parts of planes as the instant classifier understands them; what they look like is kept.

A further stroke changes the regression and not the features, which take nearly all of the time: so a part that was
looked at once is understood anew in a few hundredths of a second.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .device import precision, send
from .featuremaps import BORDER, square
from .networks.pixels import REACH, Pixels
from .networks.trunk import STRIDES
from .patches import Source
from .windows import Place

MOST = 2**22  # pixels whose features are kept, the latest: 150 MB


class Parts:
    """Square parts of planes, by where they begin.

    Parameters
    ----------
    pixels
        The classifier; it may learn meanwhile.
    """

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels
        self._maps: dict[Place, list[Tensor]] = {}  # half precision: features are at most 4

    def look(self, source: Source, place: Place, size: int) -> None:
        """Find out what a part of this many pixels a side looks like, unless that is known."""
        if place not in self._maps:
            self._maps[place] = self._features(source, place, size)
            while len(self._maps) > max(1, MOST // size**2):
                del self._maps[next(iter(self._maps))]

    @torch.inference_mode()
    def understood(self, source: Source, place: Place, size: int) -> np.ndarray:
        """Return class probabilities of a part, (K, size, size)."""
        self.look(source, place, size)
        maps = self._maps[place] = self._maps.pop(place)  # the latest
        logits = self._pixels.regression([m.float() for m in maps], BORDER)[0, :, :size, :size]
        found: np.ndarray = logits.softmax(0).cpu().numpy()
        return found

    @torch.inference_mode()
    def _features(self, source: Source, place: Place, size: int) -> list[Tensor]:
        """Return the maps of a part with its border, (1, F, y, x) each."""
        _, plane, y, x = place
        device = self._pixels.bias.device
        side = -(-size // BORDER) * BORDER
        window, top, left = source.around(plane, y, x, side, REACH)
        with precision(device):
            maps = self._pixels.features(send(np.ascontiguousarray(window), device)[None])
        cut = top - BORDER, left - BORDER, side + 2 * BORDER
        return [square(m, *(n // stride for n in cut)).half() for m, stride in zip(maps, STRIDES, strict=True)]
