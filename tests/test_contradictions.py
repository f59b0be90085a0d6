"""A stroke that contradicts all others is found; those that agree are not doubted."""

from __future__ import annotations

import numpy as np
import pytest

from btunet.answering import answer
from btunet.contradictions import contradictions
from btunet.folds import Stroke
from btunet.task import Spot

CLASSES = ("Background", "Object")
SIDE = 160
SHAPES = {(0, 0): (SIDE, SIDE)}


def painted(strokes: int, seed: int, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Return an image, dark on the left and bright on the right, and strokes on both sides."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, noise, (SIDE, SIDE)) + (np.arange(SIDE) >= SIDE // 2)
    values = np.zeros((SIDE, SIDE), np.uint8)
    for row in np.linspace(5, SIDE - 6, strokes).astype(int):
        values[row, 5:40], values[row, SIDE - 40 : SIDE - 5] = 1, 2
    return image, values


def doubts(image: np.ndarray, values: np.ndarray) -> tuple[Spot, ...]:
    """Return what the answering task doubts."""
    task = answer([image], [values], CLASSES, (0, 0))
    for progress in task:
        if progress.doubts is not None:
            task.close()
            return progress.doubts
    raise AssertionError


@pytest.mark.parametrize("seed", range(3))
def test_strokes_that_agree_are_not_doubted(seed: int) -> None:
    assert doubts(*painted(6, seed, noise=0.3)) == ()


@pytest.mark.parametrize(("side", "kind"), [(0, 2), (SIDE // 2, 1)])
def test_a_wrong_stroke_is_the_first_that_is_doubted_and_the_reason_is_said(side: int, kind: int) -> None:
    image, values = painted(8, seed=0)
    row = int(np.unique(np.nonzero(values)[0])[3])
    here = values[row, side : side + SIDE // 2]
    here[here > 0] = kind
    first, *others = doubts(image, values)
    assert (first.image, first.plane, first.y) == (0, 0, row)
    assert side <= first.x < side + SIDE // 2
    assert first.reason == f"painted as {CLASSES[kind - 1]}, looks like {CLASSES[2 - kind]}"
    assert others == []


def stroke(row: int, kind: int) -> Stroke:
    return Stroke(0, 0, kind, 0, row * SIDE + np.arange(10, 31))


def judged(own: float, count: int = 4) -> tuple[list[Stroke], np.ndarray]:
    """Return strokes of which the first is taken for its own class to this share, all others wholly."""
    strokes = [stroke(5 * n, int(n < count)) for n in range(2 * count)]
    shares = np.array([[1 - own, own]] + [[1 - s.kind, s.kind] for s in strokes[1:]], float)
    return strokes, shares


def test_the_spot_shows_the_whole_stroke_and_lies_on_it() -> None:
    strokes, shares = judged(own=0)
    [spot] = contradictions(strokes, shares, shares, CLASSES, SHAPES)
    assert (spot.y, spot.x) == (0, 20)
    assert spot.side >= 21


def test_nothing_is_said_unless_it_is_sure_and_of_most_pixels() -> None:
    strokes, shares = judged(own=0)
    unsure = np.where(shares > 0.5, 0.6, 0.4)
    assert contradictions(strokes, shares, unsure, CLASSES, SHAPES) == ()
    strokes, halves = judged(own=0.5)
    assert contradictions(strokes, halves, shares, CLASSES, SHAPES) == ()


def test_nothing_is_said_of_a_class_with_too_few_strokes() -> None:
    strokes, shares = judged(own=0, count=3)
    assert contradictions(strokes, shares, shares, CLASSES, SHAPES) == ()


def test_the_surest_comes_first() -> None:
    strokes, shares = judged(own=0, count=5)
    shares[:2] = [1, 0]
    sure = shares.copy()
    sure[0], sure[1] = [0.8, 0.2], [0.9, 0.1]
    rows = [spot.y for spot in contradictions(strokes, shares, sure, CLASSES, SHAPES)]
    assert rows == [5, 0]


def test_where_nothing_was_judged_nothing_is_doubted() -> None:
    assert contradictions([], np.zeros((0, 2)), np.zeros((0, 2)), CLASSES, SHAPES) == ()
