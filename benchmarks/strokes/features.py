"""Multiscale filter features of pixels, computed in tiles, the newest kept in memory."""

from __future__ import annotations

import time
from collections import OrderedDict

import numpy as np
from skimage.feature import multiscale_basic_features

from btunet.images import Stack
from btunet.normalise import Normalisation
from btunet.patches import Source

TILE = 512  # pixels, side of what is computed at once; larger planes are cut into tiles, not shrunk
MARGIN = 96  # pixels around a tile: the widest Gaussian (16 pixels) reaches 64, its derivatives a little further

Key = tuple[int, int, bool]  # which stack, plane, whether as stored


class Features:
    """Filter responses at six scales from 0.5 to 16 pixels: intensity, gradient, two eigenvalues of the Hessian.

    The scales are scikit-image's, about those that ilastik offers (0.3 to 10). Channels are normalised like those that
    networks see, one image at a time, unless ``raw``.

    Parameters
    ----------
    megabytes
        To keep features of planes in, so that several arms need not compute them anew.
    threads
        To compute with.
    """

    def __init__(self, megabytes: int = 1024, threads: int = 1) -> None:
        self._bytes = megabytes * 2**20
        self._threads = threads
        self.saved = (
            0.0  # seconds that were not needed again so far; a user of one arm alone would have waited for them
        )
        self._kept: OrderedDict[Key, np.ndarray] = OrderedDict()
        self._seconds: dict[Key, float] = {}
        self._sources: dict[int, Source] = {}  # holds the stacks, so that their ids stay theirs

    def __call__(self, stack: Stack, plane: int, *, raw: bool = False) -> np.ndarray:
        """Return (Y, X, F) float32."""
        key = id(stack), plane, raw
        if key in self._kept:
            self.saved += self._seconds[key]
        else:
            began = time.perf_counter()
            self._kept[key] = self._computed(stack, plane, raw)
            self._seconds[key] = time.perf_counter() - began
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(f.nbytes for f in self._kept.values()) > self._bytes:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _computed(self, stack: Stack, plane: int, raw: bool) -> np.ndarray:
        source = self._sources.setdefault(id(stack), Source(stack, Normalisation()))
        values = stack.read(plane).astype(np.float32) if raw else source.plane(plane)  # (C, Y, X)
        height, width = values.shape[1:]
        rows = []
        for y in range(0, height, TILE):
            rows.append(np.hstack([self._tile(values, y, x) for x in range(0, width, TILE)]))
        return np.vstack(rows)

    def _tile(self, values: np.ndarray, y: int, x: int) -> np.ndarray:
        y0, x0 = max(0, y - MARGIN), max(0, x - MARGIN)
        window = values[:, y0 : y + TILE + MARGIN, x0 : x + TILE + MARGIN]
        scales = 0.5, 16, None  # the number of threads that follows has had two names, so all are given by place
        found = multiscale_basic_features(window, True, True, True, *scales, self._threads, channel_axis=0)  # (y, x, F)
        return found[y - y0 : y - y0 + TILE, x - x0 : x - x0 + TILE].astype(np.float32)
