import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr

from btunet import Stack, pyramid, read, write, write_probabilities


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "CHUNK", 16)


def like(axes: str, shape: tuple[int, ...], unit: str = "µm") -> Stack:
    return Stack(np.zeros(shape, np.uint8), axes, scale=tuple(0.5 + i for i in range(len(axes))), unit=unit)


def levels(path: Path) -> list[np.ndarray]:
    group = zarr.open_group(path, mode="r")
    return [np.asarray(group[str(i)][...]) for i in range(len(list(group.array_keys())))]


def validate(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", yaozarrs._storage.StorageValidationWarning)  # of units it does not know
        yaozarrs.validate_zarr_store(str(path))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("YX", (50, 33)), ("ZYX", (3, 17, 65)), ("TYX", (2, 40, 9)), ("TZYX", (2, 2, 33, 20)), ("PYX", (2, 20, 20))],
)
@pytest.mark.parametrize("unit", ["µm", "nm", "pixel", ""])
def test_what_is_written_is_valid_ome_zarr_and_comes_back(
    tmp_path: Path, axes: str, shape: tuple[int, ...], unit: str
) -> None:
    stack, mask = like(axes, shape, unit), np.random.default_rng(0).integers(0, 3, shape)
    (path,) = write(tmp_path / "a.zarr", mask, stack)
    validate(path)
    back = read(path)
    assert (back.axes, back.scale, back.unit) == (axes, stack.scale, unit)
    assert np.array_equal(back.data[...], mask)
    if axes != "PYX":  # a channel axis beside another of its own kind
        validate(write_probabilities(tmp_path / "p.zarr", np.ones((*shape[:-2], 3, *shape[-2:])), stack))


@pytest.mark.parametrize(("axes", "shape"), [("PTZYX", (2, 1, 2, 5, 6)), ("QPYX", (2, 2, 5, 6))])
def test_axes_ome_zarr_has_no_words_for_are_written_as_plain_zarr(
    tmp_path: Path, axes: str, shape: tuple[int, ...]
) -> None:
    mask = np.random.default_rng(0).integers(0, 3, shape)
    (path,) = write(tmp_path / "a.zarr", mask, like(axes, shape))
    back = read(path)
    assert back.axes == axes and np.array_equal(back.data[...], mask)
    assert "ome" not in zarr.open_group(path).attrs


@pytest.mark.parametrize("size", [(16, 16), (17, 16), (33, 70), (1, 100), (64, 64)])
def test_a_mask_gets_smaller_by_every_second_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).integers(0, 200, (2, *size)).astype(np.uint8)
    (path,) = write(tmp_path / "a.zarr", mask, like("ZYX", mask.shape))
    found = levels(path)
    assert max(found[-1].shape[-2:]) <= 16 and (len(found) == 1 or max(found[-2].shape[-2:]) > 16)
    for i, level in enumerate(found):
        assert np.array_equal(level, mask[:, :: 2**i, :: 2**i])
        assert read(path, i).scale == (0.5, 1.5 * 2**i, 2.5 * 2**i)


def test_probabilities_get_smaller_by_the_mean_of_four(tmp_path: Path) -> None:
    found = np.random.default_rng(0).random((3, 32, 64)).astype(np.float32)
    path = write_probabilities(tmp_path / "a.zarr", found, like("YX", (32, 64)))
    full, half, quarter = levels(path)
    assert np.array_equal(full, found)
    means: Any = found.reshape(3, 16, 2, 32, 2).mean((2, 4))
    assert np.allclose(half, means, atol=1e-6)
    assert np.allclose(quarter, found.reshape(3, 8, 4, 16, 4).mean((2, 4)), atol=1e-6)
    assert zarr.open_group(path).attrs["ome"]["multiscales"][0]["datasets"][2]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 2.0, 6.0]},
        {"type": "translation", "translation": [0.0, 0.75, 2.25]},  # the middle of 4 pixels of 0.5 and 1.5
    ]


def test_the_border_of_an_odd_side_is_the_mean_of_what_there_is(tmp_path: Path) -> None:
    found = np.random.default_rng(0).random((2, 33, 19)).astype(np.float32)
    path = write_probabilities(tmp_path / "a.zarr", found, like("YX", (33, 19)))
    half = levels(path)[1]
    assert half.shape == (2, 17, 10)
    assert np.allclose(half[:, -1, 0], found[:, -1, :2].mean(-1))
    assert np.allclose(half[:, -1, -1], found[:, -1, -1])
    assert np.allclose(half.sum(0)[:16, :9], found.sum(0)[:32, :18].reshape(16, 2, 9, 2).mean((1, 3)))
