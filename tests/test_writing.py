import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from btunet import BtunetError, Stack, read, write, write_probabilities


def mask_of(shape: tuple[int, ...] = (30, 40), classes: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, classes, shape)


def like(axes: str, shape: tuple[int, ...], **about: Any) -> Stack:
    return Stack(np.zeros(shape, np.uint8), axes, **about)


@pytest.mark.parametrize(
    ("highest", "dtype"), [(0, "u1"), (1, "u1"), (255, "u1"), (256, "u2"), (65_535, "u2"), (65_536, "u4")]
)
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_a_mask_is_written_in_the_smallest_type_that_holds_it(
    tmp_path: Path, suffix: str, highest: int, dtype: str
) -> None:
    mask = np.zeros((10, 12), np.int64)
    mask[3, 4] = highest
    (path,) = write(tmp_path / f"a{suffix}", mask, like("YX", (10, 12)))
    back = read(path)
    assert back.data.dtype == np.dtype(dtype)
    assert np.array_equal(back.data[...], mask)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint64])
def test_a_mask_of_any_type_of_whole_number_is_written(tmp_path: Path, dtype: Any) -> None:
    mask = mask_of(classes=2).astype(dtype)
    (path,) = write(tmp_path / "a.tif", mask, like("YX", mask.shape))
    assert np.array_equal(read(path).data, mask)


@pytest.mark.parametrize("bad", [-1.0, 0.5, -1])
def test_numbers_that_are_not_classes_are_refused(tmp_path: Path, bad: float) -> None:
    with pytest.raises(ValueError, match="expected whole numbers from 0"):
        write(tmp_path / "a.tif", np.full((4, 4), bad), like("YX", (4, 4)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("axes", "shape", "scale"),
    [
        ("YX", (10, 12), (0.5, 0.25)),
        ("ZYX", (3, 10, 12), (2.0, 0.5, 0.25)),
        ("TZYX", (2, 3, 10, 12), (1.0, 2.0, 0.5, 0.25)),
        ("TYX", (3, 10, 12), (1.0, 0.5, 0.25)),
        ("ZYX", (3, 10, 12), (20_000.0, 20_000.0, 20_000.0)),
        ("ZYX", (3, 10, 12), (1e-4, 2e-5, 1e-5)),
        ("YX", (10, 12), (3e-10, 3e-10)),
        ("YX", (10, 12), (1.0, 1.0)),
    ],
)
def test_axes_and_calibration_of_an_image_are_those_of_its_mask(
    tmp_path: Path, axes: str, shape: tuple[int, ...], scale: tuple[float, ...]
) -> None:
    (path,) = write(tmp_path / "a.tif", mask_of(shape), like(axes, shape, scale=scale, unit="µm"))
    back = read(path)
    assert (back.axes, back.unit) == (axes, "µm")
    assert back.scale == pytest.approx(scale, rel=1e-4)


@pytest.mark.parametrize("axes", ["PTZYX", "QYX"])
def test_axes_imagej_has_no_name_for_are_written_without_calibration(tmp_path: Path, axes: str) -> None:
    shape = (2, 2, 2, 10, 12)[-len(axes) :]
    stack = like(axes, shape, scale=(1.0,) * len(axes), unit="µm")
    (path,) = write(tmp_path / "a.tif", mask_of(shape), stack)
    assert np.array_equal(read(path).data[...], mask_of(shape))


def test_an_imagej_image_gives_a_mask_imagej_opens_over_it(tmp_path: Path) -> None:
    metadata = {"axes": "ZCYX", "spacing": 2.5, "unit": "um"}
    data = np.random.default_rng(0).integers(0, 99, (3, 2, 20, 30)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, resolution=(1 / 0.3, 1 / 0.4), metadata=metadata)
    image = read(tmp_path / "a.tif")
    (path,) = write(tmp_path / "masks" / "a.tif", mask_of((3, 20, 30)), image)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_imagej and tiff.series[0].axes == "ZYX"
    back = read(path)
    assert back.scale == pytest.approx(image.scale, rel=1e-5) and back.unit == image.unit


@pytest.mark.parametrize("unit", ["", "nm", "pixel", "Å", "µm"])
def test_any_unit_can_be_written(tmp_path: Path, unit: str) -> None:
    (path,) = write(tmp_path / "a.tif", mask_of(), like("YX", (30, 40), scale=(0.5, 0.5), unit=unit))
    back = read(path)
    assert back.scale == pytest.approx((0.5, 0.5))
    assert back.unit == unit


@pytest.mark.parametrize("scale", [(0.0, 0.0), (-0.5, 0.5)])
def test_a_pixel_size_that_is_none_does_not_stop_the_mask(tmp_path: Path, scale: tuple[float, ...]) -> None:
    (path,) = write(tmp_path / "a.tif", mask_of(), like("YX", (30, 40), scale=scale, unit="µm"))
    assert np.array_equal(read(path).data, mask_of())


def test_a_stack_becomes_one_png_per_plane(tmp_path: Path) -> None:
    mask = mask_of((2, 3, 10, 12))
    paths = write(tmp_path / "a.png", mask, like("TZYX", mask.shape))
    assert [p.name for p in paths] == [f"a_{i:03d}.png" for i in range(6)]
    for path, plane in zip(paths, mask.reshape(6, 10, 12), strict=True):
        assert np.array_equal(imageio.imread(path), plane)


def test_a_plane_becomes_one_png(tmp_path: Path) -> None:
    (path,) = write(tmp_path / "a.png", mask_of(), like("YX", (30, 40)))
    assert path.name == "a.png" and np.array_equal(imageio.imread(path), mask_of())


def test_a_zarr_knows_its_axes_and_replaces_an_older_one(tmp_path: Path) -> None:
    stack = like("ZYX", (3, 10, 12), scale=(2.0, 0.5, 0.25), unit="µm")
    for classes in (9, 3):
        (path,) = write(tmp_path / "a.zarr", mask_of((3, 10, 12), classes), stack)
    back = read(path)
    assert (back.axes, back.scale, back.unit) == ("ZYX", stack.scale, "µm")
    assert np.array_equal(back.data[...], mask_of((3, 10, 12)))
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize(("axes", "shape"), [("YX", (10, 12)), ("ZYX", (2, 10, 12)), ("TZYX", (2, 2, 10, 12))])
def test_probabilities_come_back_with_their_channel_axis(
    tmp_path: Path, axes: str, shape: tuple[int, ...], suffix: str
) -> None:
    found = np.random.default_rng(0).random((*shape[:-2], 4, *shape[-2:]))
    stack = like(axes, shape, scale=(1.0, 2.0, 0.5, 0.25)[-len(axes) :], unit="µm")
    back = read(write_probabilities(tmp_path / f"a{suffix}", found, stack))
    before_z = suffix == ".zarr" and "Z" in axes  # where OME-Zarr wants it
    assert back.axes == (axes[:-3] + "CZYX" if before_z else axes[:-2] + "CYX") and back.data.dtype == np.float32
    written = np.moveaxis(back.data[...], -4, -3) if before_z else back.data[...]
    assert np.array_equal(written, found.astype(np.float32))
    assert back.scale == pytest.approx(stack.scale)


def test_the_image_itself_is_never_overwritten(tmp_path: Path) -> None:
    imageio.imwrite(tmp_path / "a.png", mask_of().astype(np.uint8) * 50)
    before = (tmp_path / "a.png").read_bytes()
    (tmp_path / "sub").mkdir()
    for path in (tmp_path / "a.png", tmp_path / "sub" / ".." / "a.png"):
        with pytest.raises(ValueError, match=r"a\.png is the image itself; choose another folder or name"):
            write(path, mask_of(), read(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes() == before


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the mask is \(30, 40\) but photo is \(30, 41\)"):
        write(tmp_path / "a.tif", mask_of(), like("YX", (30, 41), name="photo"))


def test_a_kind_of_file_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.bmp should end in one of: \.tif, "):
        write(tmp_path / "a.bmp", mask_of(), like("YX", (30, 40)))


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.zarr"])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(BtunetError, match=r"cannot be written: .*; free some space or choose another folder"):
        write(tmp_path / "file" / name, mask_of(), like("YX", (30, 40)))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("suffix", [".tif", ".png", ".zarr"])
def test_a_disk_that_forgets_is_noticed_and_the_old_file_stays(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from btunet import targets

    stack = like("YX", (30, 40))
    (path,) = write(tmp_path / f"a{suffix}", mask_of(), stack)
    monkeypatch.setattr(targets, "read", lambda _: like("YX", (30, 40)))  # what came back is empty
    with pytest.raises(BtunetError, match="did not come back as it was written"):
        write(path, mask_of(classes=9), stack)
    monkeypatch.undo()
    assert np.array_equal(read(path).data[...], mask_of())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


FULL_DISK = """
import resource, sys
import numpy as np
from btunet import BtunetError, Stack, write
noise = np.random.default_rng(0).integers(0, 250, (300, 300))
stack = Stack(np.zeros((300, 300), np.uint8), "YX")
write(sys.argv[1], noise * 0 + 1, stack)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write(sys.argv[1], noise, stack)
except BtunetError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.zarr"])
def test_a_full_disk_leaves_the_old_file_and_no_half_of_a_new_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=False)
    assert "cannot be written" in done.stderr and done.stderr.strip().count("\n") == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (read(path).data[...] == 1).all()
