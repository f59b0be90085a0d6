"""The keys that work while the strokes layer is active, and what they do in a few words."""

from __future__ import annotations

KEYS = {
    "Q": "paint objects; again: of the next class",
    "W": "paint background",
    "E": "erase (napari's own)",
    "N": "go where strokes would tell the most",
    "Shift+N": "back to the place before",
    "U": "show where it is unsure",
    "C": "go to a stroke that contradicts the others",
    "T": "fine-tune, or stop",
    "R": "back to the model before",
    "D": "show where that differs",
    "S": "show or hide the prediction",
    "A": "show or hide the strokes",
}


def listed() -> str:
    """Return the list, a line for each key."""
    return "\n".join(f"{key}  {does}" for key, does in KEYS.items())
