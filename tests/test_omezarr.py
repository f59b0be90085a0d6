import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from btunet import BtunetError, find, read
from btunet.reading import stem, suffix


def axes_of(letters: str, unit: str | None = None) -> list[dict[str, str]]:
    kinds = {"t": "time", "c": "channel"}
    space = {"unit": unit} if unit else {}
    return [{"name": a, "type": kinds.get(a, "space"), **({} if a in kinds else space)} for a in letters]


def described(axes: Any, scales: list[list[float]], **more: Any) -> dict[str, Any]:
    datasets = [
        {"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": s}]} for i, s in enumerate(scales)
    ]
    return {"axes": axes, "datasets": datasets, **more}


def image(
    path: Path, data: np.ndarray, axes: str = "czyx", version: str = "0.5", unit: str = "micrometer", levels: int = 3
) -> Path:
    """Write an OME-Zarr image by hand, its levels every second pixel of the level before."""
    group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
    scales = []
    for level in range(levels):
        part = data[..., :: 2**level, :: 2**level]
        chunks = (1,) * (data.ndim - 2) + (8, 8)
        group.create_array(str(level), shape=part.shape, dtype=part.dtype, chunks=chunks)[...] = part
        scales.append([1.0] * (data.ndim - 3) + [2.0] * (data.ndim > 2) + [0.5 * 2**level, 0.25 * 2**level])
    about = described(axes_of(axes, unit), scales)
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": [about]}
    else:
        group.attrs["multiscales"] = [{"version": "0.4", **about}]
    return path


def ramp(*shape: int) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) * 60_000).astype(np.uint16)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the chunks that are read."""
    names: list[str] = []
    real = LocalStore.get

    async def get(self: Any, key: str, *more: Any, **options: Any) -> Any:
        if not key.endswith(("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")):
            names.append(str(self.root / key))
        return await real(self, key, *more, **options)

    monkeypatch.setattr(LocalStore, "get", get)
    return names


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_axes_scale_and_unit_are_those_of_the_metadata(tmp_path: Path, version: str) -> None:
    data = ramp(2, 3, 4, 21, 33)
    stack = read(image(tmp_path / "a.zarr", data, "tczyx", version))
    assert (stack.axes, stack.channels, stack.planes, stack.name) == ("TCZYX", 3, 8, "a.zarr")
    assert (stack.scale, stack.unit) == ((1.0, 2.0, 0.5, 0.25), "µm")
    assert np.array_equal(stack.read(5), data[1, :, 1])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_any_level_is_read_by_number_or_by_its_folder(tmp_path: Path, version: str) -> None:
    data = ramp(3, 2, 21, 33)
    path = image(tmp_path / "a.zarr", data, version=version)
    for level in range(3):
        for stack in (read(path, level), read(path / str(level))):
            assert (stack.axes, stack.unit) == ("CZYX", "µm")
            assert stack.scale == (2.0, 0.5 * 2**level, 0.25 * 2**level)
            assert np.array_equal(stack.data[...], data[..., :: 2**level, :: 2**level])
    assert read(path, 2).path == path / "2"


def test_what_is_in_a_zarr_folder_is_called_like_the_folder(tmp_path: Path) -> None:
    path = image(tmp_path / "a.zarr", ramp(9, 9), "yx") / "1"
    assert (suffix(path), stem(path), find([path])) == (".zarr", "a", [path])
    (tmp_path / "b.zarr" / "inside.tif").parent.mkdir()
    assert suffix(tmp_path / "b.zarr" / "inside.tif") == ".tif"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_nothing_but_what_is_asked_for_is_read(tmp_path: Path, asked: list[str], version: str) -> None:
    path = image(tmp_path / "a.zarr", ramp(3, 2, 64, 64), version=version)
    asked.clear()
    stack = read(path)
    stack.describe()
    assert asked == []
    stack.read(1, slice(9, 12), slice(20, 23))
    assert len(asked) == 3  # one chunk of each channel
    asked.clear()
    read(path, 2).read(0)
    assert len(asked) == 12 and all("/2/" in name for name in asked)


def test_one_image_in_a_folder_is_meant_and_of_several_one_must_be_named(tmp_path: Path) -> None:
    data = ramp(9, 9)
    zarr.create_group(tmp_path / "a.zarr").attrs["bioformats2raw.layout"] = 3
    image(tmp_path / "a.zarr" / "0", data, "yx")
    assert np.array_equal(read(tmp_path / "a.zarr", 1).data[...], data[::2, ::2])
    image(tmp_path / "a.zarr" / "1", data + 1, "yx")
    with pytest.raises(BtunetError, match=r"holds 2 images; name one of them, such as .*a\.zarr/0$"):
        read(tmp_path / "a.zarr")
    stack = read(tmp_path / "a.zarr" / "1" / "0")
    assert (stack.data[0, 0], stack.scale) == (data[0, 0] + 1, (0.5, 0.25))


def test_a_scale_of_the_whole_image_multiplies_that_of_the_level(tmp_path: Path) -> None:
    path = image(tmp_path / "a.zarr", ramp(9, 9), "yx")
    group = zarr.open_group(path)
    about = group.attrs["ome"]
    about["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [3.0, 4.0]}]  # type: ignore
    group.attrs["ome"] = about
    assert read(path).scale == (1.5, 1.0)


@pytest.mark.parametrize(
    ("axes", "letters"),
    [
        ([{"name": "phase"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}], "PYX"),
        ([{"name": "c"}, {"name": "y"}, {"name": "x"}], "CYX"),
        ([{"name": "λ", "type": "channel"}, {"name": "Y", "type": "space"}, {"name": "X", "type": "space"}], "CYX"),
        ([{"name": "t", "type": "time"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}], "TYX"),
        ([{"name": "y2", "type": "angle"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}], "PYX"),
    ],
)
def test_axes_of_any_kind_get_a_letter(tmp_path: Path, axes: Any, letters: str) -> None:
    path = image(tmp_path / "a.zarr", ramp(3, 9, 9), "zyx", levels=1)
    about = described(axes, [[1.0, 1.0, 1.0]])
    zarr.open_group(path).attrs["ome"] = {"version": "0.5", "multiscales": [about]}
    stack = read(path)
    assert (stack.axes, stack.scale, stack.unit) == (letters, (), "")


SCALES = [[1.0, 1.0]]


@pytest.mark.parametrize(
    "about",
    [
        [5],
        {"0": 1},
        "text",
        [{}],
        [{"axes": axes_of("yx")}],
        [{"datasets": [{"path": "0"}]}],
        [described(axes_of("zyx"), SCALES)],
        [described(["y", "x"], SCALES)],
        [described([{"type": "space"}, {"type": "space"}], SCALES)],
        [described(axes_of("yx"), [[1.0]])],
        [described(axes_of("yx"), [[1.0, float("nan")]])],
        [described(axes_of("yx"), [["a", "b"]])],  # type: ignore[list-item]
        [described(axes_of("yx"), [])],
        [{"axes": axes_of("yx"), "datasets": [{"path": "../b.zarr/0"}]}],
        [{"axes": axes_of("yx"), "datasets": [{"path": "/etc"}]}],
        [{"axes": axes_of("yx"), "datasets": [{"path": "9"}]}],
        [{"axes": axes_of("yx"), "datasets": [{"path": 7}]}],
        [{"axes": axes_of("yx"), "datasets": [{}]}],
        [{"axes": axes_of("yx"), "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale"}, 5]}]}],
    ],
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_broken_metadata_are_one_sentence(tmp_path: Path, about: Any, version: str) -> None:
    image(tmp_path / "b.zarr", ramp(9, 9), "yx", version)
    path = image(tmp_path / "a.zarr", ramp(9, 9), "yx", version)
    attributes = {"ome": {"version": "0.5", "multiscales": about}} if version == "0.5" else {"multiscales": about}
    file = path / ("zarr.json" if version == "0.5" else ".zattrs")
    node = {"zarr_format": 3, "node_type": "group", "attributes": attributes} if version == "0.5" else attributes
    file.write_text(json.dumps(node))
    with pytest.raises(BtunetError, match=r"a\.zarr") as raised:
        read(path)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"zarr_format": 3, "node_type": "group"'])
def test_a_description_that_is_none_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = image(tmp_path / "a.zarr", ramp(9, 9), "yx")
    (path / "zarr.json").write_text(text)
    with pytest.raises(BtunetError, match=r"a\.zarr cannot be read") as raised:
        read(path)
    assert "\n" not in str(raised.value)


def test_a_level_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    path = image(tmp_path / "a.zarr", ramp(9, 9), "yx")
    for level in (3, -1):
        with pytest.raises(BtunetError, match=f"has 3 levels, from 0; there is no level {level}"):
            read(path, level)
    with pytest.raises(BtunetError, match="has 1 level, from 0; there is no level 1"):
        read(path / "0", 1)
    with pytest.raises(ValueError, match="does not exist"):
        find([path / "7"])
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.png has no levels; level 1 was asked for"):
        read(tmp_path / "a.png", 1)


def test_a_plate_is_not_one_image(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "a.zarr")
    group.attrs["ome"] = {"version": "0.5", "plate": {"wells": []}}
    group.create_group("A")
    with pytest.raises(BtunetError, match="zarr group without an image"):
        read(tmp_path / "a.zarr")
