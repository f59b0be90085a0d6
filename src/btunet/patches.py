"""Square patches drawn from anywhere in many stacks, and the index of annotated pixels they are centred on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.random import Generator

from .images import Stack
from .labels import IGNORE
from .normalise import Normalisation

REMEMBERED = 50_000  # pixels kept per plane and class: enough to choose from, bounded for dense masks


class Source:
    """A stack with its normalisation, worked out when needed: gives normalised windows, mirrored beyond the border."""

    def __init__(self, stack: Stack, normalisation: Normalisation) -> None:
        self.stack = stack
        self.normalisation = normalisation

    @cached_property
    def limits(self) -> np.ndarray:
        """The normalisation's limits of the stack, (2, C)."""
        return self.normalisation.limits(self.stack)

    def plane(self, plane: int) -> np.ndarray:
        """Return a whole plane: (C, Y, X) float32."""
        return self.normalisation.apply(self.stack.read(plane), self.limits)

    def patch(self, plane: int, y: int, x: int, size: int) -> np.ndarray:
        """Return the window whose first pixel is (y, x), which may lie outside: (C, size, size) float32."""
        (rows, above, below), (columns, left, right) = (
            _inside(start, size, length) for start, length in zip((y, x), self.stack.plane_shape, strict=True)
        )
        window = self.normalisation.apply(self.stack.read(plane, rows, columns), self.limits)
        if not (above or below or left or right):
            return window
        return np.pad(window, ((0, 0), (above, below), (left, right)), mode="symmetric")

    def around(self, plane: int, y: int, x: int, size: int, margin: int) -> tuple[np.ndarray, int, int]:
        """Return what the plane has of a window with a margin: nothing is mirrored, as when the plane is predicted.

        (C, at most size + 2·margin, likewise) float32, and the row and column at which the window begins in it.
        """
        height, width = self.stack.plane_shape
        top, left = max(0, y - margin), max(0, x - margin)
        rows, columns = slice(top, min(height, y + size + margin)), slice(left, min(width, x + size + margin))
        window = self.normalisation.apply(self.stack.read(plane, rows, columns), self.limits)
        return window, max(0, y) - top, max(0, x) - left


def _inside(start: int, size: int, length: int) -> tuple[slice, int, int]:
    """Return the part of start..start+size inside 0..length, and how much is missing before and after."""
    low, high = max(0, start), min(length, start + size)
    return slice(low, high), low - start, start + size - high


def window_of(target: np.ndarray, y: int, x: int, size: int) -> np.ndarray:
    """Return the (size, size) window of a (Y, X) target whose first pixel is (y, x); 255 outside."""
    (rows, above, below), (columns, left, right) = (
        _inside(start, size, length) for start, length in zip((y, x), target.shape, strict=True)
    )
    return np.pad(target[rows, columns], ((above, below), (left, right)), constant_values=IGNORE)


def random_place(sources: Sequence[Source], size: int, rng: Generator) -> tuple[int, int, int, int]:
    """Return the place of a patch in a plane chosen evenly over all stacks: (image, plane, y, x) of its first pixel."""
    ends = np.cumsum([s.stack.planes for s in sources])
    flat = int(rng.integers(ends[-1]))
    image = int(np.searchsorted(ends, flat, side="right"))
    y, x = (_start(length, size, rng) for length in sources[image].stack.plane_shape)
    return image, flat - int(ends[image]) + sources[image].stack.planes, y, x


def _start(length: int, size: int, rng: Generator) -> int:
    """Return a random start of a window inside the image, or a central one around an image that is smaller."""
    return int(rng.integers(length - size + 1)) if length >= size else (length - size) // 2


class Annotations:
    """Index of the annotated pixels of many planes, so that drawing one never scans an image."""

    def __init__(self) -> None:
        self.targets: dict[tuple[int, int], np.ndarray] = {}  # (image, plane) → (Y, X) uint8, 255 = unknown
        self._pixels: dict[int, dict[tuple[int, int], np.ndarray]] = {}  # class → (image, plane) → flat positions
        self._counts: dict[int, dict[tuple[int, int], int]] = {}  # as above → how many there are in all

    def put(self, image: int, plane: int, target: np.ndarray) -> None:
        """Set what is known about a plane, replacing what was: (Y, X) uint8, 255 where nothing is."""
        key = image, plane
        self.targets.pop(key, None)
        for places in self._pixels.values():
            places.pop(key, None)
        present = [int(k) for k in np.unique(target) if k != IGNORE]
        if present:
            self.targets[key] = target
        for k in present:
            pixels = np.flatnonzero(target == k).astype(np.int64)
            self._counts.setdefault(k, {})[key] = len(pixels)
            self._pixels.setdefault(k, {})[key] = pixels[:: max(1, len(pixels) // REMEMBERED)]

    @property
    def classes(self) -> list[int]:
        """Classes that have at least one pixel."""
        return sorted(k for k, places in self._pixels.items() if places)

    def draw(self, rng: Generator, balanced: bool = True) -> tuple[int, int, int, int]:
        """Return a random annotated pixel as (image, plane, y, x).

        Balanced, first its class is drawn, then its plane, then the pixel; otherwise first its plane.
        """
        if balanced:
            places = self._pixels[int(rng.choice(self.classes))]
            key = list(places)[int(rng.integers(len(places)))]
            pixel = int(rng.choice(places[key]))
        else:
            key = list(self.targets)[int(rng.integers(len(self.targets)))]
            counts = {k: self._counts[k][key] for k in self.classes if key in self._pixels[k]}
            shares = np.array(list(counts.values())) / sum(counts.values())
            pixel = int(rng.choice(self._pixels[int(rng.choice(list(counts), p=shares))][key]))
        y, x = np.unravel_index(pixel, self.targets[key].shape)
        return *key, int(y), int(x)

    def places(self, count: int, size: int, rng: Generator, balanced: bool = True) -> list[tuple[int, int, int, int]]:
        """Return windows around annotated pixels, which lie anywhere in their central half: (image, plane, y, x)."""
        found = []
        for _ in range(count):
            image, plane, y, x = self.draw(rng, balanced)
            y0, x0 = (int(c - size // 4 - rng.integers(max(1, size // 2))) for c in (y, x))
            found.append((image, plane, y0, x0))
        return found

    def known(self, places: Sequence[tuple[int, int, int, int]], size: int) -> np.ndarray:
        """Return what is known in windows: (N, size, size) uint8, 255 = unknown."""
        return np.stack([window_of(self.targets[image, plane], y, x, size) for image, plane, y, x in places])
