"""Strokes and masks become one thing: a target per plane, 0..K-1 for classes and 255 where nothing is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .images import Stack
from .task import Strokes

MOST_CLASSES = 33  # background included: masks with more hold object numbers, not classes
IGNORE = 255
"""Nothing is known about this pixel."""

Targets = dict[tuple[int, int], np.ndarray]
"""(image, plane) → (Y, X) uint8, 255 where nothing is known."""


def targets_of_strokes(stacks: Sequence[Stack], strokes: Sequence[np.ndarray | Strokes]) -> Targets:
    """Return what strokes say: 0 = not annotated, 1 = background, 2..K+1 = classes.

    Parameters
    ----------
    stacks
        The images.
    strokes
        One per image: an integer array on its spatial axes, or a mapping of annotated planes {plane: (Y, X)}.

    Raises
    ------
    ValueError
        If a shape or a value does not fit.
    """
    targets: Targets = {}
    for i, (stack, given) in enumerate(zip(stacks, strokes, strict=True)):
        for plane, values in _planes(stack, given, "strokes").items():
            if values.any():
                targets[i, plane] = target_of_strokes(values)
    return targets


def target_of_strokes(values: np.ndarray) -> np.ndarray:
    """Return the target of one plane of strokes; values that cannot be a class become unknown."""
    possible = (values > 0) & (values <= IGNORE)
    return np.where(possible, values, 0).astype(np.uint8) - np.uint8(1)  # 0 becomes 255, which is IGNORE


def targets_of_masks(
    stacks: Sequence[Stack], masks: Sequence[np.ndarray | Strokes], names: Sequence[str] | None = None
) -> Targets:
    """Return what dense masks say: 0 = background, 1..K = classes, 255 = ignore.

    Where the classes' names are known, some of them may be absent.

    Raises
    ------
    ValueError
        If a shape does not fit, or the values are not 0..K and 255.
    """
    targets: Targets = {}
    seen: set[int] = set()
    for i, (stack, given) in enumerate(zip(stacks, masks, strict=True)):
        for plane, values in _planes(stack, given, "mask").items():
            targets[i, plane] = values.astype(np.uint8)
            seen |= set(np.unique(targets[i, plane]).tolist())
    if seen == {0, IGNORE}:
        raise ValueError("the masks hold 0 and 255 only, and 255 means 'ignore' here; write the object as 1")
    classes = sorted(seen - {IGNORE})
    if len(classes) > MOST_CLASSES:
        raise ValueError(
            f"the masks hold {len(classes)} values, so they seem to number objects; write every object as its class"
        )
    if not names and classes != list(range(len(classes))):
        shown = ", ".join(map(str, classes[:8])) + (", …" if len(classes) > 8 else "")
        raise ValueError(
            f"the masks hold the values {shown}; expected 0 for background and 1, 2, … for classes, no gaps"
        )
    return targets


def _planes(stack: Stack, given: np.ndarray | Strokes, what: str) -> Strokes:
    """Return checked annotated planes of one image."""
    if isinstance(given, Mapping):
        planes = dict(given)
        shapes = {tuple(p.shape) for p in planes.values()} or {stack.plane_shape}
        expected: tuple[int, ...] = stack.plane_shape
        if planes and not 0 <= min(planes) <= max(planes) < stack.planes:
            raise ValueError(f"the {what} name plane {max(planes)} but {stack.name} has {stack.planes} planes")
    else:
        shapes, expected = {tuple(given.shape)}, stack.spatial_shape
        planes = dict(enumerate(np.reshape(given, (-1, *given.shape[-2:])))) if shapes == {expected} else {}
    if shapes != {expected}:
        raise ValueError(
            f"the {what} of {stack.name} are {shapes.pop()} but the image is {expected}; choose the ones drawn on it"
        )
    for values in planes.values():
        if values.dtype.kind not in "bui":
            raise ValueError(f"the {what} of {stack.name} hold {values.dtype} values; expected whole numbers")
        if values.size and not 0 <= int(values.min()) <= int(values.max()) <= IGNORE:
            raise ValueError(
                f"the {what} of {stack.name} hold values from {values.min()} to {values.max()}; expected 0 to {IGNORE} "
                "(object numbers of an instance mask are not classes: write every object as 1)"
            )
    return planes


def check_strokes(
    stacks: Sequence[Stack], strokes: Sequence[np.ndarray | Strokes], classes: Sequence[str] | None = None
) -> None:
    """Raise ValueError, as `finetune` would, unless there is something to learn from these strokes."""
    check_classes(targets_of_strokes(stacks, strokes), classes, "strokes")


def check_classes(targets: Targets, names: Sequence[str] | None, what: str) -> tuple[str, ...]:
    """Return the names of the classes, background first, after checking that there is something to learn.

    Raises
    ------
    ValueError
        If nothing is annotated, only one class is, or there are more classes than names.
    """
    present = sorted({int(k) for target in targets.values() for k in np.unique(target)} - {IGNORE})
    if not present:
        raise ValueError(f"the {what} are empty; annotate at least two classes, for instance background and object")
    if len(present) == 1:
        known = names or ("background",)
        only = known[present[0]] if present[0] < len(known) else f"class {present[0]}"
        raise ValueError(
            f"only {only!r} is annotated; annotate at least one other class, so that there is a difference"
        )
    if names is None:
        return ("background", *(f"class {k}" for k in range(1, present[-1] + 1)))
    if present[-1] >= len(names):
        value = present[-1] + (what == "strokes")
        raise ValueError(f"the {what} hold {value} but there are {len(names)} classes: {', '.join(names)}; add a class")
    return tuple(names)
