from typing import Any

import numpy as np
import pytest

from btunet.images import Stack, as_stack
from btunet.labels import IGNORE, check_classes, target_of_strokes, targets_of_masks, targets_of_strokes

STACK = as_stack(np.zeros((3, 4, 5)), name="photo")
PLANE = np.array([[0, 1, 2, 3, 0]] * 4)


def test_strokes_become_classes_and_what_is_not_annotated_becomes_unknown() -> None:
    target = target_of_strokes(np.array([[0, 1, 2, 7]], np.uint16))
    assert target.tolist() == [[IGNORE, 0, 1, 6]] and target.dtype == np.uint8


def test_an_array_and_a_mapping_of_its_planes_mean_the_same() -> None:
    strokes = np.zeros((3, 4, 5), np.int32)
    strokes[1] = PLANE
    by_array = targets_of_strokes([STACK], [strokes])
    by_plane = targets_of_strokes([STACK], [{1: PLANE}])
    assert list(by_array) == list(by_plane) == [(0, 1)]  # planes without strokes are left out
    assert np.array_equal(by_array[0, 1], by_plane[0, 1])


def test_planes_of_many_leading_axes_are_numbered_as_the_stack_does() -> None:
    stack = Stack(np.zeros((2, 3, 2, 4, 5)), "TZCYX")
    strokes = np.zeros((2, 3, 4, 5), int)
    strokes[1, 2] = PLANE
    assert list(targets_of_strokes([stack], [strokes])) == [(0, 5)]


def test_masks_say_background_everywhere_else_and_all_planes_count() -> None:
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[0] = [0, 1, 2, 0, IGNORE]
    targets = targets_of_masks([STACK], [mask])
    assert list(targets) == [(0, 0), (0, 1), (0, 2)]
    assert np.array_equal(targets[0, 0], mask[0])


def test_a_class_may_be_missing_from_one_mask_if_another_has_it() -> None:
    masks: list[Any] = [{0: PLANE * 0 + 2}, {0: np.minimum(PLANE, 1)}]
    assert set(targets_of_masks([STACK, STACK], masks)) == {(0, 0), (1, 0)}


def test_the_labels_themselves_are_left_alone() -> None:
    strokes = np.zeros((3, 4, 5), np.uint8)
    strokes[1] = PLANE
    copy = strokes.copy()
    targets_of_strokes([STACK], [strokes])[0, 1][:] = 9
    targets_of_masks([STACK], [strokes])[0, 1][:] = 9
    assert np.array_equal(strokes, copy)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((3, 4, 6), int), r"are \(3, 4, 6\) but the image is \(3, 4, 5\); choose the ones drawn on it"),
        (np.zeros((4, 5), int), r"are \(4, 5\) but the image is \(3, 4, 5\)"),
        ({0: np.zeros((5, 4), int)}, r"are \(5, 4\) but the image is \(4, 5\)"),
        ({3: PLANE}, "name plane 3 but photo has 3 planes"),
        (np.zeros((3, 4, 5)), "hold float64 values; expected whole numbers"),
        (np.full((3, 4, 5), 256), "hold values from 256 to 256; expected 0 to 255"),
        (np.full((3, 4, 5), -1), "hold values from -1 to -1; expected 0 to 255"),
    ],
)
@pytest.mark.parametrize("make", [targets_of_strokes, targets_of_masks])
def test_labels_that_do_not_fit_are_refused(make: Any, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make([STACK], [given])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 255], "255 means 'ignore' here; write the object as 1"),
        ([1, 2], "the masks hold the values 1, 2; expected 0 for background"),
        ([0, 2], "the masks hold the values 0, 2; expected 0 for background and 1, 2, … for classes, no gaps"),
        (range(0, 40, 2), "the masks hold the values 0, 2, 4, 6, 8, 10, 12, 14, …; expected"),
    ],
)
def test_masks_whose_values_are_no_classes_are_refused(values: Any, message: str) -> None:
    plane = np.resize(np.array(values), (4, 5))
    with pytest.raises(ValueError, match=message):
        targets_of_masks([STACK], [{0: plane}])


def test_where_the_classes_are_known_masks_need_not_have_all_of_them() -> None:
    stacks, mask = [as_stack(np.zeros((1, 2)))], np.array([[0, 2]], np.uint8)
    with pytest.raises(ValueError, match="no gaps"):
        targets_of_masks(stacks, [mask])
    assert np.array_equal(targets_of_masks(stacks, [mask], ["ground", "cell", "debris"])[0, 0], mask)


def test_classes_are_named_by_their_number_unless_names_are_given() -> None:
    targets = {(0, 0): np.array([[0, 2, IGNORE]], np.uint8)}
    assert check_classes(targets, None, "strokes") == ("background", "class 1", "class 2")
    assert check_classes(targets, ["a", "b", "c", "d"], "strokes") == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        ([], None, "the strokes are empty; annotate at least two classes"),
        ([IGNORE], None, "the strokes are empty; annotate at least two classes"),
        ([0], None, "only 'background' is annotated; annotate at least one other class"),
        ([1], None, "only 'class 1' is annotated"),
        ([1], ["sky", "star"], "only 'star' is annotated"),
        ([0, 2], ["sky", "star"], "the strokes hold 3 but there are 2 classes: sky, star"),
    ],
)
def test_labels_nothing_can_be_learned_from_are_refused(values: list[int], names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_classes({(0, 0): np.array([values], np.uint8)}, names, "strokes")
