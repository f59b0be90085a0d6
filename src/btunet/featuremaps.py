"""What the trunk sees of windows anywhere: as when planes are predicted, and kept.

A feature that sees far depends on what lies around, so a window is looked at together with that, and with nothing
mirrored beyond the plane. The trunk is never trained: painted planes, where most windows lie, are looked at once, in
tiles, and windows are cut from their maps.
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
from .patches import Annotations, Source
from .views import look
from .windows import Place

ROOM = 2**23  # pixels whose maps are kept: 250 MB
BORDER = max(STRIDES)  # pixels around a window that enlarging its coarsest map looks at
ALONE = REACH // 2  # pixels around a window and its border that are looked at for it alone


class FeatureMaps:
    """Cuts windows from the trunk's maps of planes.

    Parameters
    ----------
    pixels
        Gives the features.
    sources
        The images.
    annotations
        What is painted; more may come.
    """

    def __init__(self, pixels: Pixels, sources: Sequence[Source], annotations: Annotations) -> None:
        self._pixels, self._sources, self._annotations = pixels, sources, annotations
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
        corners = [[(image, plane, row, column) for column in columns] for row in rows]
        wanted = self._tiles.keys() | {corner for line in corners for corner in line}
        if (image, plane) in self._annotations.targets and len(wanted) <= ROOM // TILE**2:
            tiles = [[self._tile(corner) for corner in line] for line in corners]
            maps = [torch.cat([torch.cat([t[i] for t in line], 2) for line in tiles], 1) for i in range(len(STRIDES))]
            first = y - rows[0], x - columns[0]
        else:
            maps, top, left = self._look(place, size, ALONE)
            first = top + min(0, y), left + min(0, x)
        return [square(m, *(n // s for n in (*first, size))) for m, s in zip(maps, STRIDES, strict=True)]

    def _tile(self, place: Place) -> list[Tensor]:
        """Return the maps of a tile, (F, y, x) each, smaller where the plane ends."""
        if place not in self._tiles:
            maps, *first = self._look(place, TILE, REACH)
            kept = [[slice(n // stride, (n + TILE) // stride) for n in first] for stride in STRIDES]
            self._tiles[place] = [m[:, y, x].clone() for m, (y, x) in zip(maps, kept, strict=True)]
        return self._tiles[place]

    def _look(self, place: Place, size: int, margin: int) -> tuple[list[Tensor], int, int]:
        """Return the maps of what lies around a square, (F, y, x) float16 each, and where in it, pixels, it begins."""
        image, plane, y, x = place
        device = self._pixels.bias.device
        window, top, left = self._sources[image].around(plane, y, x, size, margin)
        with precision(device):
            maps = self._pixels.features(send(np.ascontiguousarray(window), device)[None])
        return [m[0].half() for m in maps], top, left


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
