import csv
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from btunet import ObjectSettings, Stack, objects_of_files, read, run, write


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """Write a stack of 3 planes with its mask, 2 discs in each, and return it."""
    mask = np.zeros((3, 20, 30), np.uint8)
    mask[:, 3:8, 3:8], mask[:, 12:16, 20:24] = 1, 2
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    like = Stack(mask, "ZYX", scale=(2.0, 0.5, 0.5), unit="µm")
    write(tmp_path / "images" / "cells.tif", mask * 10, like)
    tifffile.imwrite(tmp_path / "masks" / "cells.tif", mask, photometric="minisblack")
    return like


def test_objects_of_a_mask_have_the_axes_and_pixel_size_of_its_image(tmp_path: Path, stack: Stack) -> None:
    images, masks = ([tmp_path / folder / "cells.tif"] for folder in ("images", "masks"))
    names = ["background", "nucleus", "vesicle"]
    made = run(objects_of_files(masks, tmp_path / "out", images=images, classes=names))
    assert made == [tmp_path / "out" / "cells_objects.tif", tmp_path / "out" / "objects.csv"]
    back = read(made[0])
    np.testing.assert_array_equal(back.data[...], stack.data)
    assert (back.axes, back.unit, back.scale) == ("ZYX", "µm", pytest.approx((2, 0.5, 0.5)))
    rows = rows_of(made[1])
    assert [(row["class_name"], float(row["mean_intensity_1"])) for row in rows] == [("nucleus", 10), ("vesicle", 20)]
    assert [float(row["volume_um3"]) for row in rows] == pytest.approx([75 * 0.5, 48 * 0.5])
    assert {row["image"] for row in rows} == {"cells.tif"}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["cells_objects.tif", "objects.csv"]


def test_a_mask_alone_is_enough_and_zarr_is_written_too(tmp_path: Path, stack: Stack) -> None:
    settings = ObjectSettings(plane_by_plane=True)
    made = run(objects_of_files([tmp_path / "masks" / "cells.tif"], tmp_path / "out", settings, format="zarr"))
    numbers = read(made[0]).data[...]
    assert numbers.dtype == np.uint8
    assert numbers[:, 5, 5].tolist() == [1, 3, 5]
    assert [row["z"] for row in rows_of(made[1])] == ["0", "0", "1", "1", "2", "2"]


def test_one_table_holds_the_objects_of_all_pictures(tmp_path: Path) -> None:
    for name in "ba":
        imageio.imwrite(tmp_path / f"{name}.png", np.eye(9, dtype=np.uint8) * (1 + (name == "b")))
    made = run(objects_of_files([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out"))
    assert [(row["image"], row["class"], row["label"]) for row in rows_of(made[-1])] == [
        ("a.png", "1", "1"),
        ("b.png", "2", "1"),
    ]


def test_when_it_is_stopped_the_finished_files_are_in_the_table(tmp_path: Path) -> None:
    masks = [tmp_path / f"{name}.png" for name in "abc"]
    for mask in masks:
        imageio.imwrite(mask, np.eye(9, dtype=np.uint8))
    stages: list[str] = []

    def stop(progress: Any) -> bool:
        stages.append(progress.stage)
        return bool(progress.stage == "making objects 2/3")

    made = run(objects_of_files(masks, tmp_path / "out"), stop)
    assert [path.name for path in made] == ["a_objects.tif", "objects.csv"]
    assert [row["image"] for row in rows_of(made[-1])] == ["a.png"]
    assert stages == ["making objects 1/3", "measuring 1/3", "making objects 2/3"]


def test_masks_that_do_not_fit_are_refused(tmp_path: Path, stack: Stack) -> None:
    imageio.imwrite(tmp_path / "small.png", np.eye(9, dtype=np.uint8))
    mask = tmp_path / "masks" / "cells.tif"
    with pytest.raises(ValueError, match="expected one shape"):
        run(objects_of_files([mask], tmp_path / "out", images=[tmp_path / "small.png"]))
    with pytest.raises(ValueError, match="several masks are called cells"):
        run(objects_of_files([mask, tmp_path / "images" / "cells.tif"], tmp_path / "out"))
