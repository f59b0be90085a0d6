"""What was painted so far: strokes, and the time in which the hand was at work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Labels

PAUSE = 4.0  # seconds; a longer gap between two movements is not work
MODES = ("paint", "fill", "erase", "polygon")


class Effort:
    """Counts strokes, and seconds without pauses."""

    def __init__(self) -> None:
        self.strokes = 0
        self.seconds = 0.0
        self._last = -PAUSE

    def watch(self, layer: Labels) -> None:
        """Count what is painted on a layer from now on."""
        layer.mouse_drag_callbacks.append(self._on_drag)
        layer.events.paint.connect(self._on_paint)

    def work(self, now: float | None = None) -> None:
        """Take note that the hand works, at a time in seconds."""
        now = time.monotonic() if now is None else now
        if 0 < now - self._last <= PAUSE:
            self.seconds += now - self._last
        self._last = now

    def add(self, strokes: int, seconds: float) -> None:
        """Go on with what was painted in an earlier session."""
        self.strokes += strokes
        self.seconds += seconds

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {"strokes": self.strokes, "seconds": round(self.seconds, 1)}

    def describe(self) -> str:
        """Say it in a few words."""
        spent = f"{self.seconds:.0f} s" if self.seconds < 90 else f"{self.seconds / 60:.0f} min"
        return f"{self.strokes} stroke{'s' * (self.strokes != 1)}, {spent}"

    def _on_paint(self, _: Any = None) -> None:
        self.strokes += 1
        self.work()

    def _on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Follow the mouse from press to release, as napari asks for it: once per movement."""
        if layer.mode in MODES:
            self.work()
            yield
            while event.type == "mouse_move":
                self.work()
                yield
            self.work()
