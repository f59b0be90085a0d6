"""Bring images of any origin to one range, robustly and per image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from .images import LARGE, Stack, bands, glimpses, spread

SAMPLED_PLANES = 16
SAMPLED_PIXELS = 2**16  # per plane and channel


@dataclass(frozen=True)
class Normalisation:
    """Two percentiles of each image and channel become -1 and +1; what lies far outside is clipped.

    It is stored in every model, because a model must see new images as it saw its own.
    """

    low: float = 0.5  # percent
    high: float = 99.5  # percent

    def limits(self, stack: Stack) -> np.ndarray:
        """Return the two percentiles of every channel, over planes spread evenly: (2, C) float64.

        Where they are equal, because objects cover less of an even background than is cut off, smallest and largest.
        """
        samples = [_sample(stack, plane) for plane in spread(stack.planes, SAMPLED_PLANES)]
        pixels = np.concatenate(samples, axis=1).astype(np.float64)
        limits = np.percentile(pixels, [self.low, self.high], axis=1)  # (2, C)
        return np.where(limits[0] < limits[1], limits, [pixels.min(1), pixels.max(1)])

    def apply(self, window: np.ndarray, limits: np.ndarray) -> np.ndarray:
        """Return a (C, Y, X) window as float32, clipped to -3..+5; a channel without contrast becomes 0."""
        low, high = limits[..., None, None]  # (C, 1, 1) each
        span = np.where(high > low, high - low, np.inf)
        scaled = window - low  # in float64: a large offset must not cost contrast
        scaled /= span
        scaled *= 2
        scaled -= high > low
        return np.asarray(np.clip(scaled, -3, 5, out=scaled), np.float32)

    def as_dict(self) -> dict[str, float]:
        """Return the percentiles as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> Normalisation:
        """Return the normalisation a model's header describes; raise ValueError if these are no percentiles."""
        low, high = float(values["low"]), float(values["high"])
        if not 0 <= low < high <= 100:
            raise ValueError(f"percentiles {low} and {high}")
        return cls(low, high)


def _sample(stack: Stack, plane: int) -> np.ndarray:
    """Return pixels from everywhere in a plane, (C, n); of planes above `LARGE`, small windows are read and no more."""
    height, width = stack.plane_shape
    if height * width > LARGE:
        return np.concatenate([window.reshape(stack.channels, -1) for window in glimpses(stack, plane)], axis=1)
    every, passed, samples = max(1, height * width // SAMPLED_PIXELS), 0, []
    for band in bands(stack, plane):
        pixels = band.reshape(stack.channels, -1)  # (C, y·X)
        samples.append(pixels[:, -passed % every :: every].copy())  # a view would keep the band
        passed += pixels.shape[1]
    return np.concatenate(samples, axis=1)
