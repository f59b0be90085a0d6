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
PATIENCE = 0.02  # seconds that looking for undone strokes may take at a time
Box = tuple[int, int, int, int]  # top, bottom, left, right, pixels
WHOLE: Box = (0, 2**31, 0, 2**31)


def around(one: Box, other: Box) -> Box:
    """Return the smallest box around two."""
    return min(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), max(one[3], other[3])


class Ledger:
    """Knows which planes of a strokes layer were painted, without ever scanning the others.

    napari tells of a stroke, but not of undo, nor of what other plugins write into the array. So after every other
    redrawing the planes that were ever painted are compared with their last copy, those painted last first; what is to
    be kept or learned is also looked for in the other planes, unless there are too many of them.

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
        self._doubtful: list[int] = []  # planes that an undo may have changed, the likeliest last
        self._unseen: list[int] = []  # planes that were empty and may not be any more
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
    def is_settled(self) -> bool:
        """Whether `take` and `blocks` have told everything."""
        return not (self._touched or self._doubtful or self._unseen)

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
        self._doubtful = list(self._taken)
        self._unseen = list(range(len(self._planes()))) if self.layer.data.nbytes <= MOST else []

    def _look_for_more(self, patience: float) -> None:
        """Look for so many seconds whether something was written into planes that were empty."""
        planes, until = self._planes(), time.perf_counter() + patience
        while self._unseen and time.perf_counter() <= until:
            plane = self._unseen.pop()
            if plane not in self._taken and plane < len(planes) and planes[plane].any():
                self._touch([plane])

    def take(self, patience: float = np.inf) -> dict[int, np.ndarray]:
        """Return copies of the planes that changed since the last call: plane → (Y, X).

        Undone strokes are looked for so many seconds; what is left is looked at next time (`is_settled`).
        """
        planes, until = self._planes(), time.perf_counter() + patience
        changed = {p: planes[p].copy() for p in sorted(self._touched) if p < len(planes) and self._is_new(p, planes[p])}
        self._touched.clear()
        while self._doubtful and time.perf_counter() <= until:
            plane = self._doubtful.pop()
            if plane < len(planes) and plane not in changed and self._is_new(plane, planes[plane]):
                changed[plane] = planes[plane].copy()
        for plane, strokes in changed.items():
            self._taken.pop(plane, None)  # the last one painted is the last of all
            self._taken[plane] = strokes
        return changed

    def _is_new(self, plane: int, strokes: np.ndarray) -> bool:
        return plane not in self._taken or not np.array_equal(strokes, self._taken[plane])

    def blocks(self, patience: float = PATIENCE) -> list[Block]:
        """Return the smallest blocks that bring what was taken before up to date.

        What was undone, or written by others, is looked for so many seconds, as in `take`.
        """
        self._look_for_more(patience)
        planes, found = self._planes(), list[Block | None]()
        for plane in [plane for plane in self._touched if plane in self._taken]:
            top, bottom, left, right = self._touched.pop(plane)
            kept = self._taken[plane] = self._taken.pop(plane)  # the last one painted is the last of all
            now = planes[plane][top:bottom, left:right]
            block = changes(plane, kept[top:bottom, left:right], now, (top, left))
            kept[top:bottom, left:right] = now
            found.append(block)
        before = dict(self._taken)
        now = self.take(patience)
        found += [changes(plane, before.get(plane), strokes) for plane, strokes in now.items()]
        return [block for block in found if block is not None]

    def all(self) -> dict[int, np.ndarray]:
        """Return copies of all planes that hold strokes: plane → (Y, X)."""
        self._look_for_more(np.inf)
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
