from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from btunet import Stack, read, targets, write
from btunet.targets import Written, check_target, open_target


def like(axes: str, shape: tuple[int, ...], **about: Any) -> Stack:
    return Stack(np.zeros(shape, np.uint8), axes, **about)


def windows(height: int, width: int) -> list[tuple[slice, slice]]:
    """Return windows that cover a plane, in a random order."""
    found = [
        (slice(y, min(height, y + 7)), slice(x, min(width, x + 11)))
        for y in range(0, height, 7)
        for x in range(0, width, 11)
    ]
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


@pytest.mark.parametrize("suffix", [".tif", ".png", ".zarr"])
@pytest.mark.parametrize(
    ("axes", "shape"), [("YX", (30, 41)), ("ZYX", (3, 8, 12)), ("PTZYX", (2, 1, 2, 9, 5)), ("ZYX", (3, 9, 1))]
)
@pytest.mark.parametrize("channels", [0, 3])
def test_windows_written_in_any_order_make_the_image(
    tmp_path: Path, suffix: str, axes: str, shape: tuple[int, ...], channels: int
) -> None:
    if channels and suffix == ".png":
        pytest.skip("PNG holds masks only")
    stack, dtype = like(axes, shape, scale=(0.5,) * len(axes), unit="µm"), np.float32 if channels else np.uint8
    image = np.random.default_rng(0).integers(0, 99, (stack.planes, max(1, channels), *shape[-2:])).astype(dtype)
    for plane in reversed(range(stack.planes)):
        for y, x in windows(*shape[-2:]):
            values = image[plane, :, y, x]
            target = open_target(tmp_path / f"a{suffix}", stack, dtype, channels)  # again and again, as when resumed
            target.put(plane, y, x, values if channels else values[0])
    back = Written(target.finish(), stack, dtype, channels)
    for plane in range(stack.planes):
        for y, x in windows(*shape[-2:]):
            assert np.array_equal(back.read(plane, y, x), image[plane, :, y, x])
    if stack.planes * max(1, channels) > 1 and suffix == ".tif":
        assert isinstance(read(tmp_path / "a.tif").data, np.memmap)


@pytest.mark.parametrize(("axes", "shape"), [("YX", (30, 41)), ("ZYX", (3, 8, 12)), ("TZYX", (2, 2, 9, 5))])
def test_a_tiff_too_big_for_imagej_is_ome(
    tmp_path: Path, axes: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "CLASSIC", 50)
    mask = np.random.default_rng(0).integers(0, 9, shape)
    scale = (1.0, 2.0, 0.5, 0.25)[-len(axes) :]
    (path,) = write(tmp_path / "a.tif", mask, like(axes, shape, scale=scale, unit="µm"))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff and tiff.is_ome
    back = read(path)
    assert (back.axes, back.scale, back.unit) == (axes, scale, "µm")
    assert np.array_equal(back.data[...], mask)


def test_a_stack_of_one_plane_is_written(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 9, (1, 10, 12))
    (path,) = write(tmp_path / "a.tif", mask, like("ZYX", mask.shape))
    assert np.array_equal(read(path).read(0), mask)


@pytest.mark.parametrize("name", ["a.zarr", "a.zarr/2", "b/../a.zarr/2"])
def test_an_image_is_not_written_over_whichever_of_its_levels_was_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "b").mkdir()
    stack = like("YX", (9, 9), path=tmp_path / name)
    with pytest.raises(ValueError, match=r"a\.zarr is the image itself"):
        check_target(tmp_path / "a.zarr", stack)
    check_target(tmp_path / "c.zarr", stack)
