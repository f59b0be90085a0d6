import tracemalloc
from typing import Any

import numpy as np
import pytest
from skimage.draw import ellipse

from btunet import ObjectSettings, Stack, make_objects, run
from btunet.objects import instances

SPLIT = ObjectSettings(split=True)


def discs(*middles: tuple[int, int], radius: float = 10, shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.any([(y - a) ** 2 + (x - b) ** 2 <= radius**2 for a, b in middles], axis=0).astype(np.uint8)


def balls(*middles: tuple[int, int, int], flat: float = 1, radius: float = 8) -> np.ndarray:
    """Balls whose planes lie ``flat`` pixels apart."""
    z, y, x = np.mgrid[:30, :40, :40]
    square = [((z - c) * flat) ** 2 + (y - a) ** 2 + (x - b) ** 2 for c, a, b in middles]
    return np.any([s <= radius**2 for s in square], axis=0).astype(np.uint8)


def made(mask: Any, **settings: Any) -> np.ndarray:
    return run(make_objects(mask, ObjectSettings(**settings)))


def test_one_disc_is_not_split() -> None:
    disc = discs((30, 40))
    np.testing.assert_array_equal(instances(disc, SPLIT), disc)


@pytest.mark.parametrize("angle", np.linspace(0, 3, 7))
def test_a_rod_is_not_split_at_any_angle(angle: float) -> None:
    rod = np.zeros((90, 90), np.uint8)
    rod[ellipse(45, 45, 6, 40, rotation=angle)] = 1
    assert instances(rod, SPLIT).max() == 1


def test_two_discs_that_touch_are_split_at_the_neck_between_them() -> None:
    found = instances(discs((30, 30), (30, 46)), SPLIT)
    assert np.unique(found).tolist() == [0, 1, 2]
    assert {found[30, 30], found[30, 46]} == {1, 2}
    assert (found[:, :37] == found[30, 30])[found[:, :37] > 0].all()
    assert (found[:, 40:] == found[30, 46])[found[:, 40:] > 0].all()


def test_without_splitting_they_are_one() -> None:
    assert instances(discs((30, 30), (30, 46)), ObjectSettings()).max() == 1


def test_a_neck_that_is_hardly_narrower_splits_only_if_that_is_asked_for() -> None:
    near = discs((30, 34), (30, 46))  # half the neck is 8 pixels, half the discs 10
    assert instances(near, ObjectSettings(split=True, neck=3)).max() == 1
    assert instances(near, ObjectSettings(split=True, neck=0.5)).max() == 2


def test_no_part_is_smaller_than_the_smallest_object_and_no_pixel_is_lost() -> None:
    pair = discs((30, 30)) | discs((30, 44), radius=5)
    assert instances(pair, SPLIT).max() == 2
    found = instances(pair, ObjectSettings(split=True, smallest=150))
    np.testing.assert_array_equal(found, pair)


def test_a_pixel_that_hangs_on_by_a_corner_is_not_lost_by_splitting() -> None:
    pair = discs((30, 30), (30, 46))
    pair[31, [19, 57]] = 1
    found = instances(pair, SPLIT)
    assert found[31, 19] == found[30, 30] > 0
    assert found[31, 57] == found[30, 46] > 0


def test_splitting_changes_no_object_that_is_whole_and_uses_every_number_once() -> None:
    rng = np.random.default_rng(0)
    mask = discs(*((int(a), int(b)) for a, b in rng.integers(0, 200, (60, 2))), radius=9, shape=(200, 200))
    found = instances(mask, SPLIT)
    np.testing.assert_array_equal(found > 0, mask > 0)
    assert np.unique(found).tolist() == list(range(int(found.max()) + 1))
    joined = instances(mask, ObjectSettings())
    for number in range(1, int(found.max()) + 1):
        assert len(np.unique(joined[found == number])) == 1


def test_a_mask_that_is_one_object_everywhere_is_one_object() -> None:
    np.testing.assert_array_equal(instances(np.ones((20, 30), np.uint8), SPLIT), np.ones((20, 30)))


def test_pixels_that_touch_at_a_corner_are_one_object_and_two_classes_never() -> None:
    found = instances(np.array([[1, 0, 0], [0, 1, 2], [0, 0, 2]], np.uint8), ObjectSettings())
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 1, 2], [0, 0, 2]])


def test_the_smallest_objects_are_left_out_and_the_others_numbered_without_gaps() -> None:
    mask = np.array([[1, 0, 1, 1, 0, 1, 1, 1], [0] * 8, [1, 1, 0, 0, 0, 0, 0, 1]], np.uint8)
    np.testing.assert_array_equal(
        instances(mask, ObjectSettings(smallest=2)), [[0, 0, 1, 1, 0, 2, 2, 2], [0] * 8, [3, 3, 0, 0, 0, 0, 0, 0]]
    )


def ring(kind: int, inside: int = 0) -> np.ndarray:
    mask = np.zeros((9, 9), np.uint8)
    mask[1:8, 1:8] = kind
    mask[2:7, 2:7] = 0
    mask[4, 4] = inside
    return mask


def test_holes_are_filled_where_one_class_surrounds_them() -> None:
    full = np.zeros((9, 9))
    full[1:8, 1:8] = 1
    np.testing.assert_array_equal(instances(ring(2), ObjectSettings(fill_holes=True)), full)
    assert (instances(ring(2), ObjectSettings()) == (ring(2) > 0)).all()


def test_a_hole_that_holds_another_class_or_reaches_the_border_stays() -> None:
    settings = ObjectSettings(fill_holes=True)
    between = instances(ring(1, inside=2), settings)
    np.testing.assert_array_equal(between > 0, ring(1, inside=2) > 0)
    cut = ring(1)[:, 4:]
    np.testing.assert_array_equal(instances(cut[:, :-1], settings), cut[:, :-1])
    open_at_the_border = ring(1)[:, 2:]
    np.testing.assert_array_equal(instances(open_at_the_border, settings) > 0, open_at_the_border > 0)


def test_a_hole_in_the_class_255_is_filled() -> None:
    assert instances(ring(255), ObjectSettings(fill_holes=True))[4, 4] == 1


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7)])
def test_an_empty_mask_has_no_objects(shape: tuple[int, ...]) -> None:
    found = made(np.zeros(shape, np.uint8), fill_holes=True, split=True)
    np.testing.assert_array_equal(found, np.zeros(shape))
    assert found.dtype == np.uint8


def test_objects_reach_through_the_planes_of_a_z_stack() -> None:
    mask = np.zeros((3, 4, 8), np.uint8)
    mask[:2, 0, 0] = mask[0, 2, 5] = mask[2, 2, 5] = 1
    found = made(mask)
    assert found[0, 0, 0] == found[1, 0, 0]
    assert found[0, 2, 5] != found[2, 2, 5]
    assert found.max() == 3


@pytest.mark.parametrize(
    "stack",
    [Stack(np.ones((3, 4, 5), np.uint8), axes) for axes in ("TYX", "PYX", "QYX")] + [np.ones((3, 4, 5), np.uint8)],
    ids=["time", "positions", "unknown", "plane by plane"],
)
def test_numbers_go_on_from_plane_to_plane_where_planes_are_not_connected(stack: Any) -> None:
    found = made(stack, plane_by_plane=isinstance(stack, np.ndarray))
    np.testing.assert_array_equal(found[:, 0, 0], [1, 2, 3])
    assert all(len(np.unique(plane)) == 1 for plane in found)


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX"])
def test_every_time_point_has_volumes_of_its_own(axes: str) -> None:
    found = made(Stack(np.ones((2, 2, 4, 5), np.uint8), axes))
    over_time = found if axes == "TZYX" else found.swapaxes(0, 1)
    np.testing.assert_array_equal(over_time[:, :, 0, 0], [[1, 1], [2, 2]])


def test_two_balls_that_touch_are_split_in_a_volume() -> None:
    found = made(balls((15, 20, 12), (15, 20, 26)), split=True)
    assert found.max() == 2
    assert found[15, 20, 12] != found[15, 20, 26]


def test_splitting_a_volume_minds_how_far_its_planes_lie_apart() -> None:
    mask = balls((7, 20, 20), (11, 20, 20), flat=3.5)  # above each other, and the neck is seen only with the distance
    apart = Stack(mask, "ZYX", scale=(1.75, 0.5, 0.5), unit="µm")
    assert made(apart, split=True).max() == 2
    assert made(mask, split=True).max() == 1


def test_the_numbers_have_the_smallest_type_that_holds_them() -> None:
    dots = np.zeros((40, 40), np.uint8)
    dots[::2, ::2] = 1
    assert made(dots).dtype == np.uint16
    assert made(dots).max() == 400


def test_a_stopped_task_leaves_the_planes_it_did_not_reach_empty() -> None:
    task = make_objects(np.ones((4, 3, 3), np.uint8), ObjectSettings(plane_by_plane=True))
    found = run(task, lambda progress: progress.step == 2)
    np.testing.assert_array_equal(found[:, 0, 0], [1, 2, 0, 0])


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (np.full((3, 3), 0.5), "expected whole numbers"),
        (np.full((3, 3), -1), "expected whole numbers"),
        (np.arange(60).reshape(6, 10), "number objects already"),
        (Stack(np.ones((3, 3, 3), np.uint8), "CYX"), "3 channels"),
    ],
)
def test_what_is_no_mask_is_refused(mask: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        made(mask)


def test_a_boolean_mask_is_a_mask() -> None:
    assert made(np.eye(3, dtype=bool), fill_holes=True).max() == 1


@pytest.mark.parametrize("split", [False, True])
def test_memory_is_what_the_documentation_says(split: bool) -> None:
    mask = balls((15, 20, 20), radius=12)
    made(mask, split=split)  # loads what is loaded once
    tracemalloc.start()
    made(mask, fill_holes=True, split=split)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    box = 27**3 if split else 0
    assert most < 1.2 * (30 * mask.size + 100 * box)
