"""Random changes to files that are fine: whatever a reader makes of them, it is a Stack, a Model, or one sentence."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from btunet import BtunetError, Model, read
from btunet.checkpoint import Checkpoint
from btunet.model import HEADER
from btunet.sweep import Tiling, blend

from .bad_inputs.case import picture

few = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4)


def answered(work: Callable[[], Any]) -> None:
    """Do something; nothing but one sentence may come of it if it fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries over what is broken
            work()
    except (ValueError, BtunetError) as error:
        assert str(error).strip() and "\n" not in str(error)


def looked_at(path: Path) -> None:
    stack = read(path)
    stack.describe()
    if stack.planes * np.prod(stack.plane_shape) * stack.channels < 10**7:
        stack.read(0)


def mutated(content: bytes, changes: list[tuple[int, bytes]], keep: int) -> bytes:
    found = bytearray(content)
    for at, new in changes:
        start = at % len(found)
        found[start : start + len(new)] = new
    return bytes(found[: max(1, len(found) * keep // 100)])


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder, data = tmp_path_factory.mktemp("originals"), picture()
    tifffile.imwrite(folder / "plain.tif", data)
    tifffile.imwrite(folder / "packed.tif", data, compression="zlib")
    tifffile.imwrite(folder / "imagej.tif", np.stack([data] * 2), imagej=True)
    tifffile.imwrite(folder / "ome.tif", np.stack([data] * 2), ome=True, photometric="minisblack")
    imageio.imwrite(folder / "gray.png", data)
    imageio.imwrite(folder / "gray.jpg", data)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@few
@given(
    content=st.binary(max_size=300), name=st.sampled_from(["a.tif", "a.png", "a.jpg", "a.nii", "a.nii.gz", "a.zarr"])
)
@example(content=b"II+\0\x08\0\0\0" + b"\xff" * 20, name="a.tif")
def test_random_bytes_are_one_sentence(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    answered(lambda: looked_at(tmp_path / name))


@pytest.mark.parametrize("name", ["plain.tif", "packed.tif", "imagej.tif", "ome.tif", "gray.png", "gray.jpg"])
def test_a_changed_image_is_an_image_or_one_sentence(originals: dict[str, bytes], tmp_path: Path, name: str) -> None:
    @few
    @given(changes=CHANGES, keep=st.sampled_from([100, 100, 100, 99, 50]))
    def check(changes: list[tuple[int, bytes]], keep: int) -> None:
        (tmp_path / name).write_bytes(mutated(originals[name], changes, keep))
        answered(lambda: looked_at(tmp_path / name))

    check()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TENSORS = {"encoder.a": np.zeros((2, 3), np.float32)}
MODEL = Model("unet", 1, ("background", "class 1"), TENSORS, history=({"steps": 1},)).as_dict()


@few
@given(field=st.sampled_from(sorted(MODEL)), value=JSON)
@example(field="format", value=float("inf"))
@example(field="channels", value=float("inf"))
@example(field="history", value=[{"steps": float("inf")}])
def test_a_model_with_any_value_in_its_header_is_a_model_or_one_sentence(
    tmp_path: Path, field: str, value: Any
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(TENSORS, {HEADER: json.dumps({**MODEL, field: value})}))
    answered(lambda: Model.load(path).describe())


@few
@given(changes=CHANGES, keep=st.sampled_from([100, 100, 99, 30]))
def test_a_changed_model_file_is_a_model_or_one_sentence(
    tmp_path: Path, changes: list[tuple[int, bytes]], keep: int
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(mutated(save(TENSORS, {HEADER: json.dumps(MODEL)}), changes, keep))
    answered(lambda: Model.load(path).describe())


@few
@given(header=JSON)
def test_a_checkpoint_of_any_header_is_one_sentence(tmp_path: Path, header: Any) -> None:
    path = tmp_path / "a.checkpoint"
    path.write_bytes(save(TENSORS, {"btunet checkpoint": json.dumps(header)}))
    answered(lambda: Checkpoint.load(path))


@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_of_any_metadata_is_an_image_or_one_sentence(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=picture(), zarr_format=version)  # type: ignore[arg-type]
    file = path / ("zarr.json" if version == 3 else ".zarray")
    about = json.loads(file.read_text())

    @few
    @given(field=st.sampled_from(sorted(about)), value=JSON)
    def check(field: str, value: Any) -> None:
        file.write_text(json.dumps({**about, field: value}))
        answered(lambda: looked_at(path))

    check()


@few
@given(value=JSON, field=st.sampled_from(["axes", "datasets", "coordinateTransformations", "version"]))
def test_an_ome_zarr_of_any_description_is_an_image_or_one_sentence(tmp_path: Path, field: str, value: Any) -> None:
    path = tmp_path / "a.zarr"
    shutil.rmtree(path, ignore_errors=True)
    group = zarr.create_group(path)
    group.create_array("0", data=picture())
    axes = [{"name": name, "type": "space"} for name in "yx"]
    described = {"axes": axes, "datasets": [{"path": "0"}], field: value}
    text = json.loads((path / "zarr.json").read_text())
    text["attributes"] = {"ome": {"version": "0.5", "multiscales": [described]}}
    (path / "zarr.json").write_text(json.dumps(text))
    answered(lambda: looked_at(path))


@few
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(1, 60),
    margin=st.integers(0, 20),
    share=st.floats(0, 0.5),
)
def test_tiles_give_every_pixel_its_own_value_once(
    height: int, width: int, tile: int, margin: int, share: float
) -> None:
    image = np.random.default_rng(0).random((1, height, width)).astype(np.float32) + 1
    found = blend(lambda window: window, image, Tiling(tile, margin, int(share * tile)))
    assert np.allclose(found, image, rtol=1e-5)
