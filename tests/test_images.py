from typing import Any

import numpy as np
import pytest

from btunet import images
from btunet.images import Stack, as_stack, check_contrast, plain_axes, spread


@pytest.mark.parametrize(("ndim", "axes"), [(1, "X"), (2, "YX"), (3, "ZYX"), (4, "TZYX"), (5, "PTZYX"), (6, "QPTZYX")])
def test_axes_nobody_named_count_planes(ndim: int, axes: str) -> None:
    assert plain_axes(ndim) == axes


@pytest.mark.parametrize(
    ("axes", "shape", "planes", "channels", "spatial"),
    [
        ("YX", (4, 5), 1, 1, (4, 5)),
        ("YXS", (4, 5, 3), 1, 3, (4, 5)),
        ("CYX", (2, 4, 5), 1, 2, (4, 5)),
        ("ZYX", (6, 4, 5), 6, 1, (6, 4, 5)),
        ("TZCYX", (2, 3, 7, 4, 5), 6, 7, (2, 3, 4, 5)),
        ("CZYX", (7, 3, 4, 5), 3, 7, (3, 4, 5)),
        ("TYXS", (2, 4, 5, 3), 2, 3, (2, 4, 5)),
    ],
)
def test_a_stack_knows_its_planes_and_channels(
    axes: str, shape: tuple[int, ...], planes: int, channels: int, spatial: tuple[int, ...]
) -> None:
    stack = as_stack(np.zeros(shape), axes)
    assert (stack.planes, stack.channels, stack.spatial_shape) == (planes, channels, spatial)
    assert stack.plane_shape == (4, 5)
    assert stack.stack_shape == spatial[:-2]


@pytest.mark.parametrize("axes", ["TZCYX", "CTZYX", "TCZYX", "TZYXS"])
def test_planes_are_numbered_along_the_leading_axes_wherever_the_channels_are(axes: str) -> None:
    sizes = {"T": 2, "Z": 3, "C": 4, "S": 4, "Y": 5, "X": 6}
    data = np.arange(720).reshape([sizes[a] for a in axes])
    stack = as_stack(data, axes)
    channel = next(i for i, a in enumerate(axes) if a in "CS")
    expected = np.moveaxis(data, channel, 2).reshape(6, 4, 5, 6)
    for plane in range(6):
        assert np.array_equal(stack.read(plane), expected[plane])
    assert np.array_equal(stack.read(4, slice(1, 3), slice(2, 6)), expected[4][:, 1:3, 2:6])


def test_reading_keeps_the_type_and_a_stack_stays_itself() -> None:
    stack = as_stack(np.zeros((3, 4, 5), ">u2"))
    assert stack.read(0).dtype == np.dtype(">u2")
    assert as_stack(stack) is stack


def test_lists_of_numbers_are_images_too() -> None:
    assert as_stack([[1, 2], [3, 4]]).plane_shape == (2, 2)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((4, 5), "ZYX"),
        ((4, 5), "XY"),
        ((4, 5, 3), "YXC" + "S"),
        ((3, 4, 5, 3), "CYXS"),
        ((4,), "X"),
        ((), ""),
        ((4, 5), "YZ"),
    ],
)
def test_axes_that_do_not_fit_are_refused(shape: tuple[int, ...], axes: str) -> None:
    with pytest.raises(ValueError, match=r"photo has shape .* and axes .*; expected a letter per axis"):
        as_stack(np.zeros(shape), axes, "photo")


@pytest.mark.parametrize(
    ("data", "message"),
    [(np.zeros((0, 4)), "is empty"), (np.zeros((4, 4), complex), "complex128"), (np.array([["a", "b"]]), "<U1 values")],
)
def test_what_is_not_an_image_is_refused(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_stack(data)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_found_where_they_are_read(bad: float) -> None:
    data = np.zeros((3, 4, 5))
    data[2, 1, 1] = bad
    stack = as_stack(data, name="photo")
    assert stack.read(0).shape == (1, 4, 5)
    assert stack.read(2, slice(2, 4)).shape == (1, 2, 5)
    with pytest.raises(ValueError, match="photo has 1 values that are NaN or infinite in plane 2"):
        stack.read(2)


@pytest.mark.parametrize(
    ("axes", "shape", "line"),
    [
        ("YX", (4, 5), "1 plane, 1 channel, 4 × 5 pixels, uint8"),
        ("ZYX", (30, 4, 5), "30 planes z, 1 channel, 4 × 5 pixels, uint8"),
        ("TZCYX", (2, 3, 2, 4, 5), "2 planes t × 3 planes z, 2 channels, 4 × 5 pixels, uint8"),
    ],
)
def test_a_stack_says_how_it_is_understood(axes: str, shape: tuple[int, ...], line: str) -> None:
    assert as_stack(np.zeros(shape, np.uint8), axes).describe() == line


def test_contrast_is_found_in_any_plane_and_within_a_channel_only() -> None:
    late = np.zeros((5, 4, 4), np.uint8)
    late[4, 3, 3] = 1
    check_contrast([as_stack(late)])
    flat = np.stack([np.zeros((4, 4)), np.ones((4, 4))])
    with pytest.raises(ValueError, match="image has the same value everywhere"):
        check_contrast([as_stack(flat, "CYX")])


def test_nan_in_the_last_plane_is_found_before_training() -> None:
    data = np.random.default_rng(0).random((5, 4, 4))
    data[4, 3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite in plane 4"):
        check_contrast([as_stack(data)])


@pytest.mark.parametrize(("planes", "count"), [(1, 16), (5, 16), (16, 16), (100, 16), (17, 2)])
def test_planes_are_spread_evenly_from_the_first_to_the_last(planes: int, count: int) -> None:
    found = list(spread(planes, count))
    assert len(found) == len(set(found)) == min(planes, count)
    assert found[0] == 0 and found[-1] == planes - 1 * (planes > 0)


def test_a_stack_cannot_be_changed() -> None:
    stack = Stack(np.zeros((4, 4)), "YX")
    with pytest.raises(AttributeError):
        stack.name = "other"  # type: ignore[misc]


class Endless:
    """A huge plane that is computed where it is read, and counts what is read."""

    def __init__(self, shape: tuple[int, int], dtype: Any, value: Any) -> None:
        self.shape, self.dtype, self.value, self.read, self.largest = shape, np.dtype(dtype), value, 0, 0

    def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
        y, x = (np.arange(n)[i] for n, i in zip(self.shape, index, strict=True))
        self.read += len(y) * len(x)
        self.largest = max(self.largest, len(y) * len(x))
        return np.broadcast_to(self.value(y[:, None], x), (len(y), len(x))).astype(self.dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_of_a_huge_plane_only_a_sample_is_looked_at(dtype: Any) -> None:
    huge = Endless((100_000, 90_000), dtype, lambda y, x: (y // 1000 + x // 1000) % 200)
    check_contrast([Stack(huge, "YX")])
    assert huge.read < 1e5


def test_contrast_that_a_sample_misses_is_found_in_bands() -> None:
    huge = Endless((5000, 4000), np.uint8, lambda y, x: (y == 4999) & (x == 1777))
    check_contrast([Stack(huge, "YX")])
    assert huge.largest <= 2**24
    with pytest.raises(ValueError, match="has the same value everywhere"):
        check_contrast([Stack(Endless((5000, 4000), np.uint8, lambda y, x: 7), "YX")])


def test_bands_are_the_plane_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "BAND", 100)
    stack = as_stack(np.random.default_rng(0).random((2, 37, 3, 11)), "ZYCX")
    parts = list(images.bands(stack, 1))
    assert len(parts) > 5 and max(part.size for part in parts) <= 100
    assert np.array_equal(np.concatenate(parts, 1), stack.read(1))
    wide = as_stack(np.zeros((3, 500)))
    assert [part.shape for part in images.bands(wide, 0)] == [(1, 1, 500)] * 3
