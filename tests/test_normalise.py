from typing import Any

import numpy as np
import pytest

from btunet import images
from btunet.images import Stack, as_stack
from btunet.normalise import Normalisation


def normalised(stack: Stack, plane: int = 0) -> np.ndarray:
    normalisation = Normalisation()
    return normalisation.apply(stack.read(plane), normalisation.limits(stack))


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.gamma(2, 20, (64, 64))


def test_two_percentiles_become_minus_one_and_one(image: np.ndarray) -> None:
    low, high = np.percentile(image, [0.5, 99.5])
    expected = np.clip((image - low) / (high - low) * 2 - 1, -3, 5)
    found = normalised(as_stack(image))
    assert found.shape == (1, 64, 64) and found.dtype == np.float32
    assert np.allclose(found[0], expected, atol=1e-6)


@pytest.mark.parametrize(("scale", "offset"), [(2.5, 0), (1e-6, 3e-5), (1e6, -1e9), (1, 1e8)])
def test_scale_and_offset_of_an_image_do_not_matter(image: np.ndarray, scale: float, offset: float) -> None:
    moved = normalised(as_stack(image * scale + offset))
    assert np.allclose(moved, normalised(as_stack(image)), atol=1e-4)


def test_whole_numbers_far_from_zero_keep_their_contrast(rng: np.random.Generator) -> None:
    image = rng.integers(0, 100, (64, 64), dtype=np.uint32)
    assert np.array_equal(normalised(as_stack(image + 2**31)), normalised(as_stack(image)))


@pytest.mark.parametrize("value", [1e9, -1e9])
def test_a_hot_pixel_changes_no_other_pixel_much(image: np.ndarray, value: float) -> None:
    hot = image.copy()
    hot[10, 10] = value
    difference = np.abs(normalised(as_stack(hot)) - normalised(as_stack(image)))[0]
    difference[10, 10] = 0
    assert difference.max() < 0.05
    assert normalised(as_stack(hot)).min() >= -3 and normalised(as_stack(hot)).max() <= 5


def test_a_channel_without_contrast_becomes_zero_and_leaves_the_others_alone(image: np.ndarray) -> None:
    found = normalised(as_stack(np.stack([image, np.full_like(image, 7)]), "CYX"))
    assert np.array_equal(found[1], np.zeros((64, 64)))
    assert np.array_equal(found[:1], normalised(as_stack(image)))


def test_every_channel_has_its_own_range(image: np.ndarray) -> None:
    found = normalised(as_stack(np.stack([image, image * 1000 + 5], -1), "YXS"))
    assert np.allclose(found[0], found[1], atol=1e-5)


def test_small_objects_on_an_even_background_are_not_lost() -> None:
    image = np.zeros((100, 100), np.uint8)
    image[50:53, 50:53] = 200  # less than half a percent
    found = normalised(as_stack(image))[0]
    assert (found[image == 200] == 1).all() and (found[image == 0] == -1).all()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint64, np.float16, np.float64, ">u2", ">f4"])
def test_the_type_of_the_numbers_does_not_matter(rng: np.random.Generator, dtype: Any) -> None:
    image = rng.integers(0, 2, (30, 30))
    found = normalised(as_stack(image.astype(dtype)))
    assert np.array_equal(found[0], np.where(image, 1, -1))


def test_the_range_is_that_of_the_whole_stack_and_not_of_a_plane(image: np.ndarray) -> None:
    stack = as_stack(np.stack([image, image + 100, image + 200]))
    assert normalised(stack, 0).mean() < normalised(stack, 1).mean() < normalised(stack, 2).mean()


def test_a_big_stack_is_sampled_evenly(rng: np.random.Generator) -> None:
    image = rng.normal(size=(40, 300, 300)) + np.arange(40)[:, None, None]
    low, high = Normalisation().limits(as_stack(image))[:, 0]
    assert low < 0 and high > 39  # first and last plane are among those looked at


def test_it_can_be_written_down_and_read_again() -> None:
    normalisation = Normalisation(1, 98)
    assert Normalisation.from_dict(normalisation.as_dict()) == normalisation


@pytest.mark.parametrize("shape", [(1, 1), (1, 999), (517, 803), (900, 1201)])
@pytest.mark.parametrize("band", [1, 1000, 70_000, 2**24])
def test_looking_through_in_bands_takes_the_same_pixels_as_looking_at_whole_planes(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], band: int
) -> None:
    image = rng.normal(size=(2, *shape))
    flat = image.reshape(2, -1)
    expected = np.percentile(flat[:, :: max(1, flat.shape[1] // 2**16)], [0.5, 99.5], axis=1)
    expected = np.where(expected[0] < expected[1], expected, [flat.min(1), flat.max(1)])
    monkeypatch.setattr(images, "BAND", band)
    assert np.array_equal(Normalisation().limits(as_stack(image, "CYX")), expected)


def test_of_a_huge_plane_little_is_read_and_the_range_is_right() -> None:
    class Huge:
        shape, dtype, seen = (60_000, 50_000), np.dtype(np.float32), 0

        def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
            y, x = (np.arange(n)[i] for n, i in zip(self.shape, index, strict=True))
            self.seen += len(y) * len(x)
            return ((y[:, None] * 31 + x * 17) % 1000).astype(np.float32)

    huge = Huge()
    low, high = Normalisation().limits(Stack(huge, "YX"))[:, 0]
    assert huge.seen <= 2**16
    assert (low, high) == (pytest.approx(5, abs=2), pytest.approx(994, abs=2))
