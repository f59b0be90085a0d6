"""What the trunk sees of windows anywhere: as when planes are predicted, and kept.

A feature that sees far depends on what lies around, so a window is not looked at alone: planes are, in tiles, and
windows are cut from their maps. The trunk is never trained, so a tile that was looked at once costs nothing in any
later step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .device import precision, send
from .instant import TILE
from .networks.pixels import REACH, Pixels
from .networks.trunk import STRIDES
from .patches import Source
from .views import look

ROOM = 2**23  # pixels whose maps are kept, the latest: 300 MB
BORDER = max(STRIDES)  # pixels around a window that enlarging its coarsest map looks at

Place = tuple[int, int, int, int]  # image, plane, y and x of the first pixel


class FeatureMaps:
    """Cuts windows from the trunk's maps of planes.

    Parameters
    ----------
    pixels
        Gives the features.
    sources
        The images.
    """

    def __init__(self, pixels: Pixels, sources: Sequence[Source]) -> None:
        self._pixels, self._sources = pixels, sources
        self._tiles: dict[Place, list[Tensor]] = {}  # half precision: features are at most 4

    @torch.no_grad()
    def __call__(self, places: Sequence[Place], size: int, matrices: Tensor) -> list[Tensor]:
        """Return what matrices see of windows with a border, (N, F, y, x) float32 for each of the trunk's maps.

        Parameters
        ----------
        places
            Where windows begin, N; beyond a plane its border is repeated.
        size
            Side of the windows, pixels; their maps are as large as those of the next multiple of 32, and 32 wider on
            every side.
        matrices
            (N, 2, 3), as of `views.geometry`: flips, turns and scales around the middle of a window.
        """
        side = -(-size // BORDER) * BORDER
        wide, cut = side + 2 * BORDER, side + 3 * BORDER  # cuts begin at multiples of 32
        starts = [[n // BORDER * BORDER for n in place[2:]] for place in places]
        cuts = [self._cut((*p[:2], y - BORDER, x - BORDER), cut) for p, (y, x) in zip(places, starts, strict=True)]
        offsets = torch.tensor([[p[3] - x, p[2] - y] for p, (y, x) in zip(places, starts, strict=True)])  # (N, 2): x, y
        turn = matrices[:, :, :2]
        middle = BORDER + offsets + size / 2 + turn.sum(2) * (side - size) / 2  # of what is seen, in the cut
        seen = torch.cat([turn * wide / cut, 2 / cut * middle[..., None] - 1], 2)
        stacked = (torch.stack(maps).float() for maps in zip(*cuts, strict=True))
        return [look(m, seen, wide // stride) for m, stride in zip(stacked, STRIDES, strict=True)]

    def _cut(self, place: Place, size: int) -> list[Tensor]:
        """Return the maps of a square that begins at multiples of 32, (F, y, x) each."""
        image, plane, y, x = place
        ends = self._sources[image].stack.plane_shape
        rows, columns = (_tiles(start, size, end) for start, end in zip((y, x), ends, strict=True))
        tiles = [[self._tile((image, plane, row, column)) for column in columns] for row in rows]
        maps = [torch.cat([torch.cat([t[i] for t in line], 2) for line in tiles], 1) for i in range(len(STRIDES))]
        first = y - rows[0], x - columns[0]
        return [square(m, *(n // s for n in (*first, size))) for m, s in zip(maps, STRIDES, strict=True)]

    def _tile(self, place: Place) -> list[Tensor]:
        """Return the maps of a tile, (F, y, x) each, smaller where the plane ends."""
        if place in self._tiles:
            self._tiles[place] = self._tiles.pop(place)  # the latest
            return self._tiles[place]
        image, plane, y, x = place
        device = self._pixels.bias.device
        window, top, left = self._sources[image].around(plane, y, x, TILE, REACH)
        with precision(device):
            maps = self._pixels.features(send(np.ascontiguousarray(window), device)[None])
        kept = [[slice(n // stride, (n + TILE) // stride) for n in (top, left)] for stride in STRIDES]
        self._tiles[place] = [
            m[0, :, rows, columns].half().clone() for m, (rows, columns) in zip(maps, kept, strict=True)
        ]
        while len(self._tiles) > max(1, ROOM // TILE**2):
            del self._tiles[next(iter(self._tiles))]
        return self._tiles[place]


def _tiles(start: int, size: int, length: int) -> range:
    """Return where the tiles begin that a window of a plane touches; the outermost ones if it lies beyond."""
    first, last = (min(max(0, n), length - 1) // TILE for n in (start, start + size - 1))
    return range(first * TILE, last * TILE + 1, TILE)


def square(features: Tensor, y: int, x: int, size: int) -> Tensor:
    """Return a square of a map (..., y, x), whose border is repeated beyond it."""
    rows, columns = (
        (start + torch.arange(size, device=features.device)).clamp(0, length - 1)
        for start, length in zip((y, x), features.shape[-2:], strict=True)
    )
    return features[..., rows, :][..., columns]
