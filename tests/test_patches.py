from collections import Counter

import numpy as np
import pytest

from btunet.images import as_stack
from btunet.labels import IGNORE
from btunet.normalise import Normalisation
from btunet.patches import REMEMBERED, Annotations, Source, random_place, window_of


def source(data: np.ndarray, axes: str | None = None) -> Source:
    return Source(as_stack(data, axes), Normalisation())


@pytest.mark.parametrize(("y", "x"), [(0, 0), (4, 9), (-3, -2), (-8, 3), (12, 20)])
def test_a_patch_is_the_plane_mirrored_beyond_its_border(rng: np.random.Generator, y: int, x: int) -> None:
    here = source(rng.random((2, 20, 30)))
    whole = np.pad(here.plane(1), ((0, 0), (20, 20), (20, 20)), mode="symmetric")
    assert np.array_equal(here.patch(1, y, x, 16), whole[:, 20 + y : 36 + y, 20 + x : 36 + x])


@pytest.mark.parametrize(("y", "x", "size"), [(0, 0, 8), (8, 16, 8), (12, 24, 16), (-4, -2, 40)])
def test_around_a_window_lies_what_the_plane_has(rng: np.random.Generator, y: int, x: int, size: int) -> None:
    here = source(rng.random((2, 20, 30)))
    seen, row, column = here.around(1, y, x, size, 5)
    assert np.array_equal(seen, here.plane(1)[:, max(0, y - 5) : y + size + 5, max(0, x - 5) : x + size + 5])
    assert np.array_equal(seen[:, row:, column:][:, 0, 0], here.plane(1)[:, max(0, y), max(0, x)])


@pytest.mark.parametrize(("y", "x", "size"), [(-9, -9, 16), (19, 29, 16), (-40, -30, 100)])
def test_a_patch_that_lies_mostly_outside_holds_the_values_that_are_inside(
    rng: np.random.Generator, y: int, x: int, size: int
) -> None:
    here = source(rng.random((20, 30)))
    found = here.patch(0, y, x, size)
    inside = here.plane(0)[:, max(0, y) : y + size, max(0, x) : x + size]
    assert found.shape == (1, size, size)
    top, left = max(0, -y), max(0, -x)
    assert np.array_equal(found[:, top : top + inside.shape[1], left : left + inside.shape[2]], inside)
    assert set(np.unique(found)) == set(np.unique(inside))


def test_a_target_beyond_the_border_is_unknown(rng: np.random.Generator) -> None:
    target = rng.integers(0, 3, (10, 12)).astype(np.uint8)
    padded = np.pad(target, 20, constant_values=IGNORE)
    for y, x in [(0, 0), (-5, 3), (4, 6), (-7, -8)]:
        assert np.array_equal(window_of(target, y, x, 16), padded[20 + y : 36 + y, 20 + x : 36 + x])


def random_patches(sources: list[Source], count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return patches from random places: (count, C, size, size)."""
    places = [random_place(sources, size, rng) for _ in range(count)]
    return np.stack([sources[image].patch(plane, y, x, size) for image, plane, y, x in places])


def test_random_patches_come_evenly_from_all_planes_of_all_images(rng: np.random.Generator) -> None:
    ramp = np.linspace(-1, 1, 400).reshape(20, 20)
    first, second = np.stack([ramp, ramp + 100, ramp + 200]), np.stack([ramp + 5])
    sources = [source(first), source(second)]
    sources[0].limits = sources[1].limits = np.array([[0.0], [1000.0]])
    found = random_patches(sources, 2000, 4, rng)
    planes = Counter(np.round((found.mean((1, 2, 3)) + 1) * 500 / 5).astype(int).tolist())
    assert found.shape == (2000, 1, 4, 4)
    assert set(planes) == {0, 1, 20, 40}
    assert all(400 < count < 600 for count in planes.values())


def test_random_patches_lie_inside_and_reach_every_border(rng: np.random.Generator) -> None:
    y, x = np.mgrid[:12, :9].astype(float)
    here = source(np.stack([y, x]), "CYX")
    here.limits = np.array([[0.0, 0.0], [20.0, 20.0]])
    found = (random_patches([here], 500, 8, rng) + 1) * 10
    starts = found[:, :, 0, 0].round().astype(int)
    assert set(starts[:, 0]) == set(range(5)) and set(starts[:, 1]) == {0, 1}
    assert np.allclose(found[:, 0, -1, 0] - found[:, 0, 0, 0], 7, atol=1e-4)  # never mirrored


def test_an_image_smaller_than_a_patch_lies_in_its_middle(rng: np.random.Generator) -> None:
    here = source(rng.random((6, 9)))
    found = random_patches([here], 3, 16, rng)
    assert found.shape == (3, 1, 16, 16)
    assert np.array_equal(found[0, 0, 5:11, 4:13], here.plane(0)[0])


def annotations(*targets: tuple[int, int, np.ndarray]) -> Annotations:
    made = Annotations()
    for image, plane, target in targets:
        made.put(image, plane, target)
    return made


def rare() -> np.ndarray:
    """A target of 1000 pixels of class 0, four of class 2, the rest unknown."""
    target = np.full((50, 60), IGNORE, np.uint8)
    target.flat[:1000] = 0
    target[40, 10:14] = 2
    return target


def test_every_class_is_drawn_as_often_as_the_others(rng: np.random.Generator) -> None:
    made = annotations((0, 0, rare()), (0, 3, np.full((50, 60), 1, np.uint8)))
    drawn = [made.draw(rng) for _ in range(1500)]
    classes = Counter(int(made.targets[i, p][y, x]) for i, p, y, x in drawn)
    assert set(classes) == set(made.classes) == {0, 1, 2}
    assert all(400 < count < 600 for count in classes.values())


def test_every_plane_of_a_class_is_drawn_as_often_as_the_others(rng: np.random.Generator) -> None:
    small = np.full((50, 60), IGNORE, np.uint8)
    small[3, 3] = 0
    made = annotations((0, 0, rare()), (1, 7, small))
    planes = Counter(made.draw(rng)[:2] for _ in range(900) if made.classes)
    assert planes[1, 7] > 180  # a third of what class 0 gets and more


def test_patches_hold_the_pixel_they_were_drawn_for_in_their_central_half(rng: np.random.Generator) -> None:
    target = np.full((50, 60), IGNORE, np.uint8)
    target[20, 30] = 1
    made = annotations((0, 0, target))
    known = made.known(made.places(50, 16, rng), 16)
    assert known.shape == (50, 16, 16)
    places = np.argwhere(known == 1)
    assert len(places) == 50
    assert places[:, 1:].min() == 4 and places[:, 1:].max() == 11


def test_image_and_target_of_a_patch_are_the_same_place(rng: np.random.Generator) -> None:
    data = np.arange(3000.0).reshape(50, 60)
    here = source(data)
    here.limits = np.array([[0.0], [3000.0]])
    target = (data % 7).astype(np.uint8)
    made = annotations((0, 0, target))
    places = made.places(40, 16, rng)
    known, images = made.known(places, 16), np.stack([here.patch(plane, y, x, 16) for _, plane, y, x in places])
    inside = known != IGNORE
    values = ((images[:, 0].astype(float) + 1) * 1500).round()
    assert np.array_equal((values % 7)[inside], known[inside])


def test_putting_a_plane_again_replaces_it_and_emptying_it_forgets_it() -> None:
    made = annotations((0, 0, rare()))
    made.put(0, 0, np.full((50, 60), 1, np.uint8))
    assert made.classes == [1]
    made.put(0, 0, np.full((50, 60), IGNORE, np.uint8))
    assert made.classes == [] and made.targets == {}


def test_a_dense_mask_does_not_fill_the_memory(rng: np.random.Generator) -> None:
    made = annotations((0, 0, np.zeros((1000, 700), np.uint8)))
    (pixels,) = made._pixels[0].values()
    assert len(pixels) < 2 * REMEMBERED
    rows = {made.draw(rng)[2] for _ in range(300)}
    assert min(rows) < 50 and max(rows) > 950


# ---- drawn as they are, as in the paper


def test_unbalanced_planes_are_drawn_evenly_and_pixels_as_they_are(rng: np.random.Generator) -> None:
    few = np.full((50, 60), IGNORE, np.uint8)
    few[3, :4] = 1
    many = np.full((50, 60), IGNORE, np.uint8)
    many.flat[:1000] = 0
    many.flat[2000:2250] = 1
    made = annotations((0, 0, many), (1, 7, few))
    drawn = [made.draw(rng, balanced=False) for _ in range(2000)]
    planes = Counter(place[:2] for place in drawn)
    assert 900 < planes[0, 0] < 1100 and planes[0, 0] + planes[1, 7] == 2000
    classes = Counter(int(many[y, x]) for image, _, y, x in drawn if image == 0)
    assert set(classes) == {0, 1}
    assert classes[1] / planes[0, 0] == pytest.approx(0.2, abs=0.05)
    assert {(y, x) for image, _, y, x in drawn if image == 1} == {(3, 0), (3, 1), (3, 2), (3, 3)}


def test_unbalanced_the_frequencies_of_a_dense_mask_are_those_of_all_its_pixels(rng: np.random.Generator) -> None:
    target = np.zeros((1000, 700), np.uint8)
    target[:100] = 1  # of either class more pixels than are kept
    target[0, :70] = 2
    made = annotations((0, 0, target))
    drawn = Counter(int(target[y, x]) for _, _, y, x in (made.draw(rng, balanced=False) for _ in range(3000)))
    assert drawn[1] / 3000 == pytest.approx(0.1, abs=0.02) and drawn[2] < 10


def test_unbalanced_a_plane_that_was_put_again_is_drawn_as_it_is_now(rng: np.random.Generator) -> None:
    made = annotations((0, 0, rare()))
    now = np.full((50, 60), 1, np.uint8)
    now[:10] = 0
    made.put(0, 0, now)
    drawn = Counter(int(now[y, x]) for _, _, y, x in (made.draw(rng, balanced=False) for _ in range(1000)))
    assert set(drawn) == {0, 1} and drawn[0] / 1000 == pytest.approx(0.2, abs=0.05)
