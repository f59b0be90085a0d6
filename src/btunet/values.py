"""What the values in mask files mean: numbers of objects, gray levels, or classes with gaps become classes 0..K."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .images import CHANNEL_AXES, Stack
from .labels import IGNORE, MOST_CLASSES


def semantic(mask: np.ndarray) -> np.ndarray:
    """Return a mask of numbered objects as one of classes: uint8, 1 where there is an object."""
    return (mask > 0).astype(np.uint8)


def meaning(masks: Iterable[np.ndarray]) -> dict[int, int]:
    """Return value → class for all masks of a set, because one of them alone cannot tell.

    0 and 255 alone are background and class 1. Beside other values 255 is 'ignore', and these are the classes in their
    order: 0, 1, 2, 4 become 0, 1, 2, 3.

    Raises
    ------
    ValueError
        If there are too many values for classes, or 255 may be either.
    """
    seen = {0}
    for mask in masks:
        seen |= set(np.unique(mask).tolist())
        if len(seen) > MOST_CLASSES + 1:
            raise ValueError(
                f"the masks hold more than {MOST_CLASSES} values, so they seem to number objects; say that they are "
                "instances, and every object becomes class 1"
            )
    if seen == {0, IGNORE}:
        return {0: 0, IGNORE: 1}
    values = sorted(seen - {IGNORE})
    if IGNORE in seen and values != list(range(len(values))):
        raise ValueError(
            f"the masks hold {', '.join(map(str, sorted(seen)))}, where 255 may be a class or 'ignore'; write the "
            "classes as 0, 1, 2, … and 255 only for what is to be ignored"
        )
    return {value: place for place, value in enumerate(values)} | ({IGNORE: IGNORE} if IGNORE in seen else {})


def translate(values: np.ndarray, classes: Mapping[int, int], name: str) -> np.ndarray:
    """Return the classes (uint8) that values stand for.

    Raises
    ------
    ValueError
        If a value stands for none.
    """
    known = sorted(classes)
    place = np.searchsorted(known, values).clip(max=len(known) - 1)
    strange = values[np.array(known)[place] != values]
    if strange.size:
        raise ValueError(f"{name} holds {strange[0]}; expected {', '.join(map(str, known))} as in the rest of its set")
    found: np.ndarray = np.array([classes[value] for value in known], np.uint8)[place]
    return found


def whole_numbers(stack: Stack) -> np.ndarray:
    """Return the values of a mask on its spatial axes as integers, in whatever form they were stored.

    Raises
    ------
    ValueError
        If it is in colour, or holds fractions or negative numbers.
    """
    values = stack.whole()
    channel = next((i for i, a in enumerate(stack.axes) if a in CHANNEL_AXES), None)
    if channel is not None:  # gray saved as RGB
        values = np.moveaxis(values, channel, 0)
        if (values != values[:1]).any():
            raise ValueError(f"{stack.name} is in colour; a mask is a gray image whose values are classes")
        values = values[0]
    if values.dtype.kind == "b":
        values = values.astype(np.uint8) * 255  # a set may hold black and white as one bit and as eight
    if values.dtype.kind == "f":
        if (values != np.round(values)).any():  # also where it is NaN
            raise ValueError(f"{stack.name} holds fractions; a mask holds whole numbers")
        values = values.astype(np.int32)
    if values.min() < 0:
        raise ValueError(f"{stack.name} holds {values.min()}; a mask holds 0 for background and numbers above it")
    return values
