import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btunet import BtunetError, ObjectSettings, Stack, make_objects, measure_objects, run, write_table

UM = {"scale": (0.5, 0.25), "unit": "µm"}


def rectangle() -> np.ndarray:
    mask = np.zeros((20, 30), np.uint8)
    mask[4:8, 10:20] = 2  # 4 × 10 pixels
    return mask


def table_of(mask: np.ndarray, image: Any = None, axes: str = "YX", classes: Any = (), **about: Any) -> list[Any]:
    settings = ObjectSettings(plane_by_plane=about.pop("plane_by_plane", False))
    stack = Stack(mask, axes, "mask", **about)
    objects = Stack(run(make_objects(stack, settings)), axes, "objects", **about)
    return run(measure_objects(objects, stack, image, settings, classes))


def test_a_rectangle_has_the_size_in_micrometres_that_it_has() -> None:
    [row] = table_of(rectangle(), **UM)
    assert row["area_pixels"] == 40
    assert row["area_um2"] == pytest.approx(40 * 0.5 * 0.25)
    assert (row["centroid_y_pixels"], row["centroid_x_pixels"]) == pytest.approx((5.5, 14.5))
    assert row["equivalent_diameter_um"] == pytest.approx(np.sqrt(4 * 5 / np.pi))
    assert row["solidity"] == pytest.approx(1)
    assert (row["label"], row["class"], row["class_name"], row["image"]) == (1, 2, "class 2", "mask")


def test_eccentricity_is_that_of_the_object_not_of_its_pixels() -> None:
    square = np.zeros((30, 30), np.uint8)
    square[5:15, 5:25] = 1  # 10 × 20 pixels, 5 × 5 µm
    [row] = table_of(square, **UM)
    assert row["eccentricity"] < 0.15
    assert table_of(square)[0]["eccentricity"] == pytest.approx(np.sqrt(1 - 99 / 399))  # (n² - 1) / 12 for n pixels


@pytest.mark.parametrize("about", [{}, {"scale": (2.0, 2.0)}, {"scale": (2.0, 2.0), "unit": "pixel"}])
def test_without_a_known_unit_all_is_in_pixels(about: Any) -> None:
    [row] = table_of(rectangle(), **about)
    assert row["area_pixels"] == 40
    assert row["equivalent_diameter_pixels"] == pytest.approx(np.sqrt(160 / np.pi))
    assert not [name for name in row if "um" in name]


def test_brightness_is_the_mean_of_every_channel_inside() -> None:
    image = np.random.default_rng(0).random((2, 20, 30))
    [row] = table_of(rectangle(), Stack(image, "CYX", "cells.tif"))
    for channel in range(2):
        assert row[f"mean_intensity_{channel + 1}"] == pytest.approx(image[channel, 4:8, 10:20].mean())
    assert row["image"] == "cells.tif"


def test_colours_of_a_photograph_are_channels() -> None:
    [row] = table_of(rectangle(), Stack(np.full((20, 30, 3), (1, 2, 3), np.uint8), "YXS"))
    assert [row[f"mean_intensity_{channel}"] for channel in (1, 2, 3)] == [1, 2, 3]


def test_every_plane_is_told_and_no_number_comes_twice() -> None:
    mask = np.stack([rectangle()] * 3)
    rows = table_of(mask, Stack(np.arange(3)[:, None, None] * np.ones((3, 20, 30)), "TYX"), "TYX")
    assert [(row["t"], row["label"], row["mean_intensity_1"]) for row in rows] == [(0, 1, 0), (1, 2, 1), (2, 3, 2)]


def test_a_volume_is_measured_as_one() -> None:
    mask = np.zeros((2, 5, 20, 30), np.uint8)
    mask[1, 1:4, 4:8, 10:20] = 1
    [row] = table_of(mask, axes="TZYX", scale=(1.0, 2.0, 0.5, 0.25), unit="µm")
    assert (row["t"], row["z_first"], row["z_last"]) == (1, 1, 3)
    assert "z" not in row
    assert row["volume_pixels"] == 120
    assert row["volume_um3"] == pytest.approx(120 * 0.25)
    assert row["equivalent_diameter_um"] == pytest.approx((6 * 30 / np.pi) ** (1 / 3))
    assert row["centroid_z_pixels"] == pytest.approx(2)
    assert "solidity" not in row


def test_plane_by_plane_it_is_several() -> None:
    rows = table_of(np.stack([rectangle()] * 2), axes="ZYX", plane_by_plane=True)
    assert [(row["z"], row["label"]) for row in rows] == [(0, 1), (1, 2)]


def test_an_object_has_the_class_of_most_of_its_pixels_and_holes_do_not_count() -> None:
    objects = np.ones((4, 5), np.uint8)
    mask = np.zeros((4, 5), np.uint8)
    mask[0, :3], mask[1, :2] = 2, 1
    [row] = run(measure_objects(Stack(objects, "YX"), Stack(mask, "YX"), classes=["nothing", "a", "b"]))
    assert (row["class"], row["class_name"]) == (2, "b")
    [row] = run(measure_objects(Stack(objects, "YX"), Stack(mask * 0, "YX"), classes=["nothing", "a", "b"]))
    assert (row["class"], row["class_name"]) == (0, "nothing")


def test_numbers_need_not_follow_each_other() -> None:
    objects = np.zeros((4, 6), np.uint32)
    objects[0, 0], objects[2:, 3:] = 4_000_000_000, 7
    rows = run(measure_objects(Stack(objects, "YX"), Stack((objects > 0).astype(np.uint64), "YX")))
    assert [(row["label"], row["area_pixels"]) for row in rows] == [(7, 6), (4_000_000_000, 1)]


def test_objects_of_another_image_are_refused() -> None:
    with pytest.raises(ValueError, match="belong to another image"):
        table_of(rectangle(), Stack(np.ones((5, 5)), "YX", "other"))


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rows = [*table_of(rectangle(), **UM), {"image": "größe, µ", "label": 2, "t": 1}]
    path = write_table(tmp_path / "new" / "objects.csv", rows)
    with path.open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert {name: type(rows[0][name])(first[name]) for name in rows[0]} == rows[0]
    assert (second["image"], second["t"], second["area_um2"]) == ("größe, µ", "1", "")
    assert [p.name for p in path.parent.iterdir()] == ["objects.csv"]


def test_a_table_without_objects_has_a_heading(tmp_path: Path) -> None:
    assert table_of(rectangle() * 0) == []
    assert write_table(tmp_path / "none.csv", []).read_text() == "image,label,class,class_name\n"


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = write_table(tmp_path / "objects.csv", [])
    with pytest.raises(ValueError, match=r"should end in \.csv"):
        write_table(tmp_path / "objects.txt", [])
    with pytest.raises(BtunetError, match="cannot be written"):
        write_table(path / "below.csv", [])
    assert path.read_text().startswith("image")
