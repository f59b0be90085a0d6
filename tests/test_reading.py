import io
import mmap
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import nibabel
import numpy as np
import pytest
import tifffile
import zarr

from btunet import BtunetError, find, pair, read
from btunet.reading import stem

Y, X = 30, 40


def ramp(shape: tuple[int, ...] = (Y, X), dtype: Any = np.uint8) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) * 200).astype(dtype)


def tiff(path: Path, data: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, data, **options)
    return path


# ---- TIFF


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", ">u2", ">f4"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_a_tiff_of_any_type_comes_back_as_it_was(tmp_path: Path, dtype: str, compression: str | None) -> None:
    data = ramp(dtype=dtype)
    stack = read(tiff(tmp_path / "a.tif", data, compression=compression, byteorder=">" if dtype[0] == ">" else "<"))
    assert stack.axes == "YX" and stack.name == "a.tif" and stack.path == tmp_path / "a.tif"
    assert stack.data.dtype.newbyteorder("=") == data.dtype.newbyteorder("=")
    assert np.array_equal(stack.read(0)[0], data)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_pages_of_a_tiff_are_planes(tmp_path: Path, compression: str | None) -> None:
    data = ramp((5, Y, X), np.uint16)
    stack = read(tiff(tmp_path / "a.tiff", data, compression=compression, photometric="minisblack"))
    assert (stack.axes, stack.planes, stack.channels) == ("ZYX", 5, 1)
    assert all(np.array_equal(stack.read(i)[0], data[i]) for i in range(5))


def test_pages_written_one_by_one_are_planes(tmp_path: Path) -> None:
    data = ramp((4, Y, X), np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in data:
            writer.write(plane, metadata=None)
    stack = read(tmp_path / "a.tif")
    assert (stack.axes, stack.planes) == ("ZYX", 4)
    assert np.array_equal(stack.data[...], data)


def test_unnamed_axes_count_planes_from_the_last(tmp_path: Path) -> None:
    assert read(tiff(tmp_path / "a.tif", ramp((2, 3, Y, X)), photometric="minisblack")).axes == "TZYX"


def test_an_uncompressed_tiff_stays_on_the_disk(tmp_path: Path) -> None:
    assert isinstance(read(tiff(tmp_path / "a.tif", ramp((5, Y, X)), photometric="minisblack")).data, np.memmap)
    assert not isinstance(read(tiff(tmp_path / "b.tif", ramp(), compression="zlib")).data, np.memmap)


@pytest.mark.parametrize("planar", [False, True])
def test_rgb_is_three_channels_wherever_they_are(tmp_path: Path, planar: bool) -> None:
    data = ramp((Y, X, 3))
    stored = np.moveaxis(data, -1, 0) if planar else data
    configuration = "separate" if planar else "contig"
    stack = read(tiff(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=configuration))
    assert (stack.axes, stack.planes, stack.channels) == ("SYX" if planar else "YXS", 1, 3)
    assert np.array_equal(stack.read(0), np.moveaxis(data, -1, 0))


def test_imagej_axes_spacing_and_unit_are_understood(tmp_path: Path) -> None:
    data = ramp((2, 3, 4, Y, X), np.uint16)
    metadata = {"axes": "TZCYX", "spacing": 2.5, "unit": "um"}
    path = tiff(tmp_path / "a.tif", data, imagej=True, resolution=(1 / 0.3, 1 / 0.4), metadata=metadata)
    stack = read(path)
    assert (stack.axes, stack.planes, stack.channels, stack.unit) == ("TZCYX", 6, 4, "µm")
    assert stack.scale == pytest.approx((1, 2.5, 0.4, 0.3), rel=1e-5)
    assert np.array_equal(stack.read(4), data[1, 1])


@pytest.mark.parametrize("unit", ["micron", "um", "\\u00B5m", "µm"])
def test_a_micrometre_is_one_however_imagej_writes_it(tmp_path: Path, unit: str) -> None:
    path = tiff(tmp_path / "a.tif", ramp(), imagej=True, resolution=(2, 2), metadata={"unit": "ZZZZ"})
    text = unit.encode("latin-1")
    raw = path.read_bytes()
    at = raw.index(b"unit=ZZZZ\n")
    end = raw.index(b"\0", at)  # the description may shrink or grow within its padding
    body = b"unit=" + text + b"\n" + raw[at + 10 : end]
    if len(body) > end - at:
        path = tiff(tmp_path / "a.tif", ramp(), imagej=True, resolution=(2, 2), metadata={"unit": unit})
    else:
        path.write_bytes(raw[:at] + body.ljust(end - at, b"\0") + raw[end:])
    assert read(path).unit == "µm"


def test_an_imagej_file_without_calibration_has_pixels_of_one(tmp_path: Path) -> None:
    stack = read(tiff(tmp_path / "a.tif", ramp((3, Y, X)), imagej=True, metadata={"axes": "ZYX"}))
    assert stack.scale == (1, 1, 1) and stack.unit == ""


def test_ome_axes_and_physical_sizes_are_understood(tmp_path: Path) -> None:
    data = ramp((3, 2, Y, X), np.uint16)
    metadata = {"axes": "ZCYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    metadata |= {f"PhysicalSize{a}Unit": "nm" for a in "XYZ"}
    stack = read(tiff(tmp_path / "a.ome.tif", data, ome=True, metadata=metadata, photometric="minisblack"))
    assert (stack.axes, stack.scale, stack.unit) == ("ZCYX", (2.0, 0.5, 0.25), "nm")
    assert np.array_equal(stack.read(2), data[2])


def test_ome_without_physical_sizes_has_no_scale(tmp_path: Path) -> None:
    stack = read(
        tiff(tmp_path / "a.ome.tif", ramp((3, Y, X)), ome=True, metadata={"axes": "TYX"}, photometric="minisblack")
    )
    assert (stack.axes, stack.scale, stack.unit) == ("TYX", (), "")


def test_a_black_and_white_tiff_is_read(tmp_path: Path) -> None:
    data = ramp() > 100
    assert np.array_equal(read(tiff(tmp_path / "a.tif", data, photometric="minisblack")).read(0)[0], data)


# ---- pictures


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_gray_png_comes_back_as_it_was(tmp_path: Path, dtype: Any) -> None:
    data = ramp(dtype=dtype) * 3
    imageio.imwrite(tmp_path / "a.png", data)
    stack = read(tmp_path / "a.png")
    assert stack.axes == "YX" and np.array_equal(stack.read(0)[0], data)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg"])
def test_a_colour_picture_has_three_channels(tmp_path: Path, suffix: str) -> None:
    data = np.kron(ramp((5, 6, 3)), np.ones((8, 8, 1), np.uint8))
    imageio.imwrite(tmp_path / f"a{suffix}", data)
    stack = read(tmp_path / f"a{suffix}")
    assert (stack.axes, stack.channels) == ("YXS", 3)
    difference = np.abs(stack.read(0).astype(int) - np.moveaxis(data, -1, 0))
    assert difference.mean() < (1 if suffix == ".png" else 30)


@pytest.mark.parametrize("samples", [2, 4])
def test_transparency_is_not_a_channel(tmp_path: Path, samples: int) -> None:
    data = ramp((Y, X, samples))
    imageio.imwrite(tmp_path / "a.png", data)
    stack = read(tmp_path / "a.png")
    assert stack.channels == samples - 1
    assert np.array_equal(stack.read(0), np.moveaxis(data[..., :-1], -1, 0))


@pytest.mark.parametrize("mode", ["P", "1"])
def test_palette_and_black_and_white_pictures_are_read(tmp_path: Path, mode: str) -> None:
    from PIL import Image

    picture = Image.fromarray(np.kron(np.array([[0, 255], [255, 0]], np.uint8), np.ones((9, 9), np.uint8))).convert(
        mode
    )
    picture.save(tmp_path / "a.png")
    window = read(tmp_path / "a.png").read(0)
    assert window.shape[1:] == (18, 18)
    bright = window[0].astype(bool)
    assert bright[0, 17] and not bright[0, 0]


def test_a_picture_too_big_for_pillow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    imageio.imwrite(tmp_path / "a.png", ramp())
    refused(tmp_path / "a.png")


# ---- NIfTI


def nifti(path: Path, data: np.ndarray, zooms: tuple[float, ...] = (), **header: Any) -> Path:
    """Write (X, Y, Z, ...) as it lies in the file, with fields of the header as they are named there."""
    image = nibabel.Nifti1Image(data, np.eye(4), dtype=data.dtype)
    image.header.set_data_dtype(data.dtype)
    if zooms:
        image.header.set_zooms(zooms)
        image.header.set_xyzt_units("mm", "sec")
    image.to_filename(path)
    if header:  # nibabel sets slope and intercept itself when it writes
        raw = bytearray(path.read_bytes())
        written = nibabel.Nifti1Header(raw[:348])
        for name, value in header.items():
            written[name] = value
        path.write_bytes(written.binaryblock + raw[348:])
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "f4", "f8"])
def test_a_nifti_volume_is_a_stack_of_planes_of_its_own_type(tmp_path: Path, dtype: str, suffix: str) -> None:
    data = ramp((X, Y, 5), dtype)
    stack = read(nifti(tmp_path / f"a{suffix}", data, (0.5, 0.6, 3)))
    assert (stack.axes, stack.planes, stack.plane_shape, stack.data.dtype) == ("ZYX", 5, (Y, X), np.dtype(dtype))
    assert (stack.scale, stack.unit) == (pytest.approx((3, 0.6, 0.5)), "mm")
    assert np.array_equal(stack.data[...], data.T)
    assert np.array_equal(stack.read(3, slice(2, 9), slice(4, 20))[0], data[4:20, 2:9, 3].T)


def test_an_uncompressed_nifti_stays_on_the_disk(tmp_path: Path) -> None:
    data = read(nifti(tmp_path / "a.nii", ramp((X, Y, 5), np.int16))).data
    assert isinstance(data, np.memmap)
    assert isinstance(data.base, mmap.mmap)  # so the background process maps the file too


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_scaled_nifti_is_scaled_window_by_window(tmp_path: Path, suffix: str) -> None:
    data = ramp((X, Y, 4), np.int16)
    image = nibabel.Nifti1Image(data, np.eye(4))
    image.header.set_slope_inter(0.5, -1024)
    image.to_filename(tmp_path / f"a{suffix}")
    expected = nibabel.load(tmp_path / f"a{suffix}").get_fdata().T  # type: ignore[attr-defined]
    stack = read(tmp_path / f"a{suffix}")
    assert stack.data.dtype == np.float32 and stack.data.ndim == 3
    assert np.array_equal(stack.read(2)[0], expected[2])
    assert np.array_equal(stack.data[...], expected)


@pytest.mark.parametrize("slope", [0, 1, np.nan])
def test_a_slope_that_says_nothing_leaves_integers(tmp_path: Path, slope: float) -> None:
    path = nifti(tmp_path / "a.nii", ramp((X, Y, 2), np.int16), scl_slope=slope, scl_inter=0)
    assert read(path).data.dtype == np.int16


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_nifti_with_the_big_end_first_is_read(tmp_path: Path, suffix: str) -> None:
    data = ramp((X, Y, 3), np.int16)
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nibabel.Nifti1Image(data, np.eye(4), header).to_filename(tmp_path / f"a{suffix}")
    stack = read(tmp_path / f"a{suffix}")
    assert stack.data.dtype == ">i2" and np.array_equal(stack.data[...], data.T)


@pytest.mark.parametrize(
    ("shape", "axes", "scale"),
    [
        ((X, Y), "YX", (2, 1)),
        ((X, Y, 1), "ZYX", (3, 2, 1)),
        ((X, Y, 3, 4), "TZYX", (1, 3, 2, 1)),
        ((X, Y, 3, 1), "ZYX", (3, 2, 1)),
        ((X, Y, 3, 1, 2), "CZYX", (3, 2, 1)),
        ((X, Y, 3, 4, 2), "CTZYX", (1, 3, 2, 1)),
    ],
)
def test_nifti_axes_are_time_and_channels_in_front(
    tmp_path: Path, shape: tuple[int, ...], axes: str, scale: tuple[float, ...]
) -> None:
    data = ramp(shape)
    stack = read(nifti(tmp_path / "a.nii", data, (1, 2, 3, 4, 5)[: len(shape)]))
    assert (stack.axes, stack.scale) == (axes, scale)
    assert np.array_equal(stack.data[...], data.T.reshape(stack.data.shape))


@pytest.mark.parametrize("samples", ["RGB", "RGBA"])
def test_a_nifti_of_colours_has_three_channels(tmp_path: Path, samples: str) -> None:
    data = ramp((X, Y, 3, len(samples)))
    stack = read(nifti(tmp_path / "a.nii", data.view([(name, "u1") for name in samples])[..., 0]))
    assert (stack.axes, stack.channels, stack.planes) == ("ZYXS", 3, 3)
    assert np.array_equal(stack.read(1), data[:, :, 1, :3].T)


def test_a_nifti_that_does_not_know_its_size_has_no_scale(tmp_path: Path) -> None:
    pixdim = [1, np.nan, 1, 1, 0, 0, 0, 0]
    stack = read(nifti(tmp_path / "a.nii", ramp((X, Y, 2)), pixdim=pixdim))
    assert (stack.scale, stack.unit) == ((), "")


def test_a_nifti_with_axes_that_have_no_name_is_refused(tmp_path: Path) -> None:
    refused(nifti(tmp_path / "a.nii", ramp((5, 5, 2, 2, 2, 2))))


@pytest.mark.parametrize("share", [0.001, 0.1, 0.6, 0.99])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_nifti_that_was_cut_off_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    refused(cut(nifti(tmp_path / f"a{suffix}", ramp((X, Y, 9), np.int16)), share))


def test_one_wrong_byte_in_a_compressed_nifti_is_noticed(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", ramp((X, Y, 9)))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    refused(path)


def test_without_nibabel_the_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = nifti(tmp_path / "a.nii", ramp((X, Y, 2)))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(BtunetError, match=r"a\.nii is NIfTI and needs .*pip install napari-btunet\[nifti\]"):
        read(path)


# ---- zarr


@pytest.mark.parametrize("names", [None, ["z", "c", "y", "x"], ["Z", "channel", "Y", "X"]])
def test_a_zarr_is_read_lazily_with_its_axes(tmp_path: Path, names: list[str] | None) -> None:
    data = ramp((3, 2, Y, X), np.uint16)
    array = zarr.create_array(tmp_path / "a.zarr", shape=data.shape, dtype=data.dtype, dimension_names=names)
    array[...] = data
    stack = read(tmp_path / "a.zarr")
    assert stack.axes == ("ZCYX" if names else "TZYX")
    assert isinstance(stack.data, zarr.Array)
    assert np.array_equal(stack.read(2), data[2] if names else data[1:2, 0])


def test_a_group_is_read_at_its_full_level(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "a.zarr")
    for level, size in (("0", 32), ("1", 16)):
        group.create_array(level, shape=(size, size), dtype="u1")[...] = size
    assert read(tmp_path / "a.zarr").plane_shape == (32, 32)


# ---- what cannot be read


def refused(path: Path, error: type[Exception] = BtunetError) -> None:
    with pytest.raises((BtunetError, ValueError)) as raised:
        stack = read(path)
        for plane in range(stack.planes):
            stack.read(plane)
    assert type(raised.value) is error, raised.value
    sentence = str(raised.value)
    assert path.name in sentence and "\n" not in sentence and len(sentence) < 400


def cut(path: Path, share: float) -> Path:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    return path


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.98])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "deflate"])
def test_a_tiff_that_was_cut_off_is_refused(tmp_path: Path, compression: str | None, share: float) -> None:
    refused(cut(tiff(tmp_path / "a.tif", ramp((200, 200), np.uint16), compression=compression), share))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.98])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_of_many_pages_that_was_cut_off_is_refused(
    tmp_path: Path, compression: str | None, share: float
) -> None:
    data = ramp((6, 100, 100))
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in data:
            writer.write(plane, metadata=None, compression=compression)
    refused(cut(tmp_path / "a.tif", share))


@pytest.mark.parametrize("bigtiff", [False, True])
def test_a_cut_between_two_pages_is_noticed(tmp_path: Path, bigtiff: bool) -> None:
    data, ends = ramp((4, 100, 100)), []
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=bigtiff) as writer:
        for plane in data:
            writer.write(plane, metadata=None)
            ends.append(writer.filehandle.tell())
    assert read(tmp_path / "a.tif").planes == 4
    raw = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(raw[: ends[1]])
    refused(tmp_path / "a.tif")


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_an_imagej_stack_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    refused(cut(tiff(tmp_path / "a.tif", ramp((6, 100, 100)), imagej=True), share))


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_that_was_cut_off_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    imageio.imwrite(tmp_path / f"a{suffix}", ramp((200, 200)))
    refused(cut(tmp_path / f"a{suffix}", share))


@pytest.mark.parametrize("content", [b"", b"this is no image\n" * 50, b"II*\0", b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".nii", ".nii.gz", ".zarr"])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    refused(path)


def test_random_bytes_behind_a_good_beginning_are_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", ramp((100, 100)), compression="zlib")
    raw = path.read_bytes()
    path.write_bytes(raw[:400] + np.random.default_rng(0).bytes(len(raw) - 400))
    refused(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("a.tif", "a.png", "a.nii", "a.nii.gz", "a.zarr"):
        refused(tmp_path / name)


def test_a_folder_named_like_a_picture_is_refused(tmp_path: Path) -> None:
    for name in ("a.tif", "a.png", "a.nii", "a.nii.gz", "a.zarr"):
        (tmp_path / name).mkdir()
        refused(tmp_path / name)


def test_a_zarr_group_without_an_image_is_refused(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "a.zarr")
    refused(tmp_path / "a.zarr")
    zarr.create_group(tmp_path / "b.zarr").create_group("0")
    refused(tmp_path / "b.zarr")


def test_a_kind_of_file_nobody_knows_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    (tmp_path / "a.doc").write_text("text")
    refused(tmp_path / "a.doc", ValueError)


def test_complex_numbers_are_a_mistake_of_the_caller(tmp_path: Path) -> None:
    refused(tiff(tmp_path / "a.tif", ramp(dtype=np.complex64)), ValueError)


# ---- find and pair


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return [folder / name for name in names]


def test_a_folder_stands_for_its_images_in_order_of_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "b.tif", "a.PNG", "c.txt", ".hidden.tif", "sub/d.tif", "e.zarr/zarr.json", "f.nii.gz", "g.csv.gz")
    assert [p.name for p in find([tmp_path])] == ["a.PNG", "b.tif", "e.zarr", "f.nii.gz"]


def test_files_are_kept_in_the_order_they_are_named(tmp_path: Path) -> None:
    b, a = touch(tmp_path, "b.tif", "a.tif")
    assert find([b, str(a)]) == [b, a]


def test_a_folder_of_mixed_sizes_and_kinds_is_read(tmp_path: Path) -> None:
    tiff(tmp_path / "a.tif", ramp((3, 20, 30)), photometric="minisblack")
    imageio.imwrite(tmp_path / "b.png", ramp((17, 19)))
    assert [(s.planes, s.plane_shape) for s in map(read, find([tmp_path]))] == [(3, (20, 30)), (1, (17, 19))]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "none", "none does not exist; check the spelling"),
        (lambda folder: folder, "holds no image; expected files ending in .tif"),
    ],
)
def test_a_path_that_stands_for_nothing_is_refused(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(ValueError, match=message):
        find([make(tmp_path)])


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


def test_images_and_labels_pair_by_their_stem() -> None:
    found = pair(paths("i/a.tif", "i/b.tif", "i/c.tif"), paths("l/c.png", "l/a.png"))
    assert found == [(Path("i/c.tif"), Path("l/c.png")), (Path("i/a.tif"), Path("l/a.png"))]


def test_the_two_endings_of_a_compressed_nifti_are_one() -> None:
    assert [stem(path) for path in paths("a.b.NII.gz", "a.nii", "a.b.tif", "a")] == ["a.b", "a", "a.b", "a"]
    assert pair(paths("i/a.nii.gz", "i/b.nii"), paths("l/a.nii", "l/b.nii.gz")) == [
        (Path("i/a.nii.gz"), Path("l/a.nii")),
        (Path("i/b.nii"), Path("l/b.nii.gz")),
    ]


def test_one_image_and_one_label_belong_together_whatever_their_names() -> None:
    assert pair(paths("a.tif"), paths("strokes.png")) == [(Path("a.tif"), Path("strokes.png"))]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (["a.tif", "b.tif"], ["a.png", "d.png", "e.png"], r"2 of 3 label files have no image .* \(first: d.png\)"),
        (["a.tif", "a.png"], ["a.png"], "a.tif and a.png share one name; labels pair by it, rename one"),
        (["a.tif", "b.tif"], ["a.png", "a.tif"], "two label files have the same name; keep one label per image"),
    ],
)
def test_files_that_do_not_pair_are_refused(images: list[str], labels: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pair(paths(*images), paths(*labels))


def test_reading_accepts_a_path_as_text(tmp_path: Path) -> None:
    assert read(str(tiff(tmp_path / "a.tif", ramp()))).plane_shape == (Y, X)


def test_a_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiff(tmp_path / "a.tif", ramp())

    def denied(*_: Any, **__: Any) -> io.BytesIO:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)  # root may read everything, so the system cannot say it here
    monkeypatch.setattr(tifffile, "TiffFile", denied)
    with pytest.raises(BtunetError, match=r"a\.tif cannot be read: .*Permission denied"):
        read(path)
