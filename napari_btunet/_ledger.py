"""Which planes of a strokes layer changed, told without looking through all of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from btunet.journal import Block, changes

if TYPE_CHECKING:
    from napari.layers import Labels

PATIENCE = 0.02  # seconds that looking for undone strokes may take at a time


class Ledger:
    """Knows which planes of a strokes layer were painted, without ever scanning the others.

    napari tells of a stroke, but not of undo, so after every other redrawing the planes that were ever painted are
    compared with their last copy, those painted last first.

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
        self._touched: set[int] = set()
        self._doubtful: list[int] = []  # planes that an undo may have changed, the likeliest last
        if scan:
            self._touched.update(np.flatnonzero(self._planes().any((1, 2))).tolist())
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
        return not (self._touched or self._doubtful)

    def _planes(self) -> np.ndarray:
        return np.asarray(self.layer.data.reshape(-1, *self.layer.data.shape[-2:]))  # (planes, Y, X)

    def _on_paint(self, event: Any) -> None:
        leading = self.layer.data.shape[:-2]
        for atom in event.value:
            boxes = atom.slice_key if hasattr(atom, "slice_key") else [np.unique(i) for i in atom[0]]
            pairs = zip(boxes, leading, strict=False)
            axes = [np.arange(n)[b] if isinstance(b, slice) else np.atleast_1d(b) for b, n in pairs]
            grid = np.meshgrid(*axes, indexing="ij") if axes else []
            self._touched.update(np.ravel_multi_index(grid, leading).ravel().tolist() if axes else [0])

    def _on_replaced(self, _: Any = None) -> None:
        self._touched.update(range(len(self._planes())))

    def _on_redrawn(self, _: Any = None) -> None:
        self._doubtful = list(self._taken)

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

    def blocks(self) -> list[Block]:
        """Return the smallest blocks that bring what was taken before up to date, within `PATIENCE`."""
        before = dict(self._taken)
        now = self.take(PATIENCE)
        found = (changes(plane, before.get(plane), strokes) for plane, strokes in now.items())
        return [block for block in found if block is not None]

    def all(self) -> dict[int, np.ndarray]:
        """Return copies of all planes that hold strokes: plane → (Y, X)."""
        self.take()
        return {plane: strokes for plane, strokes in self._taken.items() if strokes.any()}

    def begin_with(self, planes: dict[int, np.ndarray]) -> None:
        """Take these (Y, X) as what the layer held before."""
        self._taken = dict(planes)
        self._touched.update(planes)

    def forget(self) -> None:
        """Tell everything anew."""
        self._touched.update(self._taken)
        self._taken = {}
