"""A small picture of a predicted plane, written as lines of digits so that it fits into a model's header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtGui import QImage, QPixmap

from . import _layers

SIDE = 32  # pixels, at most
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"  # one per class; further classes look like the last
GROUND = (38, 41, 48)  # red, green and blue of the background


def lines_of(mask: np.ndarray) -> list[str]:
    """Return a mask (Y, X), 0 = background, as lines of at most `SIDE` digits."""
    longest = max(mask.shape)
    rows, columns = ((np.arange(max(1, n * SIDE // longest)) + 0.5) * n for n in mask.shape)
    rows, columns = (places / len(places) for places in (rows, columns))
    small = mask[np.ix_(rows.astype(int), columns.astype(int))] if longest > SIDE else mask
    return ["".join(DIGITS[min(int(k), len(DIGITS) - 1)] for k in row) for row in small]


def checked(found: Any) -> tuple[str, ...]:
    """Return lines of digits as they come from a file; none if that is something else."""
    if not isinstance(found, Sequence) or not 0 < len(found) <= SIDE or isinstance(found, str):
        return ()
    lines = tuple(line for line in found if isinstance(line, str) and set(line) <= set(DIGITS))
    widths = {len(line) for line in lines}
    return lines if len(lines) == len(found) and len(widths) == 1 and 0 < widths.pop() <= SIDE else ()


def pixmap_of(lines: Sequence[str]) -> QPixmap:
    """Return the picture, every class in its colour."""
    colours = [GROUND, *(_layers.rgb_of(k + _layers.BACKGROUND) for k in range(1, len(DIGITS)))]
    pixels = np.array([[colours[DIGITS.index(digit)] for digit in line] for line in lines], np.uint8)  # (Y, X, 3)
    height, width = pixels.shape[:2]
    return QPixmap.fromImage(QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888))
