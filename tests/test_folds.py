"""Folds: whole strokes are dealt, keep their fold, and what is held out leaves a gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btunet.folds import GAP, Folds
from btunet.labels import IGNORE


def rows_of(classes: list[int], side: int = 120) -> np.ndarray:
    """Return a target with one horizontal stroke per class given, ten rows apart."""
    target = np.full((side, side), IGNORE, np.uint8)
    for number, kind in enumerate(classes):
        target[5 + 10 * number, 20:60] = kind
    return target


def test_every_annotated_pixel_belongs_to_one_stroke_of_its_class() -> None:
    target = rows_of([0, 1, 0, 2])
    target[5:16, 60] = 0  # joins two strokes of class 0? only the first: the second belongs to class 1
    folds = Folds()
    folds.deal(0, 3, target)
    found = np.full(target.size, IGNORE, np.uint8)
    for stroke in folds.strokes:
        assert (found[stroke.pixels] == IGNORE).all()
        found[stroke.pixels] = stroke.kind
        assert (stroke.image, stroke.plane) == (0, 3)
    np.testing.assert_array_equal(found.reshape(target.shape), target)


def test_pixels_that_touch_by_a_corner_are_one_stroke() -> None:
    target = np.full((10, 10), IGNORE, np.uint8)
    target[np.arange(8), np.arange(8)] = 1
    folds = Folds()
    folds.deal(0, 0, target)
    assert len(folds.strokes) == 1


def test_the_strokes_of_each_class_are_dealt_evenly() -> None:
    folds = Folds(5)
    folds.deal(0, 0, rows_of([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]))
    for kind in (0, 1):
        assert sorted(s.fold for s in folds.strokes if s.kind == kind) == [0, 1, 2, 3, 4]


def test_a_second_plane_goes_on_where_the_first_stopped() -> None:
    folds = Folds(5)
    folds.deal(0, 0, rows_of([0, 0, 1]))
    folds.deal(0, 1, rows_of([0, 0, 0, 1]))
    assert sorted(s.fold for s in folds.strokes if s.kind == 0) == [0, 1, 2, 3, 4]


def test_a_stroke_that_grows_keeps_its_fold_whatever_is_painted_before_it() -> None:
    folds = Folds(5)
    target = rows_of([0, 1, 0, 1])
    folds.deal(0, 0, target)
    before = {int(s.pixels[-1]): s.fold for s in folds.strokes}
    target[0, 5:50] = 1  # a new stroke above all others
    target[5:45, 18:20] = IGNORE
    target[15, 60:80] = 1  # one grows
    folds.deal(0, 0, target)
    after = {int(s.pixels[-1]): s.fold for s in folds.strokes}
    grown = 15 * 120 + 79
    assert after.pop(grown) == before.pop(15 * 120 + 59)
    assert after.items() >= before.items()


def test_erased_strokes_are_forgotten() -> None:
    folds = Folds()
    folds.deal(0, 0, rows_of([0, 1]))
    folds.deal(0, 0, np.full((120, 120), IGNORE, np.uint8))
    assert folds.strokes == []


def test_nothing_within_the_gap_of_a_held_out_stroke_is_learned() -> None:
    target = np.full((100, 100), IGNORE, np.uint8)
    target[50, 20:40] = 0
    target[40:60, 45:80] = 1  # begins five pixels beside the first
    folds = Folds(2)
    folds.deal(0, 0, target)
    fold = next(s.fold for s in folds.strokes if s.kind == 0)
    rest = folds.without(fold, {(0, 0): target})[0, 0]
    known = np.argwhere(rest != IGNORE)
    away = np.hypot(known[:, 0] - 50, np.maximum(known[:, 1] - 39, 0))
    assert away.min() > GAP
    assert (rest[known[:, 0], known[:, 1]] == 1).all()
    far = np.hypot(np.arange(100)[:, None] - 50, np.maximum(np.arange(100) - 39, 0)) > GAP
    np.testing.assert_array_equal(rest[far & (target == 1)], 1)
    assert (target[50, 20:40] == 0).all()  # what came in is as it was


def test_a_plane_of_which_all_is_held_out_is_left_out() -> None:
    target = rows_of([0])
    folds = Folds()
    folds.deal(0, 0, target)
    assert folds.without(folds.strokes[0].fold, {(0, 0): target}) == {}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=11), st.integers(2, 6))
def test_no_two_folds_of_a_class_differ_by_more_than_one_stroke(classes: list[int], count: int) -> None:
    folds = Folds(count)
    folds.deal(0, 0, rows_of(classes))
    for kind in set(classes):
        sizes = np.bincount([s.fold for s in folds.strokes if s.kind == kind], minlength=count)
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("corner", [(0, 0), (119, 119)])
def test_strokes_at_the_border_are_held_out_too(corner: tuple[int, int]) -> None:
    target = rows_of([1, 1])
    target[corner] = 0
    folds = Folds()
    folds.deal(0, 0, target)
    fold = next(s.fold for s in folds.strokes if s.kind == 0)
    assert folds.without(fold, {(0, 0): target})[0, 0][corner] == IGNORE
