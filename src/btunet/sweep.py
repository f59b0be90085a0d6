"""Sweep over a plane of any size in overlapping windows, from top to bottom, and blend what becomes of them.

Neighbouring windows fade into each other, which hides what is left for networks that see everything. What is held are
the windows side by side and what they give, never a whole plane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

Function: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Turns a window (C, y, x) into (K, y, x) float32."""
Read: TypeAlias = Callable[[slice, slice], np.ndarray]
"""Gives a window (C, y, x) of a plane."""
Rows: TypeAlias = tuple[slice, np.ndarray]
"""Finished rows of a plane: which, and (K, y, x) float32, valid until the next are asked for."""


@dataclass(frozen=True)
class Tiling:
    """How windows lie on a plane.

    Parameters
    ----------
    tile
        Side of the area a window contributes, pixels.
    margin
        Ignored border of each window where it does not touch the plane's own border, pixels.
    fade
        How far a window fades into its neighbours on either side of their border, at most half a tile, pixels.
    """

    tile: int
    margin: int
    fade: int

    def windows(self, shape: tuple[int, int], columns: slice, first: int = 0) -> int:
        """Return how many windows these columns of a plane need, from a row on."""
        if _is_small(shape, self):
            return int(first < shape[0])
        down = len([window for window in _weights(shape[0], self) if _support(*window).stop > first])
        return down * len(_reaching(_weights(shape[1], self), columns))

    def panels(
        self, shape: tuple[int, int], memory: int, values: tuple[int, int, int], step: int, at_least: int = 1
    ) -> list[slice]:
        """Divide a plane into columns that can be swept, each at once, within the memory.

        Parameters
        ----------
        shape
            Height and width of the plane.
        memory
            What the windows read and what becomes of them may take, bytes; one panel of ``step`` columns may be more.
        values
            Channels, bytes of one value as it is read, classes.
        step
            All panels but the last begin and end at multiples of it, pixels.
        at_least
            How many panels are wanted.
        """
        if _is_small(shape, self):
            return [slice(0, shape[1])]
        channels, size, classes = values
        read = self.tile + 2 * (self.margin + self.fade)
        given = 2 * (step + self.tile + 2 * self.fade)  # rows of what becomes of them, and of what is written
        column = read * channels * (size + 1) + given * (classes * 4 + 1)  # size + 1: where it is finite
        steps = -(-shape[1] // step)  # in all
        count = min(steps, max(-(-steps // max(1, memory // column // step)), at_least))
        ends = [min(shape[1], step * (steps * i // count)) for i in range(count)] + [shape[1]]
        return [slice(start, stop) for start, stop in pairwise(ends)]


def blend(function: Function, plane: np.ndarray, how: Tiling) -> np.ndarray:
    """Apply ``function`` to windows of a (C, Y, X) plane and fade its (K, y, x) results together."""
    height, width = plane.shape[-2:]
    result: np.ndarray | None = None
    for rows in sweep(function, lambda y, x: plane[:, y, x], (height, width), how, slice(0, width)):
        if rows:
            result = np.empty((len(rows[1]), height, width), np.float32) if result is None else result
            result[:, rows[0]] = rows[1]
    assert result is not None  # there is at least one row
    return result


def sweep(
    function: Function,
    read: Read,
    shape: tuple[int, int],
    how: Tiling,
    columns: slice,
    *,
    first: int = 0,
    step: int = 1,
) -> Iterator[Rows | None]:
    """Apply ``function`` to the windows of some columns of a plane, from top to bottom.

    Every pixel is the same whichever columns are swept together and wherever the sweep begins.

    Parameters
    ----------
    function, read
        What is applied, and where its windows are from.
    shape
        Height and width of the plane.
    how
        Where the windows lie.
    columns
        Those wanted, with both ends.
    first
        The first row wanted, a multiple of ``step``.
    step
        Rows are given in multiples of it, except the last.

    Yields
    ------
    (slice, ndarray) or None
        Once for each window: the rows that are finished with it, or None.
    """
    height, width = shape
    if _is_small(shape, how):
        whole = function(read(slice(0, height), slice(0, width)))
        yield slice(first, height), whole[:, first:, columns]
        return
    down, across = _weights(height, how), _reaching(_weights(width, how), columns)
    left = across[0][0].start
    sums: np.ndarray | None = None  # (K, rows from `first` on, columns)
    for n, (y, rows) in enumerate(down):
        kept = _support(y, rows)
        if kept.stop <= first:
            continue
        band = read(y, slice(left, across[-1][0].stop))  # (C, y, x)
        for number, (x, weights) in enumerate(across):
            part = function(band[:, :, x.start - left : x.stop - left]) * (rows[:, None] * weights)  # (K, y, x)
            if sums is None:
                held = min(height - first, step + how.tile + 2 * how.fade)
                sums = np.zeros((len(part), held, columns.stop - columns.start), np.float32)
            top, (start, stop) = max(kept.start, first), _common(x, columns)
            place = sums[:, top - first : kept.stop - first, start - columns.start : stop - columns.start]
            place += part[:, top - y.start : kept.stop - y.start, start - x.start : stop - x.start]
            if number + 1 < len(across):
                yield None
        done = height if n + 1 == len(down) else _support(*down[n + 1]).start // step * step
        if done <= first or sums is None:
            yield None
            continue
        yield slice(first, done), sums[:, : done - first]
        rest = kept.stop - done
        sums[:, :rest] = sums[:, done - first : kept.stop - first]
        sums[:, rest:] = 0
        first = done


def _is_small(shape: tuple[int, int], how: Tiling) -> bool:
    """Whether one window is enough for the plane."""
    return max(shape) <= how.tile + how.margin


def _weights(length: int, how: Tiling) -> list[tuple[slice, np.ndarray]]:
    """Cut 0..length into windows with weights that sum to 1 everywhere."""
    windows, fade = [], how.fade
    for start in range(0, length, how.tile):
        stop = min(length, start + how.tile)
        low, high = max(0, start - how.margin - fade), min(length, stop + how.margin + fade)
        at = np.arange(low, high) + 0.5
        weight = np.ones(high - low, np.float32)
        if start > 0:
            weight *= np.clip((at - start + fade) / max(1, 2 * fade), 0, 1) if fade else at > start
        if stop < length:
            weight *= np.clip((stop + fade - at) / max(1, 2 * fade), 0, 1) if fade else at < stop
        windows.append((slice(low, high), weight))
    return windows


def _support(window: slice, weights: np.ndarray) -> slice:
    """Return the part of a window that has weight."""
    kept = np.flatnonzero(weights)
    return slice(window.start + int(kept[0]), window.start + int(kept[-1]) + 1)


def _reaching(windows: list[tuple[slice, np.ndarray]], wanted: slice) -> list[tuple[slice, np.ndarray]]:
    """Return the windows that have weight in what is wanted."""
    return [
        window for window in windows if _common(_support(*window), wanted)[0] < _common(_support(*window), wanted)[1]
    ]


def _common(one: slice, other: slice) -> tuple[int, int]:
    return max(one.start, other.start), min(one.stop, other.stop)
