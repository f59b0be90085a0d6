import numpy as np
import pytest

from btunet.annotator import paint
from btunet.labels import IGNORE

Rng = np.random.Generator


@pytest.fixture
def scene() -> np.ndarray:
    """Make a mask of three classes: a disc, a bar one pixel wide, and a frame that is ignored."""
    mask = np.zeros((120, 160), np.uint8)
    y, x = np.mgrid[:120, :160]
    mask[(y - 50) ** 2 + (x - 60) ** 2 < 30**2] = 1
    mask[90, 20:140] = 2
    mask[:3] = mask[-3:] = IGNORE
    return mask


def test_strokes_stay_inside_their_class(scene: np.ndarray, rng: Rng) -> None:
    for _ in range(20):
        strokes = paint(scene, 5, rng)
        drawn = strokes > 0
        assert drawn.any() and np.array_equal(strokes[drawn], scene[drawn] + 1)
        assert strokes.shape == scene.shape and strokes.dtype == np.uint8


def test_every_class_that_is_there_gets_strokes_and_no_other(scene: np.ndarray, rng: Rng) -> None:
    assert set(np.unique(paint(scene, 1, rng))) == {0, 1, 2, 3}
    assert set(np.unique(paint(np.where(scene == 1, 0, scene), 1, rng))) == {0, 1, 3}


def test_what_is_to_be_ignored_is_never_painted(rng: Rng) -> None:
    mask = np.where(rng.random((60, 60)) < 0.5, IGNORE, rng.integers(0, 3, (60, 60))).astype(np.uint8)
    strokes = paint(mask, 20, rng)
    assert not strokes[mask == IGNORE].any() and strokes.any()


@pytest.mark.parametrize("place", [(20, 20), (0, 0), (39, 17), (0, 39)])
def test_an_object_of_one_pixel_gets_its_stroke(place: tuple[int, int], rng: Rng) -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[place] = 1
    strokes = paint(mask, 3, rng)
    assert strokes[place] == 2 and (strokes == 2).sum() == 1 and (strokes == 1).any()


@pytest.mark.parametrize("k", [0, 1, 254])
def test_a_plane_of_one_class_gets_strokes_of_that_class_alone(k: int, rng: Rng) -> None:
    strokes = paint(np.full((50, 50), k, np.uint8), 2, rng)
    assert set(np.unique(strokes)) == {0, k + 1}


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2)])
def test_a_plane_may_be_as_small_as_a_pixel(shape: tuple[int, int], rng: Rng) -> None:
    assert (paint(np.zeros(shape, np.uint8), 2, rng) == 1).any()


def test_a_plane_of_which_nothing_is_known_stays_empty(rng: Rng) -> None:
    assert not paint(np.full((20, 20), IGNORE, np.uint8), 5, rng).any()


def test_one_seed_paints_the_same_and_another_does_not(scene: np.ndarray) -> None:
    first, again, other = (paint(scene, 3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_few_strokes_are_a_small_share_of_the_plane_and_more_are_more(rng: Rng) -> None:
    mask = np.zeros((256, 256), np.uint8)
    mask[60:180, 60:180] = 1
    few, many = (float((paint(mask, n, np.random.default_rng(0)) > 0).mean()) for n in (1, 12))
    assert 0 < few < 0.02 and few < many < 0.2


def test_strokes_in_a_big_object_keep_away_from_its_border(rng: Rng) -> None:
    mask = np.zeros((200, 200), np.uint8)
    mask[40:160, 40:160] = 1
    rim = mask.copy()
    rim[46:154, 46:154] = 0  # the six outer pixels: a fifth of the object
    on_rim = np.mean([((paint(mask, 4, rng) == 2) & (rim == 1)).sum() / (rim == 1).sum() for _ in range(20)])
    inside = np.mean([((paint(mask, 4, rng) == 2) & (rim == 0)).sum() / (mask - rim == 1).sum() for _ in range(20)])
    assert on_rim < inside


def test_the_mask_is_not_written_to(scene: np.ndarray, rng: Rng) -> None:
    before = scene.copy()
    scene.setflags(write=False)
    paint(scene, 3, rng)
    assert np.array_equal(scene, before)


def test_the_global_random_state_is_left_alone(scene: np.ndarray, rng: Rng) -> None:
    before = np.random.get_state(legacy=False)["state"]
    paint(scene, 3, rng)
    after = np.random.get_state(legacy=False)["state"]
    assert before["pos"] == after["pos"] and np.array_equal(before["key"], after["key"])
