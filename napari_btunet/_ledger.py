"""Which planes of a strokes layer changed, told without looking through all of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from btunet.journal import Block, changes

if TYPE_CHECKING:
    from napari.layers import Labels

MOST = 2**28  # bytes of strokes up to which empty planes are looked through
PATIENCE = 0.008  # seconds that looking for undone strokes may take at a time
AT_ONCE = 2**18  # bytes that are compared between two looks at the clock; they fit into a processor's cache
Box = tuple[int, int, int, int]  # top, bottom, left, right, pixels
WIDE = 2**31  # more pixels than a plane has
WHOLE: Box = (0, WIDE, 0, WIDE)


def around(one: Box, other: Box) -> Box:
    """Return the smallest box around two."""
    return min(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), max(one[3], other[3])


class Ledger:
    """Knows which planes of a strokes layer were painted, without ever scanning the others.

    napari tells of a stroke, but not of undo, nor of what other plugins write into the array. So after every other
    redrawing the planes that were ever painted are compared with their last copy, those painted last first, a band of
    rows at a time; what is to be kept or learned is also looked for in the other planes, unless there are too many.

    Parameters
    ----------
    layer
        The strokes.
    scan
        Whether they may be painted already.
    """

    def __init__(self, layer: Labels, *, scan: bool) -> None:
        self.layer = layer
        self._taken: dict[int, np.ndarray] = {}
        self._touched: dict[int, Box] = {}  # plane → where it was painted
        self._doubtful: list[tuple[int, Box]] = []  # bands that an undo may have changed, the likeliest last
        self._unseen: list[tuple[int, Box]] = []  # bands of planes that were empty and may not be any more
        self._half: dict[int, Box] = {}  # what is different in a plane that was not compared to its end yet
        if scan:
            self._touch(np.flatnonzero(self._planes().any((1, 2))).tolist())
        layer.events.paint.connect(self._on_paint)
        layer.events.data.connect(self._on_replaced)
        layer.events.set_data.connect(self._on_redrawn)

    @property
    def is_painted(self) -> bool:
        """Whether anything was ever painted here."""
        return bool(self._touched or self._taken)

    @property
    def is_taken(self) -> bool:
        """Whether `take` has told everything; it does not look into planes that were never painted."""
        return not (self._touched or self._doubtful or self._half)

    @property
    def is_settled(self) -> bool:
        """Whether `blocks` has told everything."""
        return self.is_taken and not self._unseen

    def _planes(self) -> np.ndarray:
        return np.asarray(self.layer.data.reshape(-1, *self.layer.data.shape[-2:]))  # (planes, Y, X)

    def _touch(self, planes: Iterable[int], box: Box = WHOLE) -> None:
        for plane in planes:
            self._touched[plane] = around(box, self._touched.get(plane, box))

    def _on_paint(self, event: Any) -> None:
        leading = self.layer.data.shape[:-2]
        for atom in event.value:
            places = atom.slice_key if hasattr(atom, "slice_key") else [np.unique(i) for i in atom[0]]
            axes = [np.arange(n)[p] for p, n in zip(places, self.layer.data.shape, strict=True)]
            grid = np.meshgrid(*map(np.atleast_1d, axes[:-2]), indexing="ij")
            planes = np.ravel_multi_index(grid, leading).ravel().tolist() if leading else [0]
            (top, bottom), (left, right) = ((int(np.min(a)), int(np.max(a)) + 1) for a in axes[-2:])
            self._touch(planes, (top, bottom, left, right))

    def _on_replaced(self, _: Any = None) -> None:
        planes = self._planes()
        self._taken = {
            p: strokes
            for p, strokes in self._taken.items()
            if p < len(planes) and (strokes.shape, strokes.dtype) == (planes.shape[1:], planes.dtype)
        }
        self._touch(range(len(planes)))

    def _on_redrawn(self, _: Any = None) -> None:
        self._tell_half()
        planes = range(len(self._planes())) if self.layer.data.nbytes <= MOST else ()
        self._unseen = self._bands(plane for plane in planes if plane not in self._taken)
        begun = [band for band in self._doubtful if band[0] == self._doubtful[-1][0]]
        known = set(begun)
        others = [band for band in self._bands(self._taken) if band not in known]
        self._doubtful = others + begun  # gone on with, or the end of a large plane would never come

    def _bands(self, planes: Iterable[int]) -> list[tuple[int, Box]]:
        """Return planes in bands of rows, the first rows of the last plane last."""
        height, width = self.layer.data.shape[-2:]
        rows = max(1, AT_ONCE // max(1, width * self.layer.data.dtype.itemsize))
        tops = range(0, height, rows)[::-1]
        return [(plane, (top, top + rows, 0, WIDE)) for plane in planes for top in tops]

    def _look(self, bands: list[tuple[int, Box]], until: float) -> None:
        """Compare bands until that time; where a plane is different counts as painted when all of it was compared."""
        planes = self._planes()
        while bands and time.perf_counter() <= until:
            plane, box = bands.pop()
            if plane < len(planes) and self._is_new(planes, plane, box):
                self._half[plane] = around(box, self._half.get(plane, box))
            if not bands or bands[-1][0] != plane:
                self._tell_half()

    def _tell_half(self) -> None:
        for plane, box in self._half.items():
            self._touch([plane], box)
        self._half = {}

    def _is_new(self, planes: np.ndarray, plane: int, box: Box) -> bool:
        """Return whether a part of a plane is not what was taken; what was never taken was empty."""
        top, bottom, left, right = box
        now = planes[plane, top:bottom, left:right]
        if plane not in self._taken:
            return bool(now.any())
        return not np.array_equal(now, self._taken[plane][top:bottom, left:right])

    def take(self, patience: float = np.inf) -> dict[int, np.ndarray]:
        """Return copies of the planes that changed since the last call: plane → (Y, X).

        Undone strokes are looked for so many seconds; what is left is looked at next time (`is_settled`).
        """
        self._look(self._doubtful, time.perf_counter() + patience)
        planes, changed = self._planes(), dict[int, np.ndarray]()
        for plane, box in sorted(self._touched.items()):
            if plane < len(planes) and (plane not in self._taken or self._is_new(planes, plane, box)):
                changed[plane] = planes[plane].copy()
        self._touched.clear()
        for plane, strokes in changed.items():
            self._taken.pop(plane, None)  # the last one painted is the last of all
            self._taken[plane] = strokes
        return changed

    def blocks(self, patience: float = PATIENCE) -> list[Block]:
        """Return the smallest blocks that bring what was taken before up to date.

        What was undone, or written by others, is looked for so many seconds, as in `take`.
        """
        until = time.perf_counter() + patience
        self._look(self._doubtful, until)
        self._look(self._unseen, until)
        planes, found = self._planes(), list[Block | None]()
        for plane, (top, bottom, left, right) in self._touched.items():
            if plane < len(planes):
                kept = self._taken.pop(plane, None)
                kept = np.zeros(planes.shape[1:], planes.dtype) if kept is None else kept
                self._taken[plane] = kept  # the last one painted is the last of all
                now, before = planes[plane, top:bottom, left:right], kept[top:bottom, left:right]
                found.append(changes(plane, before, now, (top, left)))
                np.copyto(before, now)
        self._touched.clear()
        return [block for block in found if block is not None]

    def all(self) -> dict[int, np.ndarray]:
        """Return copies of all planes that hold strokes: plane → (Y, X)."""
        self._look(self._unseen, np.inf)
        self.take()
        return {plane: strokes for plane, strokes in self._taken.items() if strokes.any()}

    def begin_with(self, planes: dict[int, np.ndarray]) -> None:
        """Take these (Y, X) as what the layer held before."""
        kinds = {plane: np.result_type(strokes.dtype, self.layer.data.dtype) for plane, strokes in planes.items()}
        self._taken = {plane: strokes.astype(kinds[plane]) for plane, strokes in planes.items()}  # room for what comes
        self._touch(planes)

    def forget(self) -> None:
        """Tell everything anew."""
        self._touch(self._taken)
        self._taken = {}
